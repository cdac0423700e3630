#compdef jr
# Completion of jr for zsh: jr completions zsh
# What fits is asked of jr itself; compadd quotes it, and nothing here is evaluated.

_jr() {
    local jr=${(Q)words[1]} kind line
    # The very file that is typed by its path, else what PATH has.
    [[ $jr == */* && -f $jr && -x $jr ]] || jr=jr
    local -a before answer values shown
    (( CURRENT > 2 )) && before=("${(@Q)words[2,CURRENT-1]}")
    answer=("${(@f)$(command $jr __complete zsh "${(Q)PREFIX}" "${before[@]}" 2>/dev/null)}")
    kind=$answer[1]
    shift answer
    case $kind in
        (words)
            for line in "${answer[@]}"; do
                values+=("${line%%$'\t'*}")
                shown+=("${line/$'\t'/  -- }")
            done
            (( $#values )) && compadd -V jr -l -d shown -a values
            ;;
        (files)
            [[ $PREFIX == -*=* ]] && compset -P 1 '*='
            _files
            ;;
        (dirs)
            [[ $PREFIX == -*=* ]] && compset -P 1 '*='
            _files -/
            ;;
        ('command '*)
            shift ${kind#command } words
            (( CURRENT -= ${kind#command } ))
            _normal
            ;;
    esac
}

if [[ $funcstack[1] == _jr ]]; then
    _jr "$@"
else
    compdef _jr jr
fi
