# SPDX-License-Identifier: Apache-2.0
# For the tests: prints a command line after zsh has completed it: `zsh -f complete.zsh DIRECTORY 'monitor --col'`.
# DIRECTORY contains _monitor. Types the line, Tab and Ctrl-X into a zsh on a pseudo-terminal, because only zsh's line
# editor completes. Ctrl-X prints the line.
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "fpath=(${(q)1} \$fpath); autoload -Uz compinit; compinit -u -D; unset zle_bracketed_paste"
zpty -w shell "show() { print -r -- \"<\$BUFFER>\" }; zle -N show; bindkey '^X' show; print set''up"
zpty -r shell ignored '*setup*'
zpty -w -n shell "$2"$'\t\x18'
zpty -r shell seen '*<monitor*>*'
print -r -- ${${seen##*<}%%>*}
