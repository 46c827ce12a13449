# SPDX-License-Identifier: Apache-2.0
"""Handovers that fail, come one after another, or happen while others watch."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from harness.asgi_servers import CURRENT
from harness.attached_engine import Engine
from harness.client import Client, request
from harness.container import Container, inner_pid
from harness.load import keep_alive
from harness.monitor import Monitor
from harness.network import NetworkNamespace
from harness.restarts import Upgraded, ask, free_port, listener, terminate, total
from harness.server import (
    USUAL,
    AppServer,
    Server,
    listening_ports,
    listening_unix_sockets,
    parent_of,
    sockets_of,
    tree,
)
from harness.serving import Serving
from harness.waiting import wait_until

Start = Callable[..., Server]
Attach = Callable[..., Monitor]
Serve = Callable[..., Serving]


@pytest.fixture(autouse=True)
def keep_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONITOR_KEEP_ENDED", "60")


@pytest.fixture
def engine(engine: Engine) -> Engine:
    engine.environment["MONITOR_KEEP_ENDED"] = "60"
    return engine


@pytest.fixture
def upgraded(tmp_path: Path) -> Iterator[Upgraded]:
    (tmp_path / "server").mkdir()
    with Upgraded(tmp_path / "server") as server:
        yield server


def counters(serving: Serving, port: int) -> dict[str, float]:
    """Every series of the server that may only grow."""
    grows = re.compile(r"\w+(_total|_count|_sum|_bucket)\{")
    return {
        series: value
        for series, value in serving.metrics().items()
        if grows.match(series) and f'target="127.0.0.1:{port}"' in series
    }


def test_an_upgrade_that_fails(upgraded: Upgraded, attach: Attach, engine: Engine) -> None:
    """The new master ends while it starts: the old one stays, and nothing is said."""
    old, port = upgraded.old.pid, upgraded.old.port
    monitor = attach(old)
    engine.attach(old)
    ask(port, 10)
    upgraded.configuration.write_text("raise SystemExit('broken')")
    os.kill(old, signal.SIGUSR2)
    wait_until(lambda: "broken" in upgraded.old.log(), "the new master has failed")
    ask(port, 10)
    monitor.wait_for(lambda s: s["total_requests"] == 20, "the old one is counted")
    assert monitor.errors() == ""
    last = engine.snapshot(old)
    assert (last["total_requests"], last["undercount"], last["target"]["previous_pid"]) == (20, 0, None)


@pytest.mark.parametrize("watched", [True, False])
def test_upgrades_one_after_another(watched: bool, upgraded: Upgraded, attach: Attach, engine: Engine) -> None:
    port = upgraded.old.port
    engine.attach(upgraded.old.pid)
    monitor = attach(upgraded.old.pid, "--pins", str(engine.pins)) if watched else None
    for asked in (20, 40, 60):
        ask(port, 10)
        upgraded.upgrade()
        ask(port, 10)
        upgraded.finish()
        if monitor:
            last = monitor.wait_for(lambda s: s["total_requests"] % 20 == 0, "totals go on", pid=upgraded.new)
            assert last["total_requests"] == asked
    ask(port, 10)
    last = engine.snapshot(upgraded.new)
    assert (last["total_requests"], last["undercount"]) == (70, 0)
    assert engine.targets() == [upgraded.new]
    assert upgraded.old.tally().total() == 70
    objects = engine.objects()
    if monitor:
        monitor.pid = upgraded.new
        monitor.stop()
    engine.detach(upgraded.new)
    engine.assert_nothing_left(objects)


def test_reloads_and_other_signals_are_no_handover(upgraded: Upgraded, attach: Attach) -> None:
    """HUP, TTIN and TTOU replace workers, add one and take one away."""
    old, port = upgraded.old.pid, upgraded.old.port
    monitor = attach(old)
    asked = started = 0
    for number, more, left in (
        (signal.SIGHUP, 2, 2),
        (signal.SIGTTIN, 1, 3),
        (signal.SIGTTOU, 0, 2),
        (signal.SIGHUP, 2, 2),
    ):
        started = len(upgraded.old.started_workers())
        os.kill(old, number)
        wait_until(lambda: len(upgraded.old.started_workers()) == started + more, f"{number!r} has its effect")
        wait_until(lambda: len(upgraded.old.workers()) == left, "workers that end have ended")
        ask(port, 10)
        asked += 10
        monitor.wait_for(lambda s: s["total_requests"] == asked, "totals go on")
    assert monitor.errors() == ""
    assert upgraded.old.tally().total() == asked


def test_a_killed_master_leaves_workers(upgraded: Upgraded, serve: Serve, engine: Engine) -> None:
    old, port = upgraded.old.pid, upgraded.old.port
    serving = serve("--all")
    series = f'uvicorn_requests_total{{target="127.0.0.1:{port}"}}'
    wait_until(lambda: serving.metrics().get(series) == 0, "it is scraped")
    engine.attach(old)
    ask(port, 10)
    before = counters(serving, port)
    workers = upgraded.old.workers()
    os.kill(old, signal.SIGKILL)
    try:
        wait_until(lambda: not upgraded.old.is_running(), "it has ended")
        ask(port, 4)
        wait_until(lambda: serving.metrics()[series] == 14, "the workers are counted")
        last = json.loads(engine.run("--pid", old, "--json").stdout)
        assert (last["total_requests"], last["target"]["previous_pid"]) == (14, old)
        assert last["target"]["pid"] in workers
    finally:
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
    wait_until(lambda: all(parent_of(worker) == 0 for worker in workers), "the workers have ended")
    after = counters(serving, port)
    assert [name for name, value in before.items() if after.get(name, -1) < value] == []
    assert after[series] == 14


def test_counters_never_fall(start_server: Start, serve: Serve) -> None:
    """Each series, by endpoint and by listener, over restarts under load, as a scrape sees them."""
    port = free_port()
    serving = serve("--all", "--by-listener")
    seen: dict[str, float] = {}
    fell: list[str] = []

    def scrape() -> dict[str, float]:
        now = counters(serving, port)
        fell.extend(
            f"{name}: {value}, then {now.get(name)}" for name, value in seen.items() if now.get(name, 0) < value
        )
        seen.update(now)
        return now

    servers = [start_server(USUAL, "--port", str(port))]
    wait_until(scrape, "it is scraped")
    for _ in range(5):
        with Client(port) as client:
            assert client.ask(request("/fail")).status == 500
        keep_alive(port, 50, 4)
        scrape()
        terminate(servers[-1])
        scrape()
        servers.append(start_server(USUAL, "--port", str(port)))
        scrape()
        keep_alive(port, 50, 4)
        scrape()
    asked = total(servers)
    by_listener = f'uvicorn_requests_total{{target="127.0.0.1:{port}",listener="127.0.0.1:{port}"}}'
    wait_until(lambda: by_listener in scrape() and seen[by_listener] == asked, "all requests")
    assert fell == []
    assert {name for name in seen if name.startswith("uvicorn_undercount_total") and seen[name]} == set()


def test_another_program_on_the_address_is_named(start_server: Start, attach: Attach, engine: Engine) -> None:
    """The address is what is served, so totals go on; the operator can see that the program has changed."""
    port = free_port()
    first = start_server(USUAL, "--port", str(port))
    engine.attach(first.pid)
    monitor = attach(first.pid, selection=("--all",))
    ask(port, 5)
    terminate(first)
    other = subprocess.Popen(
        [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, "it listens")
        with Client(port) as client:
            assert client.ask(request("/")).status == 200
        last = monitor.wait_for(lambda s: s["total_requests"] == 6, "totals go on", pid=other.pid)
        assert last["target"]["previous_pid"] == first.pid
        assert "http.server" in last["target"]["command"]
        said = f"pid {other.pid} serves on 127.0.0.1:{port} and is followed; it runs "
        assert said in monitor.errors()
        assert re.search(r"it runs .*http\.server.*, and that one ran uvicorn app:app", monitor.errors())
        assert "http.server" in engine.done("sessions")
        assert engine.snapshot(other.pid)["total_requests"] == 6
    finally:
        other.kill()
        other.wait()


def test_the_same_pid_again(start_server: Start, engine: Engine, attach: Attach) -> None:
    """The next server happens to get the pid of the one that has ended."""
    port = free_port()
    first = start_server(USUAL, "--port", str(port))
    engine.attach(first.pid)
    monitor = attach(first.pid, selection=("--all",))
    ask(port, 5)
    terminate(first)
    second: Server | None = None
    for _ in range(20):
        Path("/proc/sys/kernel/ns_last_pid").write_text(str(first.pid - 1))
        second = start_server(USUAL, "--port", str(port))
        if second.pid == first.pid:
            break
        terminate(second)
    assert second and second.pid == first.pid
    ask(port, 6)
    assert engine.snapshot(second.pid)["total_requests"] == 11
    monitor.wait_for(lambda s: s["total_requests"] == 11, "totals go on")
    terminate(second)
    assert f"pid {first.pid}  has ended" in engine.done("sessions")


def test_views_of_one_engine_during_a_handover(upgraded: Upgraded, attach: Attach, engine: Engine) -> None:
    """Each says it once and goes on, and so does the log."""
    old, port = upgraded.old.pid, upgraded.old.port
    engine.attach(old)
    pins = ("--pins", str(engine.pins))
    views = [attach(old, *pins), attach(old, *pins), attach(old, *pins, selection=("--all",))]
    log = engine.start("--pid", old, "--log", "-", "--interval", "0.1")
    ask(port, 10)
    upgraded.upgrade()
    upgraded.finish()
    ask(port, 10)
    said = f"the server (pid {old}) has ended; pid {upgraded.new} serves on 127.0.0.1:{port} and is followed\n"
    for view in views:
        view.wait_for(lambda s: s["total_requests"] == 20, "the totals go on", pid=upgraded.new)
        assert view.errors().count("has ended") == view.errors().count(said) == 1
    assert engine.snapshot(upgraded.new)["undercount"] == 0
    objects = engine.objects()
    engine.detach(upgraded.new)
    for view in views[:2]:
        assert view.process.wait(20) == 3
    views[2].kill()
    out, err = log.communicate(timeout=20)
    assert log.returncode == 3
    assert "Total: 20 " in out
    assert said in err
    engine.assert_nothing_left(objects)


def test_a_server_that_nobody_replaces_goes_in_time(
    start_server: Start, serve: Serve, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Afterwards the address is a new server's, whose counters begin at 0."""
    monkeypatch.setenv("MONITOR_KEEP_ENDED", "1")
    engine.environment["MONITOR_KEEP_ENDED"] = "1"
    port = free_port()
    first = start_server(USUAL, "--port", str(port))
    serving = serve("--all")
    series = f'uvicorn_requests_total{{target="127.0.0.1:{port}"}}'
    engine.attach(first.pid)
    ask(port, 5)
    wait_until(lambda: serving.metrics().get(series) == 5, "it is counted")
    objects = engine.objects()
    terminate(first)
    wait_until(lambda: series not in serving.metrics(), "its series has gone")
    wait_until(lambda: not engine.sessions()["sessions"], "its target has gone")
    engine.assert_nothing_left(objects)
    start_server(USUAL, "--port", str(port))
    wait_until(lambda: series in serving.metrics(), "it is observed")
    ask(port, 6)
    wait_until(lambda: serving.metrics()[series] == 6, "it counts from 0")


