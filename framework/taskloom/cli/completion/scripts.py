"""The scripts that make a shell ask for completions. Each asks the program as it was typed, and shows no errors.

The program answers with lines of three columns between tabs: the kind (`plain`, or `file` for the shell's own
completion of paths), the word and a text about it.
"""

from __future__ import annotations

__all__ = ["SCRIPTS", "SHELLS"]

# COMP_LINE and not COMP_WORDS: bash has split the latter at each `:` and `=`.
_BASH = r"""
_taskloom_completion() {
    local kind word text
    COMPREPLY=()
    while IFS=$'\t' read -r kind word text; do
        case $kind in
            plain) COMPREPLY+=("$word") ;;
            file) compopt -o default ;;
        esac
    done < <(_TASKLOOM_COMPLETE=bash_complete TASKLOOM_LINE="${COMP_LINE:0:COMP_POINT}" \
        TASKLOOM_BREAKS="$COMP_WORDBREAKS" "${1/#\~/$HOME}" 2>/dev/null </dev/null)
}
complete -o nosort -F _taskloom_completion taskloom
"""

_ZSH = r"""
#compdef taskloom
_taskloom_completion() {
    local kind word text
    local -a described
    local line="${(j: :)words[1,CURRENT-1]} $QIPREFIX$PREFIX"
    while IFS=$'\t' read -r kind word text; do
        case $kind in
            plain) described+=("${${word//\\/\\\\}//:/\\:}${text:+:$text}") ;;
            file) _files ;;
        esac
    done < <(_TASKLOOM_COMPLETE=zsh_complete TASKLOOM_LINE="$line" "${words[1]/#\~/$HOME}" 2>/dev/null </dev/null)
    (( $#described )) && _describe -V taskloom described
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _taskloom_completion "$@"
else
    compdef _taskloom_completion taskloom
fi
"""

_FISH = r"""
function __taskloom_completion
    set -l words (commandline --tokenize --current-process --cut-at-cursor)
    set -l line (commandline --current-process --cut-at-cursor | string collect)
    set -l answer (_TASKLOOM_COMPLETE=fish_complete TASKLOOM_LINE=$line $words[1] 2>/dev/null </dev/null)
    for each in $answer
        set -l columns (string split \t -- $each)
        switch $columns[1]
            case plain
                printf '%s\t%s\n' $columns[2] $columns[3]
            case file
                __fish_complete_path $columns[2]
        end
    end
end
complete --command taskloom --no-files --keep-order --arguments '(__taskloom_completion)'
"""

SCRIPTS = {"bash": _BASH.lstrip(), "zsh": _ZSH.lstrip(), "fish": _FISH.lstrip()}
SHELLS = tuple(SCRIPTS)
