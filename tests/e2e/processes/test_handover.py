# SPDX-License-Identifier: Apache-2.0
"""A server is an address that is served: when its process ends and another one serves there, the totals go on.

gunicorn's USR2, a supervisor that is killed, a listening socket that a supervisor holds (as systemd does),
SO_REUSEPORT, and a plain stop and start. Each for views with --pid and --all, for `serve`, or for an attached engine
without a viewer."""

import json
import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness.asgi_servers import CURRENT
from harness.attached_engine import Engine
from harness.load import keep_alive
from harness.monitor import Monitor, Snapshot
from harness.restarts import Upgraded, ask, free_port, listener, terminate, total
from harness.server import USUAL, AppServer, Server
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


def test_gunicorn_usr2(tmp_path: Path, attach: Attach, engine: Engine, serve: Serve) -> None:
    """The old master forks the new one, which executes itself and inherits the listening socket."""
    (tmp_path / "server").mkdir()
    with Upgraded(tmp_path / "server") as server:
        port, old = server.old.port, server.old.pid
        by_pid, by_all = attach(old), attach(old, selection=("--all",))
        serving = serve("--all")
        series = f'uvicorn_requests_total{{target="127.0.0.1:{port}"}}'
        wait_until(lambda: serving.metrics().get(series) == 0, "it is scraped")
        engine.attach(old)
        ask(port, 10)
        server.upgrade()
        ask(port, 10)
        wait_until(lambda: serving.metrics()[series] == 20, "both masters' workers count")
        server.finish()
        ask(port, 10)
        for monitor in by_pid, by_all:
            monitor.wait_for(lambda s: s["total_requests"] == 30, "the totals go on", pid=server.new)
            last = monitor.stop() if monitor is by_all else monitor.shown(server.new)
            said = f"the server (pid {old}) has ended; pid {server.new} serves on 127.0.0.1:{port} and is followed"
            assert said in monitor.errors()
            assert last["target"]["previous_pid"] in (old, None)
        assert by_pid.shown(server.new)["target"]["previous_pid"] == old
        assert by_pid.process.poll() is None
        wait_until(lambda: serving.metrics()[series] == 30, "one series, that does not begin anew")
        # The attached engine, by the new pid, by the old one and by none.
        for selection in (["--pid", server.new], ["--pid", old], []):
            ended = engine.run(*selection, "--json")
            assert ended.returncode == 0, ended
            assert '"total_requests":30,' in ended.stdout
            assert f'"pid":{server.new},' in ended.stdout
            assert (str(old) in ended.stderr) == (selection == ["--pid", old])
        assert engine.targets() == [server.new]
        assert server.old.tally().total() == 30
    wait_until(lambda: by_pid.process.poll() is not None, "the view ends with the last master")
    assert by_pid.process.returncode == 3
    assert f"the server (pid {server.new}) has ended" in by_pid.errors()


def test_a_killed_supervisor_leaves_workers_that_serve(start_server: Start, attach: Attach) -> None:
    server = start_server(USUAL, workers=2)
    monitor = attach(server.pid)
    keep_alive(server.port, 20, 2)
    workers = server.workers()
    try:
        os.kill(server.pid, signal.SIGKILL)
        server._process.wait()
        keep_alive(server.port, 20, 2)
        followed = wait_until(lambda: next((pid for pid in workers if monitor.newest(pid)), 0), "a handover")
        last = monitor.wait_for(lambda s: s["total_requests"] == 40, "the totals go on", pid=followed)
        assert last["target"]["previous_pid"] == server.pid
        assert {worker["pid"] for worker in last["workers"]} == set(workers)
    finally:
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
    wait_until(lambda: monitor.process.poll() == 3, "the view ends with the last worker")


