# SPDX-License-Identifier: Apache-2.0
"""Prints a shell completion for monitor, generated from its help texts: `completions.py bash|zsh MONITOR`."""

import shlex
import sys
from dataclasses import dataclass

import help_text
from help_text import Entry, Help

# Prints the servers on this machine, each as its pid, a tab and a description. Those of other users are in the list
# only if this user may see their sockets; the messages name the others.
SERVERS = r"""
_monitor_found() {
  command "$1" ls 2>&1 </dev/null | command sed -n \
    -e 's/^pid \([0-9][0-9]*\) on \(.*\)$/\1\t\2/p' \
    -e 's/^monitor: the sockets of process \([0-9][0-9]*\) (\(.*\)) cannot be seen: .*$/\1\t\2/p'
}
"""

BASH = r"""# bash completion for monitor, made from its --help by scripts/install/completions.py
@SERVERS@
# Sets COMPREPLY to the pids that begin with `current`. bash has no place for descriptions: where it only lists the
# matches, each is followed by its description; where it inserts one (COMP_TYPE % and *), it is not.
_monitor_pids() {
  local pid about
  while IFS=$'\t' read -r pid about; do
    [[ $pid != "$current"* ]] || COMPREPLY+=("$pid  (${about:0:70})")
  done < <(_monitor_found "${COMP_WORDS[0]/#~\//$HOME/}")
  if [[ ${#COMPREPLY[@]} -eq 1 || ${COMP_TYPE:-} == 37 || ${COMP_TYPE:-} == 42 ]]; then
    COMPREPLY=("${COMPREPLY[@]%%  (*}")
  fi
}

_monitor() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} words
  # bash splits --option=value into three words
  if [[ $current == = ]]; then
    current=
  elif [[ $previous == = && $COMP_CWORD -gt 2 ]]; then
    previous=${COMP_WORDS[COMP_CWORD - 2]}
  fi
  COMPREPLY=()
  case $previous in
@VALUES@
    *)
      case $COMP_CWORD:${COMP_WORDS[1]} in
        1:*) words=@FIRST@ ;;
@COMMANDS@
        *) words=@OPTIONS@ ;;
      esac
      ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -F _monitor monitor
"""

ZSH = r"""#compdef monitor
# zsh completion for monitor, made from its --help by scripts/install/completions.py
@SERVERS@
_monitor_servers() {
  local pid about
  local -a servers
  _monitor_found ${${(Q)monitor_program}/#\~\//$HOME/} | while IFS=$'\t' read -r pid about; do
    servers+=("$pid:$about")
  done
  _describe server servers
}

_monitor() {
  local monitor_program=$words[1]  # a command shifts it out
  case $(( CURRENT > 2 )):$words[2] in
@COMMANDS@
    *) _arguments@OPTIONS@ ;;
  esac
}

_monitor "$@"
"""


@dataclass
class Shell:
    """The actions by which one shell completes the value of an option."""

    pids: str
    file: str
    directory: str
    anything: str

    def value(self, option: Entry, words: str) -> str:
        if option.words():
            return words
        if "--pid" in option.names():
            return self.pids
        return {"FILE": self.file, "DIR": self.directory}.get(option.value(), self.anything)


IN_BASH = Shell(
    pids="_monitor_pids; return",
    file='compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$current"); return',
    directory='compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -d -- "$current"); return',
    anything="return",
)
IN_ZSH = Shell(pids="_monitor_servers", file="_files", directory="_files -/", anything=" ")


def fill(template: str, **parts: str) -> str:
    for name, part in parts.items():
        template = template.replace(f"@{name}@", part)
    return template


def names(options: list[Entry]) -> str:
    return shlex.quote(" ".join(name for option in options for name in option.names()))


def bash(whole: Help, commands: dict[str, Help]) -> str:
    every = [option for help_ in (whole, *commands.values()) for option in help_.options()]
    values: dict[str, set[str]] = {}
    for option in (option for option in every if option.value()):
        action = IN_BASH.value(option, f"words={shlex.quote(' '.join(option.words()))}")
        values.setdefault(action, set()).update(option.names())
    return fill(
        BASH,
        SERVERS=SERVERS,
        VALUES="\n".join(f"    {'|'.join(sorted(options))}) {action} ;;" for action, options in values.items()),
        FIRST=names([*(Entry(command, "") for command in commands), *whole.options()]),
        COMMANDS="\n".join(
            f"        *:{command}) words={names(help_.options())} ;;" for command, help_ in commands.items()
        ),
        OPTIONS=names(whole.options()),
    )


def zsh_quoted(text: str, special: str) -> str:
    return "".join(f"\\{letter}" if letter in special else letter for letter in text)


def zsh_specs(option: Entry) -> list[str]:
    """Specs for zsh's _arguments: (excluded options)name[meaning]:name of the value:action that completes it."""
    meaning = zsh_quoted(option.text, "\\[]")
    once = "*" if option.repeats() else f"({' '.join(option.names())})"
    if not option.value():
        return [shlex.quote(f"{once}{name}[{meaning}]") for name in option.names()]
    value = IN_ZSH.value(option, f"({' '.join(option.words())})")
    named = zsh_quoted(option.value(), "\\:")
    return [shlex.quote(f"{once}{name}=[{meaning}]:{named}:{value}") for name in option.names()]


def zsh(whole: Help, commands: dict[str, Help]) -> str:
    def arguments(help_: Help, *more: str) -> str:
        specs = [spec for option in help_.options() for spec in zsh_specs(option)]
        return "".join(f" \\\n      {spec}" for spec in [*more, *specs])

    special = ':"$`\\'
    listed = " ".join(f'{item.term}\\:"{zsh_quoted(item.text, special)}"' for item in whole.lists.get("Commands", []))
    return fill(
        ZSH,
        SERVERS=SERVERS,
        COMMANDS="\n".join(
            f"    1:{command}) shift words; (( CURRENT-- )); _arguments{arguments(help_)} ;;"
            for command, help_ in commands.items()
        ),
        OPTIONS=arguments(whole, shlex.quote(f"1:command:(({listed}))")),
    )


if __name__ == "__main__":
    _, shell, program = sys.argv
    print({"bash": bash, "zsh": zsh}[shell](*help_text.read(program)), end="")
