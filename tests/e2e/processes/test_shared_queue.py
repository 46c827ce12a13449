# SPDX-License-Identifier: Apache-2.0
"""Servers can share a listening socket that their supervisor opened: its accept queue counts once."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from harness.bpffs import pin_directory
from harness.monitor import BINARY, PROFILE, run_monitor
from harness.private_proc import OwnProc
from harness.waiting import PATIENCE

# Holds a listening socket that it inherited, and never accepts.
HOLDER = "import socket, sys; listening = socket.socket(fileno=int(sys.argv[1])); print(flush=True); input()"


@contextmanager
def sharing_a_queue(directory: Path, waiting: int) -> Iterator[list[int]]:
    """Two servers that a supervisor gave one listening socket, with connections in its accept queue."""
    program = directory / "uvicorn"
    program.write_text(HOLDER)
    with ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        command = [sys.executable, "-S", "-E", str(program), str(listening.fileno())]
        processes = []
        for _ in range(2):
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[listening.fileno()]
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            assert process.stdout and process.stdout.readline() == b"\n"
            processes.append(process.pid)
        for _ in range(waiting):
            stack.enter_context(socket.create_connection(listening.getsockname()))
        yield processes


@pytest.mark.parametrize("how", ["--all", "--pid", "attached"])
def test_an_accept_queue_that_servers_share_counts_once(how: str, tmp_path: Path) -> None:
    proc = OwnProc(tmp_path)
    with ExitStack() as stack:
        pids = stack.enter_context(sharing_a_queue(tmp_path, 7))
        proc.show(*pids)
        named = [word for pid in pids for word in ("--pid", str(pid))]
        selection, words = (["--all"] if how == "--all" else named), ["--profile", PROFILE]
        if how == "attached":
            words = ["--pins", str(stack.enter_context(pin_directory()))]
            made = run_monitor("attach", *named, *words, "--profile", PROFILE)
            assert made.returncode == 0, made.stderr
        ended = subprocess.run(
            [*proc.command(), BINARY, *selection, *words, "--json", "--interval", "0.05"],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert (ended.returncode, ended.stderr) == (0, "")
        snapshots = [json.loads(line) for line in ended.stdout.splitlines()]
        assert [snapshot["target"]["pid"] for snapshot in snapshots] == pids
        assert [snapshot["queue_depth"] for snapshot in snapshots] == [7, 0]
        assert [snapshot["listeners"][0]["queue_depth"] for snapshot in snapshots] == [7, 0]
        # Alone, each shows the queue that it accepts from.
        alone = run_monitor(*named[2:], *words, "--json", "--interval", "0.05")
        assert json.loads(alone.stdout)["queue_depth"] == 7