@pytest.mark.parametrize("how", ["restarted", "inherited"])
def test_an_attached_engine_follows_on_a_unix_socket(
    how: str, start_server: Start, engine: Engine, short_directory: Path
) -> None:
    """From the first request, as on a TCP port. A new listener on the same path is the same listener."""
    path = short_directory / "server.sock"
    with ExitStack() as stack:
        held = stack.enter_context(socket.socket(socket.AF_UNIX)) if how == "inherited" else None
        if held:
            held.bind(str(path))
            held.listen()

        def start() -> Server:
            return start_server(unix=path, inherited=held)

        servers = [start()]
        stranger = start_server(unix=short_directory / "another.sock")
        engine.attach(servers[0].pid)
        keep_alive(path, 10, 2)
        for _ in range(3):
            terminate(servers[-1])
            servers.append(start())
            keep_alive(stranger.address, 10, 2)
            keep_alive(path, 20, 2)
        last = engine.wait_for(servers[-1].pid, lambda s: s["active_concurrent"] == 0, "nothing is in flight")
        assert last["target"]["previous_pid"]
        assert (last["total_requests"], last["undercount"]) == (70, 0)
        assert [(each["address"], each["total"], each["own"]) for each in last["listeners"]] == [
            (f"unix:{path}", 70, True)
        ]
        assert total(servers) == 70
        assert engine.targets() == [servers[-1].pid]


@pytest.mark.parametrize("how", ["restarted", "inherited", "shared"])
def test_an_attached_engine_without_a_viewer_follows(how: str, start_server: Start, engine: Engine) -> None:
    """From the first request: nobody but the kernel is there to see the new process."""
    port = free_port()
    with ExitStack() as stack:
        made = [] if how == "restarted" else [stack.enter_context(listener(how == "shared", port))]
        if how == "inherited":
            made[0].listen()

        def start() -> Server:
            if how == "restarted":
                return start_server(USUAL, "--port", str(port))
            if how == "shared":
                made.append(stack.enter_context(listener(True, port)))
            return start_server(inherited=made[-1])

        servers = [start()]
        if how == "shared":
            made[0].close()  # it got the connections that nobody would accept
        engine.attach(servers[0].pid)
        ask(port, 10)
        for _ in range(3):
            if how == "shared":
                servers.append(start())
                made[-2].close()
                terminate(servers[-2])
            else:
                terminate(servers[-1])
                servers.append(start())
            ask(port, 20)
        last = engine.wait_for(servers[-1].pid, lambda s: s["active_concurrent"] == 0, "nothing is in flight")
        assert last["target"]["previous_pid"]
        assert (last["total_requests"], last["undercount"]) == (70, 0)
        assert [(each["address"], each["total"], each["own"]) for each in last["listeners"]] == [
            (f"127.0.0.1:{port}", 70, True)
        ]
        assert total(servers) == 70
        assert engine.targets() == [servers[-1].pid]


def test_an_attached_server_is_kept_for_a_while(start_server: Start, engine: Engine) -> None:
    """Commands that run between stop and start do not end the counting; detach does."""
    port = free_port()
    first = start_server(USUAL, "--port", str(port))
    engine.attach(first.pid)
    ask(port, 5)
    terminate(first)
    assert f"pid {first.pid}  has ended; kept for " in engine.done("sessions")
    assert engine.run("--pid", first.pid, "--json").returncode == 3
    second = start_server(USUAL, "--port", str(port))
    ask(port, 6)
    assert engine.snapshot(second.pid)["total_requests"] == 11
    terminate(second)
    objects = engine.objects()
    assert engine.detach(second.pid) == f"detached pid {second.pid}\n"
    engine.assert_nothing_left(objects)


def test_another_address_is_another_server(start_server: Start, engine: Engine) -> None:
    first = start_server()
    engine.attach(first.pid)
    ask(first.port, 5)
    terminate(first)
    second = start_server()
    assert second.port != first.port
    ask(second.port, 6)
    assert engine.sessions()["sessions"][0]["pid"] == first.pid
    assert engine.run("--pid", first.pid, "--json").returncode == 3


