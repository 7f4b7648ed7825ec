# bash completion for salara: eval "$(salara completion bash)", or keep it in
# /usr/share/bash-completion/completions/salara
_salara() {
    local cur=${COMP_WORDS[COMP_CWORD]} typed=() words=() want i
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
            -c | --config | -s | --socket) ((i++)) ;;
            -*) ;;
            *) typed+=("${COMP_WORDS[i]}") ;;
        esac
    done
    while read -r -a want; do
        for ((i = 0; i < ${#typed[@]}; i++)); do
            [[ ${want[i]} == "<"* || "|${want[i]}|" == *"|${typed[i]}|"* ]] || continue 2
        done
        [[ ${want[i]} == "<"* ]] || words+=(${want[i]//|/ })
    done <<< "$_salara_verbs"
    [[ $cur == -* ]] && words=(-c -s --json --check --help --version)
    COMPREPLY=($(compgen -W "${words[*]}" -- "$cur"))
}
complete -o default -F _salara salara
