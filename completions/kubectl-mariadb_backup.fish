# Completes kubectl-mariadb_backup in fish. `kubectl mariadb-backup` is completed by kubectl's own script.

function __kubectl_mariadb_backup
    set -l words (commandline -opc)
    set -l last (commandline -ct)
    set -l answer ($words[1] __complete $words[2..-1] "$last" 2>/dev/null)
    set -l directive (string replace ':' '' -- $answer[-1])
    # In --flag=value only the value is completed, and fish wants the whole word.
    set -l lead (string match -r -- '^--[^=]*=' "$last")
    for candidate in $answer[1..-2]
        printf '%s\n' "$lead$candidate"
    end
    if test (count $answer) -lt 2; and test "$directive" = 0
        __fish_complete_path "$last"
    end
end

complete -c kubectl-mariadb_backup -f -k -a '(__kubectl_mariadb_backup)'