def test_restarts_under_load(start_server: Start, serve: Serve) -> None:
    """Clients that keep asking, on connections that they keep. What the application counted is what is shown, except
    what passed before the first server was seen."""
    port = free_port()
    serving = serve("--all")
    series = f'uvicorn_requests_total{{target="127.0.0.1:{port}"}}'
    servers = [start_server(USUAL, "--port", str(port))]
    wait_until(lambda: serving.metrics().get(series) == 0, "it is scraped")
    load = subprocess.Popen(
        ["wrk", "-t1", "-c8", "-d60s", f"http://127.0.0.1:{port}/ok"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(5):
            asked = total(servers)
            wait_until(lambda: total(servers) > asked + 50, "requests pass")
            terminate(servers[-1])
            servers.append(start_server(USUAL, "--port", str(port)))
        wait_until(lambda: servers[-1].tally().total() > 50, "requests pass")
    finally:
        load.kill()
        load.wait()
    wait_until(lambda: serving.metrics()[series] == total(servers), "the application's total")
    assert serving.metrics()[f'uvicorn_not_seen_seconds{{target="127.0.0.1:{port}"}}'] < 3


def test_another_port_is_another_server(start_server: Start, attach: Attach) -> None:
    first = start_server()
    monitor = attach(first.pid, selection=("--all",))
    ask(first.port, 5)
    terminate(first)
    second = start_server()
    wait_until(lambda: monitor.newest(second.pid), "it is observed")
    ask(second.port, 6)
    seen = monitor.wait_for(lambda s: s["total_requests"] == 6, "a server of its own", pid=second.pid)
    assert seen["target"]["previous_pid"] is None
    assert seen["observed_seconds"] < seen["uptime_seconds"] + 1
    monitor.pid = second.pid
    monitor.stop()


class Supervised(Container):
    """Its init starts a server, and the next one when that has ended; USR1 to init ends it."""

    INIT = 'trap "kill \\$child" USR1; while true; do "$@" & child=$!; wait; wait; done'

    def __init__(self, directory: Path, network: NetworkNamespace, command: list[str]) -> None:
        directory.mkdir()
        super().__init__(directory, network, ["bash", "-c", self.INIT, "init", *command])

    def _listens(self, unix: Path | None) -> bool:
        self.pid = tree(self._process.pid)[1]
        with suppress(OSError):
            serving = tree(self.pid)[-1]
            ports = listening_ports(serving)
            self.ports = sorted({ports[inode] for inode in sockets_of(serving) if inode in ports})
        return bool(self.ports)

    def restart(self) -> None:
        started = len(self.started_workers())
        self.ports = []
        os.kill(self.pid, signal.SIGUSR1)
        wait_until(lambda: len(self.started_workers()) > started, "it has started again")
        wait_until(lambda: self._listens(None), "it listens again")


def test_in_a_container(tmp_path: Path, engine: Engine, start_server: Start) -> None:
    """The supervisor is the container's init. A server on the same address of the host is a stranger."""
    port = free_port()
    command = [USUAL.python, "-m", "uvicorn", "--lifespan", "on", "--log-level", "warning"]
    command += ["--host", "0.0.0.0", "--port", str(port), "app:app"]
    with NetworkNamespace() as network, Supervised(tmp_path / "server", network, command) as server:
        [first] = server.workers()
        engine.attach(first)
        keep_alive(port, 10, 2, host=network.inner)
        for _ in range(2):
            server.restart()
            stranger = start_server(USUAL, "--port", str(port), host="0.0.0.0")
            keep_alive(port, 7, 2)
            keep_alive(port, 10, 2, host=network.inner)
            terminate(stranger)
        [last] = server.workers()
        assert inner_pid(last) > 1
        seen = engine.wait_for(last, lambda s: s["active_concurrent"] == 0, "nothing is in flight")
        assert (seen["total_requests"], seen["undercount"]) == (30, 0)
        assert server.tally().total() == 30


def test_upgrades_on_a_unix_socket(tmp_path: Path, engine: Engine, short_directory: Path) -> None:
    (tmp_path / "server").mkdir()
    path = short_directory / "g.sock"
    with Upgraded(tmp_path / "server", f"unix:{path}", path) as server:
        engine.attach(server.old.pid)
        for _ in range(2):
            ask(path, 10)
            server.upgrade()
            ask(path, 10)
            server.finish()
        ask(path, 10)
        last = engine.snapshot(server.new)
        assert (last["total_requests"], last["undercount"]) == (50, 0)
        assert server.old.tally().total() == 50


def test_a_control_socket_makes_no_successor(tmp_path: Path, engine: Engine) -> None:
    """Every gunicorn of a user takes the path of the control socket from the one before."""
    control = ("--control-socket", str(tmp_path / "gunicorn.ctl"))
    with ExitStack() as stack:

        def start(name: str) -> AppServer:
            (tmp_path / name).mkdir()
            command = [CURRENT, "-m", "gunicorn", "--worker-class", "uvicorn_worker.UvicornWorker", *control]
            command += ["--log-level", "warning", "--bind", "127.0.0.1:0", "app:app"]
            return stack.enter_context(AppServer(tmp_path / name, name, command))

        first = start("one")
        engine.attach(first.pid)
        assert engine.snapshot(first.pid)["target"]["address"] == f"127.0.0.1:{first.port}"
        ask(first.port, 5)
        terminate(first)
        second = start("two")
        wait_until(lambda: str(tmp_path / "gunicorn.ctl") in listening_unix_sockets(second.pid), "it has its socket")
        ask(second.port, 6)
        [session] = engine.sessions()["sessions"]
        assert (session["pid"], session["processes"]) == (first.pid, 0)


def test_workers_that_have_not_read_yet(start_server: Start, engine: Engine) -> None:
    """A command between the restart and the first request of a worker: it is followed all the same."""
    port = free_port()
    first = start_server(USUAL, "--port", str(port), workers=2)
    stranger = start_server()
    engine.attach(first.pid)
    ask(port, 5)
    os.kill(first.pid, signal.SIGTERM)
    wait_until(lambda: not first.is_running(), "it has ended")
    second = start_server(USUAL, "--port", str(port), workers=2)
    engine.attach(stranger.pid)  # takes the exclusive lock, and so records the handover
    keep_alive(port, 40, 8)
    last = engine.wait_for(second.pid, lambda s: s["active_concurrent"] == 0, "nothing is in flight")
    assert (last["total_requests"], last["undercount"]) == (45, 0)
    assert set(second.workers()) <= {worker["pid"] for worker in last["workers"]}


def test_a_shared_port_with_an_overlap(start_server: Start, serve: Serve) -> None:
    """SO_REUSEPORT: both serve at a time, and are one server."""
    with ExitStack() as stack:
        made = [stack.enter_context(listener(True))]
        port = made[0].getsockname()[1]
        servers = [start_server(inherited=made[0])]
        serving = serve("--all")
        series = f'uvicorn_requests_total{{target="127.0.0.1:{port}"}}'
        wait_until(lambda: serving.metrics().get(series) == 0, "it is scraped")
        for _ in range(3):
            made.append(stack.enter_context(listener(True, port)))
            servers.append(start_server(inherited=made[-1]))
            made[-2].close()
            keep_alive(port, 20, 4)
            terminate(servers[-2])
            keep_alive(port, 20, 4)
        made[-1].close()
        wait_until(lambda: serving.metrics()[series] == total(servers) == 120, "both are counted")
