# SPDX-License-Identifier: Apache-2.0
"""`--watch` on terminals of every kind: low ones, and those that cannot move their cursor."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from harness.flavours import usual_flavour
from harness.monitor import BINARY, PROFILE
from harness.server import Server
from harness.terminal import read_terminal
from harness.waiting import PATIENCE

HOME = b"\x1b[H"
BOTTOM = "╚".encode()


class OnTerminal:
    """`monitor --watch` with a terminal of its own."""

    def __init__(self, pid: int, rows: int, columns: int, **variables: str) -> None:
        self.ours, self.its = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(self.its)
        environment = {name: value for name, value in os.environ.items() if name != "TERM"}
        self.process = subprocess.Popen(
            [BINARY, "--pid", str(pid), "--watch", "--interval", "0.05", "--no-system", "--profile", PROFILE],
            stdin=self.its,
            stdout=self.its,
            stderr=self.its,
            env=environment | {"LC_ALL": "C.UTF-8"} | variables,
            start_new_session=True,
            preexec_fn=lambda: os.close(os.open(os.ttyname(1), os.O_RDWR)),  # now it controls the session
        )

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.its, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: bytes) -> None:
        os.write(self.ours, keys)

    def read(self, times: int, text: bytes) -> bytes:
        return read_terminal(self.ours, lambda seen: seen.count(text) >= times)

    def end(self) -> bytes:
        """Waits for the end, and returns what was written until then."""
        assert self.process.wait(PATIENCE) == 0
        assert termios.tcgetattr(self.its) == self.before
        os.close(self.its)
        self.its = -1
        return read_terminal(self.ours, lambda _: False)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.ours)
        if self.its >= 0:
            os.close(self.its)


@contextmanager
def on_terminal(server: Server, rows: int = 24, columns: int = 80, **variables: str) -> Iterator[OnTerminal]:
    terminal = OnTerminal(server.pid, rows, columns, **variables)
    try:
        yield terminal
    finally:
        terminal.close()


def frames(seen: bytes) -> list[list[str]]:
    """The rows of each frame but the last, which may be half there."""
    drawn = seen.split(HOME)[1:-1]
    return [re.sub(rb"\x1b\[[?0-9;]*[A-Za-z]", b"", frame).decode().rstrip("\r\n").split("\r\n") for frame in drawn]


@usual_flavour
def test_each_line_ends_in_one_carriage_return(shared_server: Server) -> None:
    with on_terminal(shared_server, TERM="xterm") as terminal:
        seen = terminal.read(3, BOTTOM)
        terminal.type(b"q")
        seen += terminal.end()
    assert b"\r\r" not in seen
    assert seen.count(b"\r\n") == seen.count(b"\n") > 30


@usual_flavour
def test_a_terminal_lower_than_the_box(shared_server: Server) -> None:
    with on_terminal(shared_server, rows=6, TERM="xterm") as terminal:
        seen = terminal.read(3, b"more lines")
        low = frames(seen)[0]
        terminal.resize(24, 80)
        high = frames(terminal.read(3, BOTTOM))[-1]
        terminal.type(b"q")
        terminal.end()
    assert len(low) == 6
    assert low[0].startswith(f"pid {shared_server.pid} on ")
    assert low[:5] == high[:5]
    assert low[5] == f"({len(high) - 5} more lines: enlarge the terminal)"
    assert high[-1].startswith("╚")
    assert not any("more lines" in line for line in high)


@usual_flavour
@pytest.mark.parametrize("variables", [{"TERM": "dumb"}, {}], ids=["dumb", "unset"])
@pytest.mark.parametrize("key", [b"q", b"Q\n", b"\x03"], ids=["q", "Q and Enter", "Ctrl-C"])
def test_keys_on_a_terminal_that_cannot_move_its_cursor(
    shared_server: Server, variables: dict[str, Any], key: bytes
) -> None:
    with on_terminal(shared_server, **variables) as terminal:
        seen = terminal.read(2, BOTTOM)
        terminal.type(key)
        seen += terminal.end()
    assert b"\x1b" not in seen
    assert seen.count(b"Uvicorn Concurrency Monitor") >= 2


@usual_flavour
@pytest.mark.parametrize("term", ["dumb", "xterm"])
def test_a_job_of_a_shell(shared_server: Server, term: str) -> None:
    """It stops and goes on in an interactive shell, and q ends it afterwards."""
    environment = os.environ | {"TERM": term, "LC_ALL": "C.UTF-8", "PS1": "ready> "}
    pid, shell = pty.fork()
    if pid == 0:
        os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], environment)
    try:
        read_terminal(shell, lambda seen: b"ready> " in seen)
        fcntl.ioctl(shell, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 200, 0, 0))
        command = f"{BINARY} --pid {shared_server.pid} --watch --interval 0.05 --no-system --profile {PROFILE}\n"
        os.write(shell, command.encode())
        read_terminal(shell, lambda seen: BOTTOM in seen)
        os.write(shell, b"\x1a")
        read_terminal(shell, lambda seen: re.search(rb"Stopped.*ready> ", seen, re.DOTALL))
        os.write(shell, b"stty -a | tr ' ' '\\n' | grep icanon; fg\n")
        seen = read_terminal(shell, lambda seen: seen.count(BOTTOM) >= 2)
        assert re.search(rb"[\r\n]icanon\r\n", seen)
        os.write(shell, b"q")
        read_terminal(shell, lambda seen: b"ready> " in seen)
        os.write(shell, b"echo status=$?\n")
        read_terminal(shell, lambda seen: b"status=0\r\n" in seen)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.close(shell)
        os.waitpid(pid, 0)
