# SPDX-License-Identifier: Apache-2.0
"""The results as a table: aligned on a terminal, and in docs/servers.md."""

from collections.abc import Sequence
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs/servers.md"
BEGIN = "<!-- table: begin; scripts/real-servers.sh --write writes this part -->\n"
END = "<!-- table: end -->"
HEAD = ("server", "version", "command", "evidence", "own count", "monitor", "undercount", "endpoints")

Row = Sequence[str]


def aligned(rows: Sequence[Row]) -> str:
    lines = [HEAD, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n" for line in lines
    )


def markdown(rows: Sequence[Row]) -> str:
    lines = [HEAD, ["---"] * len(HEAD), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def replaced(page: str, rows: Sequence[Row]) -> str:
    """The page with these rows. Those of other servers stay, so that one server can be run alone."""
    before, _, rest = page.partition(BEGIN)
    old, _, after = rest.partition(END)
    fresh = {row[0]: row for row in rows}
    kept = [line.strip("| ").split(" | ") for line in old.splitlines()[2:] if line.startswith("|")]
    merged = [fresh.pop(row[0], row) for row in kept]
    return f"{before}{BEGIN}{markdown([*merged, *fresh.values()])}{END}{after}"


def write_table(rows: Sequence[Row]) -> None:
    PAGE.write_text(replaced(PAGE.read_text(), rows))