def test_a_view_of_a_pid_follows_a_shared_port(start_server: Start, attach: Attach) -> None:
    """SO_REUSEPORT: the new server listens beside the old one for a while, and serves after its end."""
    with listener(True) as one:
        port = one.getsockname()[1]
        old = start_server(inherited=one)
        monitor = attach(old.pid)
        ask(port, 10)
        with listener(True, port) as two:
            new = start_server(inherited=two)
            one.close()
            terminate(old)
            monitor.wait_for(lambda s: s["target"]["previous_pid"] == old.pid, "the new one is followed", pid=new.pid)
            ask(port, 20)
            monitor.wait_for(lambda s: s["total_requests"] == 10 + 20, "the totals go on", pid=new.pid)
    said = f"the server (pid {old.pid}) has ended; pid {new.pid} serves on 127.0.0.1:{port} and is followed"
    assert said in monitor.errors()
    monitor.pid = new.pid
    monitor.stop()


def test_a_view_of_a_pid_waits_for_a_held_socket(start_server: Start, attach: Attach) -> None:
    """The test holds the listening socket from server to server, as systemd does for a service with a socket unit."""
    with listener() as held:
        held.listen()
        port = held.getsockname()[1]
        old = start_server(inherited=held)
        monitor = attach(old.pid)
        ask(port, 10)
        terminate(old)
        new = start_server(inherited=held)
        ask(port, 20)
        monitor.wait_for(lambda s: s["total_requests"] == 30, "the totals go on", pid=new.pid)
        terminate(new)
    wait_until(lambda: monitor.process.poll() == 3, "it ends when nobody holds the socket")


def test_a_view_of_an_attached_server_waits_for_the_next_one(
    start_server: Start, attach: Attach, engine: Engine
) -> None:
    """Nobody listens for a while, as when a supervisor starts it again. Not for longer than it is kept."""
    port = free_port()
    old = start_server(USUAL, "--port", str(port))
    engine.attach(old.pid)
    monitor = attach(old.pid, "--pins", str(engine.pins))
    ask(port, 10)
    terminate(old)
    waits = f"pid {old.pid} does not serve on 127.0.0.1:{port} any more; waiting up to 10 s for the next server there\n"
    wait_until(lambda: waits in monitor.errors(), "it waits")
    new = start_server(USUAL, "--port", str(port))
    ask(port, 20)
    last = monitor.wait_for(lambda s: s["total_requests"] == 30, "the totals go on", pid=new.pid)
    assert last["target"]["previous_pid"] == old.pid
    assert monitor.errors().count("does not serve") == 1
    engine.detach(new.pid)
    wait_until(lambda: monitor.process.poll() == 3, "it was detached")
    engine.environment["MONITOR_KEEP_ENDED"] = "0.5"
    engine.attach(new.pid)
    monitor = attach(new.pid, "--pins", str(engine.pins))
    terminate(new)
    status, last = monitor.wait_end()
    assert (status, last["target"]["pid"]) == (3, new.pid)
    assert f"the server (pid {new.pid}) has ended\n" in monitor.errors()


def test_every_earlier_root_names_the_server(start_server: Start, engine: Engine) -> None:
    port = free_port()
    servers = [start_server(USUAL, "--port", str(port))]
    engine.attach(servers[0].pid)
    for asked in (10, 20, 30):
        terminate(servers[-1])
        servers.append(start_server(USUAL, "--port", str(port)))
        ask(port, 10)
        assert engine.snapshot(servers[-1].pid)["total_requests"] == asked
    for old in servers[:-1]:
        ended = engine.run("--pid", old.pid, "--json")
        assert (ended.returncode, json.loads(ended.stdout)["target"]["pid"]) == (0, servers[-1].pid)
        assert f"the server (pid {old.pid}) has ended; pid {servers[-1].pid} serves on" in ended.stderr
    assert engine.detach(servers[0].pid) == f"detached pid {servers[-1].pid}\n"


def test_a_view_of_a_pid_ends_with_the_server(start_server: Start, attach: Attach) -> None:
    """Nobody listens on its address: there is nothing to wait for."""
    server = start_server()
    monitor = attach(server.pid)
    ask(server.port, 3)
    began = time.monotonic()
    terminate(server)
    status, last = monitor.wait_end()
    assert (status, last["total_requests"]) == (3, 3)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("how", ["TCP", "Unix"])
