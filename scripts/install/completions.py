# SPDX-License-Identifier: Apache-2.0
"""Prints a shell completion for monitor, generated from its help texts: `completions.py bash|zsh MONITOR`."""

import shlex
import sys
from dataclasses import dataclass

import help_text
from help_text import Entry, Help

# Prints the root pids of the uvicorn, gunicorn and hypercorn process trees: processes with that name, or that Python
# runs under it, whose parent is not such a process. A name in a later argument proves nothing ("vim uvicorn").
# userspace/host/command_line.cpp is exact; this approximation is fast enough for a shell.
SERVERS = r"""
_monitor_pids() {
  command grep -lsaP '^([^\0]*(python|pypy)[^\0]*\0(-[^\0]*\0)*)?([^\0]*/)?(uvicorn|gunicorn|hypercorn)(: |\0)' \
      /proc/[0-9]*/cmdline | sed 's/cmdline$/status/' | xargs -r awk '
    /^Pid:/ { pid = $2 }
    /^PPid:/ { parent[pid] = $2 }
    END { for (pid in parent) if (!(parent[pid] in parent)) print pid }' 2>/dev/null
}
"""

BASH = r"""# bash completion for monitor, made from its --help by scripts/install/completions.py
@SERVERS@
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
  local pid
  local -a servers
  for pid in $(_monitor_pids); do
    servers+=("$pid:$(tr '\0' ' ' 2>/dev/null </proc/$pid/cmdline)")
  done
  _describe server servers
}

_monitor() {
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
    pids="words=$(_monitor_pids)",
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
