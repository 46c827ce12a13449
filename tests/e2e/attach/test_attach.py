# SPDX-License-Identifier: Apache-2.0
"""`monitor attach`: the engine counts while no `monitor` runs, reports what it costs, and detaches completely."""

import os
import re
import signal
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness.attached_engine import HOOKS, Engine, assert_no_process_holds, attach_counted
from harness.client import Client, long_after, request
from harness.flavours import usual_flavour
from harness.kernel_objects import all_objects
from harness.load import keep_alive
from harness.monitor import PROFILE, run_monitor
from harness.observation import endpoint_of
from harness.scripted_requests import DRIVES
from harness.server import FASTEST, USUAL, Flavour, Server
from harness.waiting import wait_until

Start = Callable[..., Server]


def ask(server: Server, count: int, target: str = "/ok") -> None:
    with Client(server.address) as client:
        for _ in range(count):
            assert client.ask(request(target)).status == 200


@pytest.mark.parametrize("flavour", FASTEST, ids=str)
def test_counting_continues_while_no_monitor_runs(flavour: Flavour, start_server: Start, engine: Engine) -> None:
    server = start_server(flavour)
    counted = attach_counted(engine, server)
    objects = engine.objects()
    assert {kind for kind, _ in objects} == {"map", "prog", "link"}
    assert_no_process_holds(objects)
    for drive in DRIVES:
        drive(server.address)
    assert_no_process_holds(objects)
    counted.assert_equal(counted.settle())
    assert_no_process_holds(objects)
    assert engine.objects() == objects


def test_every_map_program_and_link_is_pinned(start_server: Start, engine: Engine) -> None:
    """A program array that is not pinned would be emptied when its loader ends."""
    server = start_server()
    before = all_objects()
    engine.attach(server.pid)
    names = {path.relative_to(engine.pins / "engine") for path in engine.pins.rglob("*/*/*")}
    assert not [name for name in names if "." in str(name)]
    for hook in ("on_state", "on_state_too", "on_fork", "on_exit"):
        assert {Path("programs") / hook, Path("links") / hook} <= names
    used = {Path("links/on_syscall")} if (engine.pin("links/on_syscall")).exists() else {Path("links/on_received")}
    assert used <= names
    engine.assert_no_leak(before)


def test_detach_leaves_nothing(start_server: Start, engine: Engine) -> None:
    server = start_server()
    for words in (["--pid", server.pid], ["--all"], []):
        before = all_objects()
        engine.attach(server.pid)
        objects = engine.objects()
        assert engine.done("detach", *words) == f"detached pid {server.pid}\n"
        engine.assert_nothing_left(objects)
        engine.assert_no_leak(before)
        assert engine.done("sessions") == engine.done("detach", "--all") == "No server is attached.\n"
    ask(server, 1)


