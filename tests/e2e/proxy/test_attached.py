# SPDX-License-Identifier: Apache-2.0
"""run_proxy.sh attaches its server for the server's life, so that every later command shows the counts since its
start."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.client import Client, request
from harness.kernel_objects import all_objects, unaccounted_for
from harness.monitor import BINARY
from harness.proxy import ReservedPort, Tree, alive, port_in
from harness.server import Server, tree
from harness.waiting import wait_until

RUN = "scripts/run_proxy.sh"
SHOW = "scripts/monitor_uvicorn.sh"


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Tree]:
    with Tree(tmp_path / "tree") as made:
        yield made


def ask(port: int, count: int) -> None:
    for _ in range(count):
        with Client(port) as client:
            assert client.ask(request("/ok")).body == b"ok"


def total_in(shown: subprocess.CompletedProcess[str]) -> int:
    assert (shown.returncode, shown.stderr) == (0, ""), shown
    return int(json.loads(shown.stdout)["total_requests"])


def test_every_later_command_shows_the_counts_since_the_start(proxy: Tree) -> None:
    with ReservedPort() as reserved:
        # The log's lines come too rarely for status to read them.
        started = proxy.type(f"{RUN} start {proxy.app('--monitor-interval', '3600', '--port', str(reserved.number))}")
        assert (started.returncode, started.stderr) == (0, "")
        port = port_in(started.stdout)
        ask(port, 25)
        assert total_in(proxy.type(f"{SHOW} --json")) == 25
        assert total_in(proxy.type(f"{SHOW} --json --pid {proxy.pid()}")) == 25
        assert total_in(proxy.type(f"{SHOW} --json --interval 0.1")) == 25
        assert total_in(proxy.type(f"{BINARY} --json")) == 25  # the PID file names the server
        assert total_in(proxy.type(f"cd / && {BINARY} --json")) == 25  # the only one that is attached
        box = proxy.type(SHOW)
        assert (box.returncode, box.stderr) == (0, "")
        assert "Peak Concurrent:    1\n" in box.stdout
        assert "Total Requests:     25\n" in box.stdout
        status = proxy.type(f"{RUN} status").stdout
        assert "\nSince its start:\n[CONCURRENCY] Active: 0/1 | Total: 25 | Failed: 0 |" in status
        assert "\n[ENDPOINTS] none\n[SYSTEM] CPU: " in status
        with proxy.typed(f"exec {BINARY} serve --listen 127.0.0.1:0") as serving:
            assert serving.stderr
            found = re.search(r"http://127\.0\.0\.1:(\d+)/metrics", serving.stderr.readline())
            assert found
            with Client(int(found[1])) as client:
                metrics = client.ask(request("/metrics")).body.decode()
            serving.terminate()
        assert re.search(r"^uvicorn_requests_total\{.*\} 25$", metrics, re.MULTILINE)
        # A restart is another server, which is counted from its own first request.
        assert proxy.type(f"{RUN} restart").returncode == 0
        ask(port, 3)
        assert total_in(proxy.type(f"{SHOW} --json")) == 3
    assert proxy.type(f"{RUN} stop").returncode == 0
    assert not proxy.pins.exists()


def test_an_attach_by_hand_is_no_start(proxy: Tree, start_server: Callable[..., Server]) -> None:
    """Words and counts say since when."""
    ask(proxy.start(), 2)
    assert proxy.type(f"{BINARY} detach --pid {proxy.pid()}").returncode == 0
    wait_until(lambda: "was detached" in proxy.log(), "the end of the monitor")
    assert "\nWithin half a second:\n[CONCURRENCY] Active: 0/0 | Total: 0 |" in proxy.type(f"{RUN} status").stdout
    assert proxy.type(f"{RUN} stop").returncode == 0
    server = start_server()
    assert proxy.type(f"{BINARY} attach --pid {server.pid}").returncode == 0
    ask(server.port, 4)
    (proxy.logs / "proxy.pid").write_text(f"{server.pid}\n")
    status = proxy.type(f"{RUN} status").stdout
    assert re.search(r"\nSince it was attached, [-0-9]+ [0-9:]+:\n\[CONCURRENCY\] Active: 0/1 \| Total: 4 \|", status)
    assert total_in(proxy.type(f"{SHOW} --json")) == 4
    other = proxy.type(f"{SHOW} --json --interval 0.05", MONITOR_PROFILE="syscall")
    assert (json.loads(other.stdout)["profile"], json.loads(other.stdout)["total_requests"]) == ("syscall", 0)
    assert "no request within 0.05 s" in other.stderr


@pytest.mark.parametrize("how", ["ends", "is killed", "is killed after its monitor"])
def test_a_server_that_ends_leaves_nothing_behind(how: str, proxy: Tree) -> None:
    before = all_objects()
    proxy.start("--workers 2")
    pid = proxy.pid()
    family = tree(pid)
    assert proxy.pins.exists()
    if how == "is killed after its monitor":
        for monitor in proxy.processes():
            if monitor not in family:
                os.kill(monitor, signal.SIGKILL)
        wait_until(lambda: set(proxy.processes()) == set(family), "the end of the monitor")
    os.kill(pid, signal.SIGTERM if how == "ends" else signal.SIGKILL)
    wait_until(lambda: not alive(pid), "the server's end")
    if how == "is killed after its monitor":
        assert proxy.type(f"{RUN} status").returncode == 3
    if how == "ends":
        wait_until(lambda: not proxy.pins.exists(), "the engine's end, without any command")
    else:
        assert proxy.pins.exists(), "its workers live on, and serve"
    proxy.type(f"{RUN} stop")
    wait_until(lambda: proxy.processes() == [], "the end of every process")
    assert proxy.type(f"{RUN} status").returncode == 3
    assert not proxy.pins.exists()
    wait_until(lambda: not unaccounted_for(before), "links that no process holds are gone")


def test_a_second_start_and_a_second_stop(proxy: Tree) -> None:
    port = proxy.start()
    ask(port, 2)
    pid = proxy.pid()
    again = proxy.type(f"{RUN} start {proxy.app()}")
    assert (again.returncode, again.stdout) == (1, "")
    assert f"Proxy is already running (pid {pid})" in again.stderr
    assert total_in(proxy.type(f"{SHOW} --json")) == 2
    for said in (f"Proxy (pid {pid}) has ended\n", "Proxy is not running\n"):
        stopped = proxy.type(f"{RUN} stop")
        assert (stopped.returncode, stopped.stdout, stopped.stderr) == (0, said, "")
        assert not proxy.pins.exists()


def test_an_engine_that_others_use_stays(proxy: Tree, start_server: Callable[..., Server]) -> None:
    server = start_server()
    assert proxy.type(f"{BINARY} attach --pid {server.pid}").returncode == 0
    ask(server.port, 4)
    ask(proxy.start(), 2)
    assert total_in(proxy.type(f"{SHOW} --json")) == 2
    assert total_in(proxy.type(f"{SHOW} --json --pid {server.pid}")) == 4
    assert proxy.type(f"{RUN} stop").returncode == 0
    sessions = json.loads(proxy.type(f"{BINARY} sessions --json").stdout)
    assert [session["pid"] for session in sessions["sessions"]] == [server.pid]


def test_without_an_attach_the_lines_still_count(proxy: Tree, start_server: Callable[..., Server]) -> None:
    """An engine with another profile is attached already."""
    server = start_server()
    assert proxy.type(f"{BINARY} attach --profile socket --pid {server.pid}").returncode == 0
    started = proxy.type(
        f"{RUN} start {proxy.app('--monitor-interval 0.05')}", MONITOR_PROFILE="syscall", PROXY_START_TIMEOUT="20"
    )
    assert (started.returncode, started.stderr) == (0, "")
    assert "\nOnly these lines count from the start: --profile syscall: the attached engine uses" in started.stdout
    ask(port_in(started.stdout), 3)
    proxy.wait_for(total=3)
    status = proxy.type(f"{RUN} status", MONITOR_PROFILE="syscall").stdout
    assert "\nSince its start, from logs/proxy.log:\n[CONCURRENCY] Active: 0/1 | Total: 3 |" in status
