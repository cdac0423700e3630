# Completion of jr for fish: jr completions fish
# What fits is asked of jr itself; fish quotes it, and nothing here is evaluated.

function __jr_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    # The very file that is typed by its path, else what PATH has.
    set -l jr jr
    if string match -q '*/*' -- $words[1]; and test -f $words[1]; and test -x $words[1]
        set jr $words[1]
    end
    set -l answer (command $jr __complete fish "$current" $words[2..] 2>/dev/null)
    set -l kind "$answer[1]"
    # What is typed before a path in the same word.
    set -l before (string match -r '^-[^=]*=' -- $current)
    set -l path (string replace -r '^-[^=]*=' '' -- $current)
    switch $kind
        case words
            test (count $answer) -gt 1; and printf '%s\n' $answer[2..]
        case files
            __fish_complete_path "$path" | string replace -r '^' -- "$before"
        case dirs
            __fish_complete_directories "$path" '' | string replace -r '^' -- "$before"
        case 'command *'
            set -l from (math 1 + (string replace 'command ' '' -- $kind))
            complete -C (string join ' ' -- (string escape -- $words[$from..]) "$current")
    end
end

complete -c jr -e
complete -c jr -f -k -a '(__jr_complete)'