def test_sessions_lists_targets_times_version_and_profile(start_server: Start, engine: Engine) -> None:
    server, workers = start_server(), start_server(USUAL, workers=2)
    assert engine.sessions() == {"sessions": [], "engine": None}
    began = datetime.now(UTC).replace(microsecond=0)
    engine.attach(server.pid)
    engine.attach(workers.pid)
    sessions = engine.sessions()
    ended = datetime.now(UTC)
    one, other = sessions["sessions"]
    assert (one["pid"], other["pid"]) == (server.pid, workers.pid)
    for session in (one, other):
        assert "uvicorn" in session["command"]
        since = datetime.strptime(session["since"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        assert began <= since <= ended
        assert 0 <= session["observed_seconds"] <= (ended - began).total_seconds()
    assert one["processes"] == 1
    assert other["processes"] >= 3  # the supervisor and its workers
    version = run_monitor("--version").stdout.split()[1]
    about = sessions["engine"]
    assert (about["version"], about["directory"], about["raw_paths"]) == (version, str(engine.pins), False)
    assert about["profile"] == PROFILE if PROFILE != "auto" else about["profile"] in ("socket", "syscall")
    text = engine.done("sessions")
    assert f"Engine at {engine.pins}: monitor {version}, profile {about['profile']}" in text
    for session in (one, other):
        assert re.search(
            rf"^pid {session['pid']}  since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d \(.*uvicorn", text, re.MULTILINE
        )


def test_sessions_shows_how_full_each_map_is_and_the_memory_used(start_server: Start, engine: Engine) -> None:
    server = start_server(USUAL, workers=2)
    engine.attach(server.pid)
    ask(server, 3, "/users/1")
    sessions = engine.sessions()
    rows = {row["name"]: row for row in sessions["engine"]["maps"]}
    assert (rows["targets"]["entries"], rows["targets"]["capacity"]) == (1, 16)
    assert rows["processes"]["entries"] == sessions["sessions"][0]["processes"]
    # "/users/{id}", and the three collective endpoints of the listener and of unknown listeners
    assert rows["endpoint_index"]["entries"] == 1 + 2 * 3
    assert rows["endpoint_index"]["capacity"] == 2048 + 2 * 3 * 16
    assert (rows["addressed_connections"]["capacity"], rows["listener_index"]["entries"]) == (65536, 2)
    assert {path.name for path in engine.pin("maps").iterdir()} | {"programs"} == set(rows)
    assert all(row["memory_bytes"] > 0 for row in rows.values())
    assert sessions["engine"]["memory_bytes"] == sum(row["memory_bytes"] for row in rows.values())
    text = engine.done("sessions")
    assert re.search(r"^  targets +1 of 16 +\d+\.\d kB$", text, re.MULTILINE)
    assert re.search(r"^  in all +\d+\.\d kB$", text, re.MULTILINE)


def test_limits_are_options_with_defaults_and_memory_cost() -> None:
    said = run_monitor("attach", "--help")
    assert said.returncode == 0
    text = " ".join(said.stdout.split())
    for option, usual, cost in (
        ("--max-targets", "16", "about 4.4 kB each"),
        ("--max-endpoints", "2048", "about 6.6 kB each"),
        ("--max-connections", "65536", "16 bytes each, 1 kB more while open"),
    ):
        assert re.search(rf"{option} N [^-]*{usual}, {cost}", text), (option, text)


def test_limits_hold(start_server: Start, engine: Engine, short_directory: Path) -> None:
    server, other = start_server(), start_server()
    limits = ("--max-targets", 1, "--max-endpoints", 2, "--max-connections", 128)
    counted = attach_counted(engine, server, *limits)
    rows = {row["name"]: row for row in engine.sessions()["engine"]["maps"]}
    assert rows["targets"]["capacity"] == 1
    assert rows["endpoint_index"]["capacity"] == 2 + 2 * 3
    assert rows["addressed_connections"]["capacity"] == 128
    refused = engine.run(*engine.attach_arguments(other.pid))
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "1 servers are followed already" in refused.stderr
    assert "--max-targets" in refused.stderr
    assert engine.targets() == [server.pid]
    ask(server, 2, "/ok")
    ask(server, 3, "/users/1")
    ask(server, 4, "/raw")
    snapshot = counted.settle()
    assert endpoint_of(snapshot, "(other)", "")["completed"] == 4
    assert snapshot["total_requests"] == 9
    again = engine.run(*engine.attach_arguments(server.pid), "--max-endpoints", 100)
    assert again.returncode == 0
    assert "the limits of the engine that is already attached apply" in again.stderr


def test_a_second_attach_adds_a_target_to_the_attached_engine(start_server: Start, engine: Engine) -> None:
    servers = [start_server() for _ in range(3)]
    first = attach_counted(engine, servers[0])
    ask(servers[0], 5)
    objects = engine.objects()
    before = servers[1].tally()
    said = engine.attach(servers[1].pid, servers[2].pid)
    assert re.findall(r"^attached pid (\d+), which listens on", said, re.MULTILINE) == [str(s.pid) for s in servers[1:]]
    assert engine.objects() == objects
    assert engine.targets() == sorted(server.pid for server in servers)
    for number, server in enumerate(servers):
        ask(server, 10 + number)
    first.assert_equal(first.settle())
    assert first.settle()["total_requests"] == 15
    assert servers[1].tally().total() - before.total() == engine.snapshot(servers[1].pid)["total_requests"] == 11
    # A target that leaves takes nothing from the others, and its slot is free again.
    engine.detach(servers[1].pid)
    assert engine.targets() == sorted([servers[0].pid, servers[2].pid])
    ask(servers[1], 7)
    assert engine.snapshot(servers[0].pid)["total_requests"] == 15
    assert engine.snapshot(servers[2].pid)["total_requests"] == 12
    engine.attach(servers[1].pid)
    snapshot = engine.snapshot(servers[1].pid)
    assert (snapshot["total_requests"], snapshot["endpoints"], snapshot["peak_concurrent"]) == (0, [], 0)
    engine.detach(*(server.pid for server in servers))
    engine.assert_nothing_left(objects)


def test_detach_needs_a_pid_if_several_are_attached(start_server: Start, engine: Engine) -> None:
    servers = [start_server() for _ in range(2)]
    engine.attach(*(server.pid for server in servers))
    unsaid = engine.run("detach")
    assert (unsaid.returncode, unsaid.stdout) == (2, "")
    for server in servers:
        assert f"monitor detach --pid {server.pid}" in unsaid.stderr
    other = start_server()
    wrong = engine.run("detach", "--pid", servers[0].pid, "--pid", other.pid)
    assert (wrong.returncode, wrong.stdout) == (3, "")
    assert f"pid {other.pid} is not attached" in wrong.stderr
    assert engine.targets() == sorted(server.pid for server in servers)


def test_attaching_again_reports_it_and_changes_nothing(start_server: Start, engine: Engine) -> None:
    server = start_server()
    counted = attach_counted(engine, server)
    with Client(server.port) as held:
        held.send(request("/hold?gate=again"))
        server.wait_at_gate("GET /hold", 1)
        objects, since = engine.objects(), engine.sessions()["sessions"][0]["since"]
        said = engine.attach(server.pid)
        assert re.fullmatch(rf"pid {server.pid} is attached already, since [-0-9]+ [0-9:]+\n", said)
        assert engine.objects() == objects
        assert engine.sessions()["sessions"][0]["since"] == since
        assert engine.snapshot(server.pid)["active_concurrent"] == 1
        server.open_gate("again")
        assert held.response().body == b"held"
    counted.assert_equal(counted.settle())


def test_several_servers_are_all_attached_or_not_at_all(start_server: Start, engine: Engine) -> None:
    server, workers = start_server(), start_server(USUAL, workers=2)
    before = all_objects()
    one_of_them = workers.workers()[0]
    ended = engine.run(*engine.attach_arguments(server.pid, workers.pid, one_of_them))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert f"process {one_of_them} belongs to a server that is followed already" in ended.stderr
    assert not engine.pins.exists()
    engine.assert_no_leak(before)
    counted = attach_counted(engine, server)
    assert engine.run(*engine.attach_arguments(workers.pid, one_of_them)).returncode == 1
    assert engine.targets() == [server.pid]
    ask(workers, 2)
    ask(server, 3)
    counted.assert_equal(counted.settle())


def test_a_worker_of_an_attached_server_is_rejected(start_server: Start, engine: Engine) -> None:
    server = start_server(USUAL, workers=2)
    engine.attach(server.pid)
    objects = engine.objects()
    (worker, *_) = server.workers()
    ended = engine.run(*engine.attach_arguments(worker))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "belongs to a server that is followed already" in ended.stderr
    assert engine.targets() == [server.pid]
    assert engine.objects() == objects


def test_workers_replaced_while_no_monitor_runs(start_server: Start, engine: Engine) -> None:
    server = start_server(USUAL, workers=2)
    counted = attach_counted(engine, server)
    first = server.workers()
    for kills, victim in enumerate(first, 1):
        ask(server, 20)
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: len(server.started_workers()) == 2 + kills, "the worker is replaced")
    keep_alive(server.port, 400)
    snapshot = counted.settle()
    assert snapshot["total_requests"] == counted.tally().total() == 440
    assert (snapshot["failed_requests"], snapshot["undercount_by_cause"]) == (0, {})
    assert {worker["pid"] for worker in snapshot["workers"]} == set(server.workers())


@pytest.mark.parametrize("flavour", FASTEST, ids=str)
def test_a_server_at_a_unix_socket(
    flavour: Flavour, short_directory: Path, start_server: Start, engine: Engine
) -> None:
    server = start_server(flavour, unix=short_directory / "server.sock")
    counted = attach_counted(engine, server)
    assert engine.pin("links/on_close").exists()
    assert_no_process_holds(engine.objects())
    for drive in DRIVES:
        drive(server.address)
    keep_alive(server.address, 2_000)
    snapshot = counted.settle()
    counted.assert_equal(snapshot)
    assert f"unix:{server.address}" in snapshot["target"]["listen"]
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(server.address)).send(request("/hold?gate=unix")) for _ in range(5)]
        server.wait_at_gate("GET /hold", 5)
        assert engine.snapshot(server.pid)["active_concurrent"] == 5
        clients.pop().close()
        engine.wait_for(server.pid, lambda s: s["active_concurrent"] == 4, "one client has left")
        server.open_gate("unix", 5)
        assert [client.response().body for client in clients] == [b"held"] * 4
    snapshot = engine.wait_for(server.pid, lambda s: s["open_connections"] == 0, "all are closed")
    assert (snapshot["active_concurrent"], snapshot["aborted_requests"]) == (0, 1)


