# SPDX-License-Identifier: Apache-2.0
"""Parses the output of `monitor --help` and `monitor COMMAND --help`, the single source of the man page (man_page.py)
and of the shell completions (completions.py)."""

import re
import subprocess
from dataclasses import dataclass, field


@dataclass
class Entry:
    """One line of a list, with the lines that continue it: an option, a command or an example."""

    term: str  # "--log FILE", "attach"
    text: str  # what it means, in one line

    def is_option(self) -> bool:
        return self.term.startswith("-")

    def names(self) -> list[str]:
        return self.term.split(" ")[0].split(",")

    def value(self) -> str:
        """The placeholder of the option's value, such as FILE or N; empty if it takes no value."""
        return self.term.partition(" ")[2]

    def words(self) -> list[str]:
        """The possible values, if the text lists them as "auto, always or never"; otherwise an empty list."""
        plain = re.sub(r" \([^)]*\)", "", self.text)
        choice = re.fullmatch(r"(?:.*: )?(\w+(?:, \w+)* or \w+)", plain)
        return re.split(r", | or ", choice[1]) if choice and self.value() else []

    def repeats(self) -> bool:
        return f"Several {self.names()[0]} " in self.text


@dataclass
class Help:
    usage: str = ""
    description: list[str] = field(default_factory=list)  # the lines before the usage
    lists: dict[str, list[Entry]] = field(default_factory=dict)  # by heading
    notes: dict[str, str] = field(default_factory=dict)  # "Exit status": the text after the colon
    closing: list[str] = field(default_factory=list)  # the lines after the lists

    def options(self) -> list[Entry]:
        return [entry for entries in self.lists.values() for entry in entries if entry.is_option()]


# One space separates an option's name from its value, and its meaning follows. A note's title has one or two words,
# which distinguishes it from a sentence with a colon.
OPTION = re.compile(r"  (-\S+(?: \S+)?)(?: +(.*))?")
ITEM = re.compile(r"  (\S.*?)(?: {2,}(.*))?")
CONTINUED = re.compile(r" {6,}(\S.*)")
NOTE = re.compile(r"([A-Z][a-z]+(?: [a-z]+)?): (.+)")


def parse(text: str) -> Help:
    result = Help()
    entries: list[Entry] = []
    note = ""
    for line in text.splitlines():
        if line.startswith("Usage: "):
            result.usage = line.removeprefix("Usage: ")
        elif match := CONTINUED.fullmatch(line):
            entries[-1].text = f"{entries[-1].text} {match[1]}".strip()
        elif match := OPTION.fullmatch(line) or ITEM.fullmatch(line):
            entries.append(Entry(match[1], match[2] or ""))
        elif line.endswith(":"):
            entries = result.lists.setdefault(line[:-1], [])
        elif match := NOTE.fullmatch(line):
            note = match[1]
            result.notes[note] = match[2]
        elif not line:
            note = ""
        elif note:
            result.notes[note] += f" {line}"
        else:
            (result.closing if result.usage else result.description).append(line)
    if not result.usage or not result.options() or not all(result.lists.values()):
        raise SystemExit(f"cannot parse this help text:\n{text}")
    return result


def ask(monitor: str, *arguments: str) -> str:
    return subprocess.run([monitor, *arguments], check=True, capture_output=True, text=True).stdout


def read(monitor: str) -> tuple[Help, dict[str, Help]]:
    """The help of the program itself, and of each of its commands."""
    whole = parse(ask(monitor, "--help"))
    commands = [entry.term for entry in whole.lists.get("Commands", [])]
    return whole, {command: parse(ask(monitor, command, "--help")) for command in commands}
