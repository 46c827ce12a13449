# SPDX-License-Identifier: Apache-2.0
"""The BPF objects that exist, those that a process holds, and those that are pinned."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.waiting import wait_until

KINDS = {"prog": "prog_id", "map": "map_id", "link": "link_id"}

Objects = set[tuple[str, int]]


def held_by(pid: int) -> Objects:
    """Objects that a process holds. Empty if the process has ended, or if even root may not read its descriptors."""
    found: Objects = set()
    try:
        entries = list(Path(f"/proc/{pid}/fdinfo").iterdir())
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return found
    for entry in entries:
        try:
            text = entry.read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        # A link's information includes its program.
        for kind, name in KINDS.items():
            for value in re.findall(rf"^{name}:\s*(\d+)$", text, re.MULTILINE):
                found.add((kind, int(value)))
    return found


def held_by_any_process() -> Objects:
    return {one for entry in Path("/proc").glob("[0-9]*") for one in held_by(int(entry.name))}


def _listed(kind: str, *options: str) -> list[dict[str, Any]]:
    """bpftool fails when an object disappears while it lists. Objects of other tests do that at any time."""
    command = ["bpftool", "--json", *options, kind, "list"]
    listed = wait_until(lambda: _output(command), f"bpftool lists every {kind}")
    return list(json.loads(listed))


def _output(command: list[str]) -> str:
    """What it printed, at least a pair of brackets; empty if it failed."""
    ended = subprocess.run(command, capture_output=True, text=True)
    return "" if ended.returncode else ended.stdout or "[]"


def all_objects() -> Objects:
    """All objects on the machine, including those of other programs."""
    return {(kind, entry["id"]) for kind in KINDS for entry in _listed(kind)}


def still_there(objects: Objects) -> Objects:
    return objects & all_objects()


def pins() -> Iterator[tuple[Path, tuple[str, int]]]:
    """Every pin on the machine's BPF file systems, and the object that it keeps alive."""
    for kind in KINDS:
        for entry in _listed(kind, "--bpffs"):
            for path in entry.get("pinned", []):
                yield Path(path), (kind, entry["id"])


def pinned_under(directory: Path) -> Objects:
    return {one for path, one in pins() if path.is_relative_to(directory)}


def unaccounted_for(before: Objects) -> Objects:
    """New links that no process holds and that are not pinned. They must soon disappear."""
    links = {("link", entry["id"]) for entry in _listed("link")} - before
    if links:
        links -= {one for _, one in pins()}
    return links - held_by_any_process() if links else links
