# Completes kubectl-mariadb_backup in bash. `kubectl mariadb-backup` is completed by kubectl's own script.

_kubectl_mariadb_backup() {
    local words=() last=-1 word line directive=0
    # bash takes --flag=value apart into three words.
    for word in "${COMP_WORDS[@]:1:COMP_CWORD}"; do
        if ((last >= 0)) && [[ ${words[last]} == --* && ($word == = || ${words[last]} == *=) ]]; then
            words[last]+=$word
        else
            words[++last]=$word
        fi
    done
    COMPREPLY=()
    while IFS= read -r line; do
        case $line in
            :*) directive=${line#:} ;;
            *) COMPREPLY+=("${line%%$'\t'*}") ;;
        esac
    done < <("${COMP_WORDS[0]}" __complete "${words[@]}" 2>/dev/null)
    ((directive & 4)) && compopt +o default 2>/dev/null
    ((directive & 32)) && compopt -o nosort 2>/dev/null
    return 0
}

complete -o default -F _kubectl_mariadb_backup kubectl-mariadb_backup
