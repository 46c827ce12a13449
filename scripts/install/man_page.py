# SPDX-License-Identifier: Apache-2.0
"""Prints the man page of monitor: `man_page.py MONITOR SECTIONS`.

Most of it comes from the help texts of the program MONITOR; the roff file SECTIONS adds what no help text contains. The
page bears no date, so that the same program gives the same page."""

import re
import sys
from pathlib import Path

import help_text


def roff(text: str) -> str:
    """Escapes text for roff: keeps each minus, and prevents a line from starting with a request."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", escaped, flags=re.MULTILINE)


def term(entry: help_text.Entry) -> str:
    if not entry.is_option():
        return f"\\fB{roff(entry.term)}\\fR"
    names = ", ".join(f"\\fB{roff(name)}\\fR" for name in entry.names())
    return f"{names} \\fI{roff(entry.value())}\\fR" if entry.value() else names


def item_list(entries: list[help_text.Entry]) -> list[str]:
    return [line for entry in entries for line in (".TP", term(entry), roff(entry.text))]


def synopsis(usage: str) -> list[str]:
    program, _, rest = usage.partition(" [")
    return [f".B {roff(program)}", roff(f"[{rest}" if rest else "")]


def command_section(help_: help_text.Help) -> list[str]:
    lines = [f".SS {roff(help_.usage)}", *map(roff, help_.description)]
    for heading, entries in help_.lists.items():
        lines += [".PP", f"{roff(heading)}:", *item_list(entries)]
    for title, text in help_.notes.items():
        lines += [".PP", f"{title}: {roff(text)}"]
    return lines + ([".PP", *map(roff, help_.closing)] if help_.closing else [])


def note_section(title: str, text: str) -> list[str]:
    """Formats a note such as `0 done; 1 failed; …` as a list, and any other note as sentences."""
    items = [re.fullmatch(r"(\d+) (.+)", item) for item in text.rstrip(".").split("; ")]
    statuses = [item for item in items if item]
    body = [roff(text)]
    if len(statuses) == len(items):
        body = [line for item in statuses for line in (".TP", item[1], roff(item[2]))]
    return [f".SH {title.upper()}", *body]


def page(monitor: str, sections: str) -> list[str]:
    whole, commands = help_text.read(monitor)
    lines = [
        '.\\" Made from monitor --help by scripts/install/man_page.py.',
        f'.TH MONITOR 8 "" "{help_text.ask(monitor, "--version").strip()}" "System Administration"',
        *[".nh", ".ad l"],  # a path with a line break in it cannot be copied
        *[".SH NAME", "monitor \\- show what a running uvicorn is doing"],
        *[".SH SYNOPSIS", *synopsis(whole.usage)],
        *[".SH DESCRIPTION", *map(roff, whole.description + whole.closing), ".SH OPTIONS"],
    ]
    others = []
    for heading, entries in whole.lists.items():
        if entries[0].is_option():
            lines += [f".SS {roff(heading)}", *item_list(entries)]
        elif heading != "Commands":
            others += [f".SH {heading.upper()}", *item_list(entries)]
    lines.append(".SH COMMANDS")
    for help_ in commands.values():
        lines += command_section(help_)
    lines += others
    for title, text in whole.notes.items():
        lines += note_section(title, text)
    return [*lines, sections.rstrip()]


if __name__ == "__main__":
    _, program, sections_file = sys.argv
    print("\n".join(line for line in page(program, Path(sections_file).read_text()) if line))
