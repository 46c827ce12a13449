# SPDX-License-Identifier: Apache-2.0
"""SO_REUSEPORT: a new server begins to listen beside the old one, which still serves, as rolling restarts do. From its
first request on, it is part of the server that is observed. Each server has a listening socket of its own."""

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from harness.asgi_servers import CURRENT, Gunicorn, Hypercorn
from harness.attached_engine import Engine
from harness.monitor import Monitor, Snapshot
from harness.restarts import ask, listener, terminate, total
from harness.server import AppServer, Server, listening_ports, sockets_of
from harness.serving import Serving
from harness.waiting import wait_until
from tally import Tally

Start = Callable[..., Server]
Attach = Callable[..., Monitor]
Serve = Callable[..., Serving]
Begin = Callable[[], Server]


@pytest.fixture(autouse=True)
def keep_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONITOR_KEEP_ENDED", "60")


@pytest.fixture
def engine(engine: Engine) -> Engine:
    engine.environment["MONITOR_KEEP_ENDED"] = "60"
    return engine


@pytest.fixture
def begin(start_server: Start) -> Callable[..., Server]:
    """Starts a server that shares a port: port 0 for the first one, and the same one for those after it."""
    port = 0

    def start() -> Server:
        nonlocal port
        with listener(True, port) as made:
            server = start_server(inherited=made)
        port = server.port
        return server

    return start


def ask_all(servers: Sequence[AppServer]) -> None:
    """Until each has answered. The kernel chooses one for each connection."""
    before = [server.tally().total() for server in servers]

    def each_has_answered() -> bool:
        ask(servers[-1].port, 10)
        return all(server.tally().total() > count for server, count in zip(servers, before, strict=True))

    wait_until(each_has_answered, "each has answered")


def sample(engine: Engine, *selection: object) -> tuple[Snapshot, str]:
    """Of one server, with what is said about it."""
    ended = engine.run(*selection, "--json")
    assert ended.returncode == 0, ended
    return dict(json.loads(ended.stdout)), ended.stderr


def settle(engine: Engine, pid: int) -> tuple[Snapshot, str]:
    """The first sample with nothing in flight."""

    def at_rest() -> tuple[Snapshot, str] | None:
        found = sample(engine, "--pid", pid)
        return None if found[0]["active_concurrent"] else found

    found = wait_until(at_rest, "nothing is in flight")
    assert found
    return found


def settle_equal(engine: Engine, pid: int, servers: Sequence[AppServer]) -> tuple[Snapshot, str]:
    """The same, with all that the applications counted."""
    last, said = settle(engine, pid)
    assert (last["total_requests"], last["undercount"]) == (total(servers), 0)
    return last, said


def workers(snapshot: Snapshot) -> set[int]:
    return {worker["pid"] for worker in snapshot["workers"]}


def also_serves(new: int, port: int, old: int) -> str:
    return f"pid {new} also serves on 127.0.0.1:{port} and is followed with pid {old}\n"


def test_an_attached_engine_counts_both(begin: Begin, engine: Engine) -> None:
    """Three generations, and no command runs while two of them serve; then a fourth that is taken back."""
    servers = [begin()]
    engine.attach(servers[0].pid)
    for _ in range(3):
        ask_all(servers[-1:])
        servers.append(begin())
        ask_all(servers[-2:])
        terminate(servers[-2])
        ask_all(servers[-1:])
    current = servers[-1]
    last, said = settle_equal(engine, current.pid, servers)
    assert (last["target"]["previous_pid"], workers(last), said) == (servers[0].pid, {current.pid}, "")
    servers.append(begin())
    ask_all(servers[-2:])
    terminate(servers[-1])
    ask_all([current])
    last, said = settle_equal(engine, current.pid, servers)
    assert (last["target"]["pid"], workers(last), said) == (current.pid, {current.pid}, "")
    assert [(each["address"], each["own"]) for each in last["listeners"]] == [(f"127.0.0.1:{current.port}", True)]