def test_the_hooks_on_unix_sockets_come_with_the_first_server_at_one(
    short_directory: Path, start_server: Start, engine: Engine
) -> None:
    tcp, unix = start_server(), start_server(unix=short_directory / "server.sock")
    first = attach_counted(engine, tcp)
    assert not engine.pin("links/on_close").exists()
    ask(tcp, 3)
    second = attach_counted(engine, unix)
    assert engine.pin("links/on_close").exists()
    assert engine.pin("programs/on_close").exists()
    objects = engine.objects()
    assert_no_process_holds(objects)
    for drive in DRIVES:
        drive(unix.address)
        drive(tcp.address)
    for counted in (first, second):
        counted.assert_equal(counted.settle())
    engine.detach(tcp.pid, unix.pid)
    engine.assert_nothing_left(objects)


@usual_flavour
def test_requests_under_way_at_the_attach(shared_server: Server, engine: Engine) -> None:
    with ExitStack() as stack:
        gate = f"attached-{shared_server.port}"
        clients = [stack.enter_context(Client(shared_server.port)) for _ in range(3)]
        for client in clients:
            assert client.ask(request("/ok")).status == 200
        for client in clients[:2]:
            long_after(client).send(request(f"/hold?gate={gate}"))
        shared_server.wait_at_gate("GET /hold", 2)
        engine.attach(shared_server.pid)
        snapshot = engine.snapshot(shared_server.pid)
        assert endpoint_of(snapshot, "(before attach)", "")["active"] == snapshot["active_concurrent"] == 2
        assert snapshot["open_connections"] == 3
        shared_server.open_gate(gate, 2)
        assert [client.response().body for client in clients[:2]] == [b"held"] * 2
        assert clients[2].ask(request("/users/1")).status == 200
    snapshot = engine.wait_for(shared_server.pid, lambda s: s["total_requests"] == 3, "three requests")
    assert (snapshot["active_concurrent"], snapshot["failed_requests"], snapshot["undercount"]) == (0, 0, 0)


