# SPDX-License-Identifier: Apache-2.0
"""What of the kernel's BPF objects a process holds, and which of them are still there."""

import json
import re
import subprocess
from pathlib import Path

KINDS = {"prog": "prog_id", "map": "map_id", "link": "link_id"}

Objects = set[tuple[str, int]]


def held_by(pid: int) -> Objects:
    found = set()
    for entry in Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            text = entry.read_text()
        except FileNotFoundError:
            continue
        # A link tells the program behind it too.
        for kind, name in KINDS.items():
            for value in re.findall(rf"^{name}:\s*(\d+)$", text, re.MULTILINE):
                found.add((kind, int(value)))
    return found


def still_there(objects: Objects) -> Objects:
    there = set()
    for kind in KINDS:
        listed = subprocess.run(["bpftool", "--json", kind, "list"], check=True, capture_output=True, text=True).stdout
        there |= {(kind, entry["id"]) for entry in json.loads(listed or "[]")}
    return objects & there
