# SPDX-License-Identifier: Apache-2.0
"""Reads the requests of tests/cases (README.md there has the format) and their `servers` blocks."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from harness.server import ROOT, Flavour

DIRECTORY = ROOT / "tests/cases"
ESCAPES = {"r": b"\r", "n": b"\n", "t": b"\t", "\\": b"\\"}
# \*N{…}, \xNN, \r, or any other byte.
PIECE = re.compile(
    r"\\\*(?P<count>\d+)\{(?P<unit>[^}]*)\}|\\x(?P<hex>[0-9a-f]{2})|\\(?P<escape>[rnt\\])|(?P<byte>[ -~])"
)
NOTE = re.compile(r"(?P<servers>[\w, -]+): (?P<what>.*?): (?P<reason>.+)")
FACT = re.compile(r'(?P<word>not run|unseen|shown|undercount|unknown) (?P<object>"[^"]*"( as "[^"]*")?|\w+)')


# (a word of FACT, an endpoint's key, a status class or a cause)
Facts = Counter[tuple[str, str]]


@dataclass(frozen=True)
class Note:
    """How the counts of some servers differ from what their application counted, and why."""

    servers: tuple[str, ...]  # "all", "debian", "h11", "debian-h11" …
    facts: Facts

    def is_about(self, flavour: Flavour) -> bool:
        names = {"all", flavour.uvicorn, flavour.http, f"{flavour.uvicorn}-{flavour.http}"}
        return not names.isdisjoint(self.servers)


@dataclass(frozen=True)
class Case:
    name: str  # file: title
    data: bytes
    methods: tuple[str, ...]  # of the requests that the parser sees
    notes: tuple[Note, ...]

    def facts(self, flavour: Flavour) -> Facts:
        return sum((note.facts for note in self.notes if note.is_about(flavour)), Counter())


def unescape(text: str) -> bytes:
    data = b""
    at = 0
    while at < len(text):
        match = PIECE.match(text, at)
        assert match, f"not a valid byte sequence: {text[at:]}"
        at = match.end()
        if match["count"]:
            data += int(match["count"]) * unescape(match["unit"])
        elif match["hex"]:
            data += bytes.fromhex(match["hex"])
        else:
            data += ESCAPES[match["escape"]] if match["escape"] else match["byte"].encode()
    return data


def read_note(line: str) -> Note:
    match = NOTE.fullmatch(line)
    assert match, f"not a valid note: {line}"
    facts = [(fact["word"], fact["object"].replace('"', "")) for fact in FACT.finditer(match["what"])]
    assert ", ".join(f"{word} {it}" for word, it in facts) == match["what"].replace('"', ""), line
    return Note(tuple(match["servers"].split(", ")), Counter(facts))


def read_file(path: Path) -> list[Case]:
    cases = []
    for text in re.split(r"^## ", path.read_text(), flags=re.MULTILINE)[1:]:
        blocks = dict(re.findall(r"^```(\w[\w ]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
        kind = next(iter(blocks))
        if kind.startswith("request"):
            name = f"{path.name}: {text.partition(chr(10))[0]}"
            data = b"".join(unescape(line) for line in blocks[kind].splitlines())
            methods = re.findall(r'^line "([^"]*)"', blocks["events"], re.MULTILINE)
            notes = [read_note(line) for line in blocks.get("servers", "").splitlines()]
            cases.append(Case(name, data, tuple(methods), tuple(notes)))
    return cases


def read_cases() -> list[Case]:
    return [case for path in sorted(DIRECTORY.glob("*.md")) if path.name != "README.md" for case in read_file(path)]