def test_commands_name_both(begin: Begin, engine: Engine) -> None:
    """The one that was attached is the root until it ends."""
    old = begin()
    engine.attach(old.pid)
    new = begin()
    ask_all([old, new])
    last, said = settle_equal(engine, old.pid, [old, new])
    assert (last["target"]["pid"], workers(last)) == (old.pid, {old.pid, new.pid})
    assert said == "monitor: " + also_serves(new.pid, old.port, old.pid)
    assert f"\nwith pid {new.pid}, which serves on the same address\n" in engine.run("--pid", old.pid).stdout
    assert f"pid {new.pid} is counted with pid {old.pid}, on whose address it serves" in engine.attach(new.pid)
    listed = {server["pid"]: server["attached"] for server in json.loads(engine.done("ls", "--json"))["servers"]}
    assert (listed[old.pid], listed[new.pid]) == (True, True)
    assert engine.targets() == [old.pid]
    terminate(old)
    ask_all([new])
    last, said = settle_equal(engine, new.pid, [old, new])
    assert (last["target"]["previous_pid"], said) == (old.pid, "")
    # The next two, of which no command sees the first handover.
    servers = [old, new, begin()]
    terminate(new)
    servers.append(begin())
    ask_all(servers[2:])
    last, said = settle_equal(engine, new.pid, servers)
    assert (last["target"]["pid"], workers(last)) == (servers[2].pid, {server.pid for server in servers[2:]})
    assert also_serves(servers[3].pid, old.port, servers[2].pid) in said
    assert f"pid {servers[3].pid} is counted with pid {servers[2].pid}" in engine.attach(servers[3].pid)
    assert engine.targets() == [servers[2].pid]


class WorkersListen(Gunicorn):
    """Its master does not listen."""

    def _listens(self, unix: Path | None) -> bool:
        ports = listening_ports(self.pid)
        self.ports = sorted({ports[inode] for pid in self.workers() for inode in sockets_of(pid) if inode in ports})
        return bool(self.ports)


def each_worker_answers(server: AppServer) -> bool:
    ask(server.port, 10)
    return all(Tally.read(server.directory, str(pid)).total() for pid in server.workers())


@pytest.mark.parametrize("supervisor", ["hypercorn", "gunicorn"])
def test_with_workers(supervisor: str, tmp_path: Path, engine: Engine) -> None:
    """hypercorn's workers share a socket on which the first of them listens; each of gunicorn's listens by itself."""
    with listener(True) as reserved, ExitStack() as stack:
        bind = f"127.0.0.1:{reserved.getsockname()[1]}"

        def start(name: str) -> AppServer:
            (tmp_path / name).mkdir()
            if supervisor == "hypercorn":
                return stack.enter_context(Hypercorn(tmp_path / name, workers=2, binds=(bind,)))
            return stack.enter_context(WorkersListen(tmp_path / name, CURRENT, "--reuse-port", binds=(bind,)))

        servers = [start("one")]
        engine.attach(servers[0].pid)
        for name in ("two", "three"):
            servers.append(start(name))
            old, new = servers[-2:]
            wait_until(partial(each_worker_answers, new), "each worker has answered")
            last, said = settle_equal(engine, old.pid, servers)
            assert workers(last) == {*old.workers(), *new.workers()}
            assert said == "monitor: " + also_serves(new.pid, new.port, old.pid)
            terminate(old)
            ask(new.port, 20)
            last, said = settle_equal(engine, new.pid, servers)
            assert (last["target"]["previous_pid"], workers(last)) == (old.pid, set(new.workers()))


