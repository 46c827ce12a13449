# SPDX-License-Identifier: Apache-2.0
# For the tests: what zsh makes of a line when Tab is pressed behind it: `zsh -f complete.zsh DIRECTORY 'monitor --col'`.
# DIRECTORY holds _monitor. A real zsh on a pseudo-terminal: only its line editor completes. Ctrl-X prints the line.
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "fpath=(${(q)1} \$fpath); autoload -Uz compinit; compinit -u -D; unset zle_bracketed_paste"
zpty -w shell "show() { print -r -- \"<\$BUFFER>\" }; zle -N show; bindkey '^X' show; print set''up"
zpty -r shell ignored '*setup*'
zpty -w -n shell "$2"$'\t\x18'
zpty -r shell seen '*<monitor*>*'
print -r -- ${${seen##*<}%%>*}
