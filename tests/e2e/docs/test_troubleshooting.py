# SPDX-License-Identifier: Apache-2.0
"""docs/troubleshooting.md: the programs print its messages, and its commands run."""

import json
import os
import re
import subprocess
from pathlib import Path

from harness.capabilities import TO_ATTACH
from harness.flavours import usual_flavour
from harness.monitor import BINARY, run_monitor
from harness.server import ROOT, Server
from harness.waiting import PATIENCE

PAGE = (ROOT / "docs/troubleshooting.md").read_text()
BLOCKS = re.findall(r"^```\n(.*?)\n```$", PAGE, re.MULTILINE | re.DOTALL)
# The parts of a message that depend on the case (a pid, a path, a reason), and the places where messages are joined.
VARIABLE = re.compile(
    r"\(…\)|…|\d[\d.]*|logs/proxy\.\w+|/proc|: |by process|program on_\w+"
    r"|Cannot allocate memory, |map addressed_connections|CAP_\w+(?:, CAP_\w+)*"
)


def everything_said() -> str:
    """The text of all sources, with C++ strings that span several lines joined."""
    files = [*ROOT.glob("userspace/**/*.cpp"), *ROOT.glob("scripts/**/*.sh")]
    return re.sub(r'"\s*\n\s*"', "", "\n".join(path.read_text() for path in files))


def test_every_message_is_one_of_the_programs() -> None:
    said = everything_said()
    messages = [block for block in BLOCKS if not block.startswith("sudo ")]
    assert len(messages) > 15
    for line in "\n".join(messages).splitlines():
        pieces = [piece.strip(" :,;()") for piece in VARIABLE.split(line)]
        pieces = [piece for piece in pieces if len(piece) > 4]
        assert pieces, line
        assert [piece for piece in pieces if piece not in said] == [], line


def test_it_names_the_capabilities_that_are_needed() -> None:
    """proxy/test_users.py attaches with them."""
    [words] = re.findall(r"^sudo setcap (\S+)=ep build/release/monitor$", PAGE, re.MULTILINE)
    assert {word.removeprefix("cap_") for word in words.split(",")} == {
        *(word.removeprefix("+") for word in TO_ATTACH),
        "dac_read_search",
    }


@usual_flavour
def test_commands(shared_server: Server, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/monitor").symlink_to(BINARY)
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/proxy.pid").write_text(f"{shared_server.pid}\n")
    commands = re.findall(r"`(monitor [^`]+ \| jq [^`]+)`", PAGE)
    assert commands == ["monitor --json | jq .target", "monitor --json | jq .undercount_by_cause"]
    said = [
        json.loads(
            subprocess.run(
                ["bash", "-c", command.replace("--json", "--json --interval 0.05")],
                cwd=tmp_path,
                capture_output=True,
                env=os.environ | {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"},
                timeout=PATIENCE,
                check=True,
            ).stdout
        )
        for command in commands
    ]
    assert said[0]["pid"] == shared_server.pid
    assert said[0]["listen"] == [f"127.0.0.1:{shared_server.port}"]
    assert said[1] == {}
    assert "`monitor --pid N --verbose`" in " ".join(PAGE.split())
    verbose = run_monitor("--pid", str(shared_server.pid), "--verbose", "--json", "--interval", "0.05").stderr
    assert re.search(r"^monitor: loaded and attached in \d+ ms, profile \w+$", verbose, re.MULTILINE), verbose
    assert f"monitor: following pid {shared_server.pid}: " in verbose