def test_one_that_listened_before_stays_outside(begin: Begin, engine: Engine) -> None:
    """Also when it reads after a third one has joined. An attach of both counts the third one once."""
    outside, old = begin(), begin()
    engine.attach(old.pid)
    ask_all([outside, old])
    new = begin()
    ask_all([outside, old, new])
    last, _ = settle_equal(engine, old.pid, [old, new])
    assert workers(last) == {old.pid, new.pid}
    engine.attach(outside.pid)
    before = outside.tally().total()
    newest = begin()
    ask_all([outside, old, new, newest])
    first, second = (settle(engine, server.pid)[0] for server in (old, outside))
    counted = first["total_requests"] + second["total_requests"]
    assert counted == total([old, new, newest]) + outside.tally().total() - before
    assert (first["undercount"], second["undercount"]) == (0, 0)


def test_a_view_of_a_pid(begin: Begin, attach: Attach) -> None:
    """Both orders of the ends."""
    old = begin()
    monitor = attach(old.pid)
    ask_all([old])
    taken_back = begin()
    ask_all([old, taken_back])
    seen = monitor.wait_for(lambda s: s["total_requests"] == total([old, taken_back]), "both are counted")
    assert workers(seen) == {old.pid, taken_back.pid}
    terminate(taken_back)
    ask_all([old])
    new = begin()
    ask_all([old, new])
    servers = [old, taken_back, new]
    monitor.wait_for(lambda s: s["total_requests"] == total(servers), "both are counted")
    said = "".join(f"monitor: {also_serves(other.pid, old.port, old.pid)}" for other in (taken_back, new))
    assert monitor.errors() == said
    terminate(old)
    ask_all([new])
    last = monitor.wait_for(lambda s: s["total_requests"] == total(servers), "the totals go on", pid=new.pid)
    assert (last["undercount"], last["active_concurrent"], workers(last)) == (0, 0, {new.pid})
    ended = f"the server (pid {old.pid}) has ended; pid {new.pid} serves on 127.0.0.1:{old.port} and is followed\n"
    assert monitor.errors() == f"{said}monitor: {ended}"
    monitor.pid = new.pid
    monitor.stop()


@pytest.mark.parametrize("attached", [True, False])
def test_with_all_it_is_counted_once(
    attached: bool, begin: Begin, engine: Engine, attach: Attach, serve: Serve, start_server: Start
) -> None:
    """A view and `serve`, whether the old server is attached, beside another one, or not."""
    old, another = begin(), start_server()
    if attached:
        engine.attach(old.pid, another.pid)
    pins = ("--pins", str(engine.pins))
    monitor = attach(old.pid, *pins, selection=("--all",))
    serving = serve("--all", *pins)
    label = f'{{target="127.0.0.1:{old.port}"}}'
    wait_until(lambda: serving.metrics().get(f"uvicorn_requests_total{label}") == 0, "it is scraped")
    not_seen = serving.metrics()[f"uvicorn_not_seen_seconds{label}"]
    servers = [old]
    for _ in range(2):
        servers.append(begin())
        ask_all(servers[-2:])
        late = attach(servers[-2].pid, *pins, selection=("--all",))
        seen = monitor.wait_for(
            lambda s: s["total_requests"] == total(servers), "both are counted", pid=servers[-2].pid
        )
        assert workers(seen) == {server.pid for server in servers[-2:]}
        assert monitor.newest(servers[-1].pid) is None
        assert attached == (late.newest(servers[-1].pid) is None)
        late.kill()
        terminate(servers[-2])
        ask_all(servers[-1:])
        monitor.wait_for(lambda s: s["total_requests"] == total(servers), "totals go on", pid=servers[-1].pid)
    wait_until(lambda: serving.metrics()[f"uvicorn_requests_total{label}"] == total(servers), "all are counted")
    metrics = serving.metrics()
    assert [name for name in metrics if name.startswith("uvicorn_requests_total{") and f":{old.port}" in name] == [
        f"uvicorn_requests_total{label}"
    ]
    assert metrics[f"uvicorn_not_seen_seconds{label}"] == not_seen
    assert monitor.shown(servers[-1].pid)["undercount"] == 0
    monitor.pid = servers[-1].pid
    monitor.stop()