def test_options_that_contradict_the_attached_engine_are_exit_2(start_server: Start, engine: Engine) -> None:
    servers = [start_server() for _ in range(2)]
    engine.attach(servers[0].pid)
    profile = engine.sessions()["engine"]["profile"]
    other = "syscall" if profile == "socket" else "socket"
    for words in (["attach", "--pid", servers[1].pid], ["--json", "--pid", servers[0].pid]):
        for choice in (["--profile", other], ["--raw-paths"]):
            ended = engine.run(*words, *choice)
            assert (ended.returncode, ended.stdout) == (2, "")
            assert choice[0] in ended.stderr
            assert "detach" in ended.stderr
    assert engine.targets() == [servers[0].pid]


def test_paths_as_sent(start_server: Start, engine: Engine) -> None:
    server = start_server()
    engine.attach(server.pid, options=("--raw-paths",))
    ask(server, 2, "/users/1")
    snapshot = engine.wait_for(server.pid, lambda s: s["total_requests"] == 2, "two requests")
    assert endpoint_of(snapshot, "/users/1")["completed"] == 2
    assert engine.sessions()["engine"]["raw_paths"] is True


def test_the_pins_option(start_server: Start, engine: Engine) -> None:
    server = start_server()
    words = ("--pins", str(engine.pins))
    assert run_monitor("attach", *HOOKS, "--pid", str(server.pid), *words).returncode == 0
    assert f'"pid":{server.pid},' in run_monitor("sessions", "--json", *words).stdout
    assert engine.targets() == [server.pid]
    assert run_monitor("detach", *words).stdout == f"detached pid {server.pid}\n"
    assert not engine.pins.exists()
