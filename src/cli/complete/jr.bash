# Completion of jr for bash 4 and later: jr completions bash
# What fits is asked of jr itself; it comes quoted, and nothing here is evaluated.

_jr() {
    local jr=${COMP_WORDS[0]} kind answer
    # The very file that is typed by its path, else what PATH has.
    [[ $jr == */* && -f $jr && -x $jr ]] || jr=jr
    COMPREPLY=()
    mapfile -t answer < <(command "$jr" __complete bash "${COMP_LINE:0:COMP_POINT}" "$2" 2>/dev/null)
    kind=${answer[0]-}
    case $kind in
        words)
            COMPREPLY=("${answer[@]:1}")
            ;;
        files)
            compopt -o bashdefault -o default
            ;;
        dirs)
            compopt -o dirnames
            ;;
        'command '*)
            _jr_command "${kind#command }" "$2"
            ;;
    esac
}

# The words from character $1 of the line on are another command's; $2 is the end of the last one.
_jr_command() {
    local rest=$COMP_LINE before word first
    for ((first = 0; first < ${#COMP_WORDS[@]}; first++)); do
        word=${COMP_WORDS[first]}
        before=${rest%%"$word"*}
        ((${#COMP_LINE} - ${#rest} + ${#before} >= $1)) && break
        rest=${rest:${#before} + ${#word}}
    done
    if declare -F _command_offset >/dev/null; then
        _command_offset "$first"
    elif ((first == COMP_CWORD)) && [[ $2 != */* ]]; then
        while IFS= read -r word; do
            # Names that need quotes are no commands that anybody types.
            [[ $word == *[!A-Za-z0-9_.+@%-]* ]] || COMPREPLY+=("$word")
        done < <(compgen -c -- "$2" | sort -u)
        compopt -o bashdefault -o default
    else
        compopt -o bashdefault -o default
    fi
}

complete -o nosort -F _jr jr 2>/dev/null || complete -F _jr jr
