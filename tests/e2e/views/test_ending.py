# SPDX-License-Identifier: Apache-2.0
"""How the monitor ends: on request, with its server, or with its reader. Nothing stays attached in the kernel."""

import fcntl
import json
import os
import pty
import re
import signal
import subprocess
import termios
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.client import Client, request
from harness.flavours import usual_flavour
from harness.kernel_objects import held_by, still_there
from harness.monitor import BINARY, Monitor
from harness.server import Server
from harness.terminal import read_terminal
from harness.waiting import PATIENCE, wait_until

Start = Callable[..., Server]
Attach = Callable[..., Monitor]


@usual_flavour
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_stays_attached(shared_server: Server, attach: Attach, number: signal.Signals) -> None:
    monitor = attach(shared_server.pid)
    held = held_by(monitor.process.pid)
    assert {kind for kind, _ in held} >= {"prog", "map"}
    assert still_there(held) == held
    monitor.process.send_signal(number)
    status, _ = monitor.wait_end()
    assert status == (-number if number == signal.SIGKILL else 0)
    wait_until(lambda: not still_there(held), "all of its objects are gone")
    with Client(shared_server.port) as client:
        assert client.ask(request("/ok")).status == 200


def test_the_server_ends(start_server: Start, attach: Attach) -> None:
    server = start_server()
    monitor = attach(server.pid)
    with Client(server.port) as client:
        assert client.ask(request("/ok")).status == 200
    monitor.wait_for(lambda snapshot: snapshot["total_requests"] == 1, "one request")
    server.stop()
    status, last = monitor.wait_end()
    assert status == 3
    assert last["total_requests"] == 1
    assert str(server.pid) in monitor.errors()


def test_the_server_ends_with_a_request_in_flight(start_server: Start, attach: Attach) -> None:
    server = start_server()
    monitor = attach(server.pid)
    with Client(server.port) as client:
        client.send(request("/hold?gate=never"))
        server.wait_at_gate("GET /hold", 1)
        server.stop()
        status, last = monitor.wait_end()
    assert status == 3
    assert (last["active_concurrent"], last["total_requests"], last["failed_requests"]) == (0, 1, 1)


@usual_flavour
@pytest.mark.parametrize("output", [["--watch", "--json"], ["--watch"], ["--log", "-"]], ids=" ".join)
def test_a_closed_pipe_ends_it_quietly(shared_server: Server, output: list[str]) -> None:
    process = subprocess.Popen(
        [BINARY, "--pid", str(shared_server.pid), *output, "--interval", "0.05"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stdout and process.stderr
        assert process.stdout.readline()
        process.stdout.close()
        assert process.wait(PATIENCE) in (0, -signal.SIGPIPE)
        assert process.stderr.read() == b""
    finally:
        process.kill()
        process.wait()


def waits_for_its_reader(pid: int) -> bool:
    """Whether it is in poll(2) for its output alone (proc_pid_syscall(5))."""
    call = Path(f"/proc/{pid}/syscall").read_text().split()
    return call[0] == "7" and int(call[2], 16) == 1


@usual_flavour
def test_a_reader_that_does_not_read_does_not_keep_it_running(shared_server: Server) -> None:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    process = subprocess.Popen(
        [BINARY, "--pid", str(shared_server.pid), "--watch", "--json", "--interval", "0.01"],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        os.close(writing)
        wait_until(lambda: waits_for_its_reader(process.pid), "its output pipe is full")
        process.terminate()
        _, said = process.communicate(timeout=PATIENCE)
        assert (process.returncode, said) == (
            1,
            "monitor: write to standard output: its reader does not read; stopped\n",
        )
    finally:
        process.kill()
        process.wait()
        os.close(reading)


@usual_flavour
@pytest.mark.parametrize("end", ["q", "SIGINT", "SIGTERM"])
def test_on_a_terminal(shared_server: Server, end: str) -> None:
    ours, its = pty.openpty()
    before = termios.tcgetattr(its)
    process = subprocess.Popen(
        [BINARY, "--pid", str(shared_server.pid), "--watch", "--interval", "0.05"],
        stdin=its,
        stdout=its,
        stderr=its,
        env=os.environ | {"TERM": "xterm", "LC_ALL": "C.UTF-8"},
        start_new_session=True,
        preexec_fn=lambda: os.close(os.open(os.ttyname(1), os.O_RDWR)),
    )
    try:
        seen = read_terminal(ours, lambda seen: seen.count("╚".encode()) >= 2)
        assert b"\x1b[?1049h" in seen  # the alternate screen
        if end == "q":
            os.write(ours, b"q")
        else:
            process.send_signal(signal.Signals[end])
        left = b"\x1b[?1049l"
        seen += read_terminal(ours, lambda seen: left in seen)
        assert process.wait(PATIENCE) == 0
        assert termios.tcgetattr(its) == before
        os.close(its)
        its = -1
        seen += read_terminal(ours, lambda _: False)
        # The cursor is shown again, and the last sample stays on the ordinary screen.
        assert seen.rindex(b"\x1b[?25h") > seen.rindex(b"\x1b[?25l")
        assert b"Uvicorn Concurrency Monitor" in seen[seen.rindex(left) :]
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        if its >= 0:
            os.close(its)


LOG_LINES = (
    re.compile(
        r"\[CONCURRENCY\] Active: \d+/\d+ \| Total: \d+ \| Failed: \d+ \| Queue: \d+ \| Uptime: (\d+[dhm] )*\d+s"
    ),
    re.compile(r"\[ENDPOINTS\] (\S+: \d+( \| \S+: \d+)*|\S+)"),
    re.compile(r"\[SYSTEM\] CPU: \d+\.\d% \| Memory: \d+\.\dMB \| Threads: \d+"),
)


def check_log(text: str) -> None:
    lines = text.splitlines()
    for index, line in enumerate(lines):
        assert LOG_LINES[index % 3].fullmatch(line), line


@usual_flavour
def test_the_log_is_appended_to_and_reopened(shared_server: Server, tmp_path: Path) -> None:
    log, rotated = tmp_path / "monitor.log", tmp_path / "monitor.log.1"
    log.write_text("")
    environment = os.environ | {"MONITOR_UPDATE_INTERVAL": "0.05"}
    process = subprocess.Popen([BINARY, "--pid", str(shared_server.pid), "--log", str(log)], env=environment)
    try:
        wait_until(lambda: log.read_text().count("\n") >= 3, "the first lines")
        with Client(shared_server.port) as client:
            client.send(request("/hold?gate=log"))
            wait_until(lambda: "[ENDPOINTS] /hold: 1" in log.read_text(), "the endpoint in flight is in the log")
            log.rename(rotated)
            process.send_signal(signal.SIGHUP)
            wait_until(lambda: log.exists() and log.read_text().count("\n") >= 6, "lines in the new file")
            shared_server.open_gate("log")
            assert client.response().body == b"held"
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
    both = rotated.read_text() + log.read_text()
    check_log(both)
    assert both.count("\n") % 3 == 0
    assert "Active: 1/1 " in both


@usual_flavour
def test_count_and_duration(shared_server: Server) -> None:
    for limit in (["--count", "3"], ["--duration", "0.2"]):
        ended = subprocess.run(
            [BINARY, "--pid", str(shared_server.pid), "--watch", "--json", "--interval", "0.05", *limit],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
        lines = [json.loads(line) for line in ended.stdout.splitlines()]
        assert len(lines) == 3 if "--count" in limit else len(lines) >= 1
        assert ended.stderr == ""