def test_serve_all_sees_servers_between_scrapes(
    how: str, start_server: Start, serve: Serve, short_directory: Path
) -> None:
    """No scrape happens until everything has been asked."""
    port, path = free_port(), short_directory / "server.sock"
    serving = serve("--all")

    def start() -> Server:
        return start_server(USUAL, "--port", str(port)) if how == "TCP" else start_server(unix=path)

    def settle(server: Server) -> None:
        if how == "Unix":
            time.sleep(1.5)  # the kernel reports no listen on a Unix socket: the next search finds it

    address = f"127.0.0.1:{port}" if how == "TCP" else f"unix:{path}"
    first = start()
    time.sleep(1.5)
    keep_alive(first.address, 100, 2)
    terminate(first)
    second = start()
    settle(second)
    keep_alive(second.address, 60, 2)
    label = f'{{target="{address}"}}'
    wait_until(lambda: serving.metrics().get(f"uvicorn_requests_total{label}") == 160, "both servers' requests")
    assert serving.metrics()[f"uvicorn_not_seen_seconds{label}"] < 3
    assert serving.metrics()[f'uvicorn_undercount_total{{target="{address}",cause="gap"}}'] == 0
    terminate(second)
    # Its final figures stay: Prometheus has had no chance yet to see them.
    wait_until(lambda: f"(pid {second.pid}) has ended" in serving.said(), "its end is reported")
    assert serving.metrics()[f"uvicorn_requests_total{label}"] == 160
    assert serving.metrics()[f"uvicorn_threads{label}"] == 0


def test_no_total_falls_over_restarts(start_server: Start, attach: Attach, engine: Engine) -> None:
    port = free_port()
    servers = [start_server(USUAL, "--port", str(port))]
    seen: list[Snapshot] = []
    monitor = attach(servers[0].pid, "--pins", str(engine.pins), selection=("--all",))
    for _ in range(3):
        ask(port, 20)
        terminate(servers[-1])
        servers.append(start_server(USUAL, "--port", str(port)))
        ask(port, 20)
        asked = total(servers)
        seen.append(monitor.wait_for(lambda s: s["total_requests"] == asked, f"{asked} requests", pid=servers[-1].pid))
    assert [s["total_requests"] for s in seen] == [40, 80, 120]
    assert all(s["undercount"] == 0 for s in seen)
    monitor.pid = servers[-1].pid
    monitor.stop()


def test_a_service_with_systemds_protocol(tmp_path: Path, engine: Engine) -> None:
    """gunicorn takes its listening socket from LISTEN_FDS, and so does the next one."""
    with listener() as held:
        held.listen()
        port = held.getsockname()[1]
        # LISTEN_PID is the pid of the process that gunicorn becomes.
        script = f'exec 3<&{held.fileno()}; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@"'
        servers: list[AppServer] = []
        with ExitStack() as stack:

            def start(name: str) -> AppServer:
                (tmp_path / name).mkdir()
                command = [CURRENT, "-m", "gunicorn", "--worker-class", "uvicorn_worker.UvicornWorker"]
                command += ["--workers", "2", "--no-control-socket", "--log-level", "warning", "app:app"]
                activated = ["bash", "-c", script, "activated", *command]
                server = AppServer(tmp_path / name, name, activated, 2, inherited=(held.fileno(),))
                return stack.enter_context(server)

            servers.append(start("one"))
            engine.attach(servers[0].pid)
            ask(port, 10)
            terminate(servers[0])
            servers.append(start("two"))
            ask(port, 20)
            last = engine.wait_for(servers[1].pid, lambda s: s["active_concurrent"] == 0, "nothing is in flight")
            assert (last["total_requests"], last["undercount"]) == (30, 0)
            # Workers that the new master forks later are followed, too.
            os.kill(servers[1].workers()[0], signal.SIGKILL)
            wait_until(lambda: len(servers[1].started_workers()) == 3, "a worker is replaced")
            ask(port, 20)
            last = engine.wait_for(servers[1].pid, lambda s: s["active_concurrent"] == 0, "nothing is in flight")
            assert last["total_requests"] == 50
