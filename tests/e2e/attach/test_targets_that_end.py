# SPDX-License-Identifier: Apache-2.0
"""Attached servers that end, and commands that run at the same time.

The last command that watches an ended server cleans up. Without one, the next command recognises the ended server by
its pid and start time, and cleans up."""

import json
import os
import signal
import struct
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness.attached_engine import Engine, attach_counted
from harness.blocking_server import BlockingServer
from harness.client import Client, request
from harness.kernel_objects import all_objects
from harness.load import keep_alive, wrk_running
from harness.monitor import Monitor
from harness.server import USUAL, Server
from harness.waiting import PATIENCE, wait_until

Start = Callable[..., Server]
Attach = Callable[..., Monitor]

# The next command of an operator.
NEXT: dict[str, list[object]] = {
    "sessions": ["sessions"],
    "box": ["--pid", 0],
    "json": ["--pid", 0, "--json"],
    "detach": ["detach", "--pid", 0],
}


@pytest.mark.parametrize("following", NEXT)
@pytest.mark.parametrize("how", ["exits", "crashes"])
def test_a_target_that_ends_is_cleaned_up_by_the_next_command(
    how: str, following: str, start_server: Start, engine: Engine
) -> None:
    server = start_server(USUAL, workers=2 if how == "crashes" else 1)
    before = all_objects()
    engine.attach(server.pid)
    objects = engine.objects()
    keep_alive(server.port, 10, 2)
    if how == "exits":
        os.kill(server.pid, signal.SIGTERM)
        wait_until(lambda: not server.is_running(), "the server has ended")
    else:
        server.stop()
    ended = engine.run(*(server.pid if word == 0 else word for word in NEXT[following]))
    if following == "sessions":
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "No server is attached.\n", "")
    elif following == "detach":
        assert (ended.returncode, ended.stdout) == (0, f"detached pid {server.pid}\n")
    else:
        assert (ended.returncode, ended.stdout) == (3, "")
        assert str(server.pid) in ended.stderr
    engine.assert_nothing_left(objects)
    engine.assert_no_leak(before)


def test_a_target_that_ends_does_not_change_the_others(start_server: Start, engine: Engine) -> None:
    ending, staying, coming = (start_server() for _ in range(3))
    engine.attach(ending.pid)
    counted = attach_counted(engine, staying)
    objects = engine.objects()
    with Client(staying.port) as held, Client(ending.port) as lost:
        held.send(request("/hold?gate=others"))
        lost.send(request("/hold?gate=others"))
        staying.wait_at_gate("GET /hold", 1)
        ending.wait_at_gate("GET /hold", 1)
        ending.stop()
        assert engine.targets() == [staying.pid]
        assert engine.snapshot(staying.pid)["active_concurrent"] == 1
        # The slot of the target that ended is free and empty.
        newcomer = attach_counted(engine, coming)
        assert engine.targets() == sorted([staying.pid, coming.pid])
        first = engine.snapshot(coming.pid)
        for figure in ("active_concurrent", "peak_concurrent", "total_requests", "peak_connections"):
            assert first[figure] == 0, figure
        assert first["endpoints"] == []
        keep_alive(coming.port, 20, 2)
        staying.open_gate("others")
        assert held.response().body == b"held"
    counted.assert_equal(counted.settle())
    newcomer.assert_equal(newcomer.settle())
    rows = {row["name"]: row for row in engine.sessions()["engine"]["maps"]}
    assert rows["targets"]["entries"] == rows["processes"]["entries"] == 2
    assert rows["listener_index"]["entries"] == 2 * 2  # that of each target, and the unknown one
    assert rows["endpoint_index"]["entries"] == 4 * 3 + 2  # the collective endpoints of each, /hold and /ok
    assert engine.objects() == objects


def test_a_target_that_execs_keeps_its_counts(engine: Engine) -> None:
    """Its pid and start time stay the same, so a server that executes itself keeps its totals."""
    with BlockingServer("tcp") as server:
        engine.attach(server.pid)
        since = engine.sessions()["sessions"][0]["since"]
        keep_alive(server.address, 10, 2)
        with Client(server.address) as client:
            assert client.send(request("/exec")).rest() == b""
        address = int(server.next_word())
        keep_alive(address, 20, 2)
        snapshot = engine.wait_for(server.pid, lambda s: s["total_requests"] == 31, "every request is counted")
        assert snapshot["target"]["listen"] == [f"127.0.0.1:{address}"]
        assert (snapshot["active_concurrent"], snapshot["failed_requests"]) == (0, 1)
        assert snapshot["undercount"] == 0
        assert engine.sessions()["sessions"][0]["since"] == since


def test_a_target_that_execs_another_program_stays_until_it_ends(engine: Engine) -> None:
    with BlockingServer("tcp") as server:
        engine.attach(server.pid)
        objects = engine.objects()
        keep_alive(server.address, 10, 2)
        with Client(server.address) as client:
            assert client.send(request("/exec/sleep")).rest() == b""
        snapshot = engine.wait_for(server.pid, lambda s: s["total_requests"] == 11, "every request is counted")
        assert (snapshot["target"]["listen"], snapshot["open_connections"]) == ([], 0)
        assert snapshot["target"]["command"] == "sleep infinity"
    assert engine.targets() == []
    engine.assert_nothing_left(objects)


def fake_pid_reuse(engine: Engine, index: int = 0) -> None:
    """Changes the recorded start time, so that the target's pid seems to belong to another process now, and takes the
    process out of the target, as its end would have."""
    pinned = ["pinned", str(engine.pin("maps/target_settings"))]
    key = ["key", *map(str, struct.pack("=I", index))]
    command = ["bpftool", "--json", "map", "lookup", *pinned, *key]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    value = bytearray(int(byte, 16) for byte in found["value"])
    start = 4 * 4  # struct monitor_target_settings of include/monitor/abi.h: root_start_ns
    assert int.from_bytes(value[4:8], "little") in engine.targets()  # root
    value[start] ^= 0x10
    subprocess.run(["bpftool", "map", "update", *pinned, *key, "value", *map(str, value)], check=True)
    processes = ["pinned", str(engine.pin("maps/processes"))]
    subprocess.run(["bpftool", "map", "delete", *processes, "key", *map(str, value[4:8])], check=True)


def test_a_reused_pid_is_not_a_target(start_server: Start, engine: Engine) -> None:
    server = start_server()
    engine.attach(server.pid)
    keep_alive(server.port, 10, 2)
    objects = engine.objects()
    fake_pid_reuse(engine)
    assert engine.done("sessions") == "No server is attached.\n"
    engine.assert_nothing_left(objects)
    # Now with another target beside it, and found by an attach of the new process.
    other = start_server()
    engine.attach(server.pid, other.pid)
    fake_pid_reuse(engine, 0)
    counted = attach_counted(engine, server)
    keep_alive(server.port, 10, 2)
    counted.assert_equal(counted.settle())
    assert engine.targets() == sorted([server.pid, other.pid])


def recorded(engine: Engine) -> set[int]:
    """Pids of the servers in the engine, read without a command that would clean up."""
    command = ["bpftool", "--json", "map", "dump", "pinned", str(engine.pin("maps/target_settings"))]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    root = slice(4, 8)  # struct monitor_target_settings of include/monitor/abi.h
    return {int.from_bytes(bytes(int(byte, 16) for byte in entry["value"][root]), "little") for entry in found}


def sampled(engine: Engine) -> set[int]:
    """Pids of the processes whose CPU time is kept between snapshots."""
    command = ["bpftool", "--json", "map", "dump", "pinned", str(engine.pin("maps/cpu_samples"))]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {int.from_bytes(bytes(int(byte, 16) for byte in entry["key"]), "little") for entry in found}


def test_cpu_samples_of_ended_processes_are_removed(start_server: Start, engine: Engine, tmp_path: Path) -> None:
    """Their samples do not take the room of running processes either."""
    ending, staying = start_server(USUAL, workers=2), start_server()
    engine.attach(ending.pid, staying.pid)
    engine.snapshot(ending.pid)
    assert sampled(engine) > {staying.pid, ending.pid}
    ending.stop()
    assert engine.targets() == [staying.pid]
    assert sampled(engine) == {staying.pid}
    # As if thousands of workers had come and gone. No process has such a pid.
    pinned, beyond = engine.pin("maps/cpu_samples"), 1 << 22
    keys = [" ".join(map(str, struct.pack("=I", beyond + number))) for number in range(4096)]
    updates = [f"map update pinned {pinned} key {key} value {'0 ' * 40}\n" for key in keys[:-1]]
    (tmp_path / "updates").write_text("".join(updates))
    subprocess.run(["bpftool", "batch", "file", str(tmp_path / "updates")], check=True, capture_output=True)
    counted = attach_counted(engine, coming := start_server())
    assert sampled(engine) == {staying.pid, coming.pid}
    with wrk_running(coming.port, "/ok"):
        engine.wait_for(coming.pid, lambda s: s["cpu_percent"] > 5, "CPU is used")
    counted.settle()


@pytest.mark.parametrize("how", ["detached", "all", "damaged"])
def test_a_detach_during_a_watch_ends_the_watch(
    how: str, start_server: Start, engine: Engine, attach: Attach, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONITOR_PINS", str(engine.pins))
    server, other = start_server(), start_server()
    engine.attach(other.pid, server.pid)
    keep_alive(server.port, 10, 2)
    monitor = attach(server.pid)
    monitor.wait_for(lambda s: s["total_requests"] == 10, "every request is counted")
    if how == "damaged":
        engine.pin("maps/targets").unlink()
    engine.done("detach", *(["--pid", server.pid] if how == "detached" else ["--all"]))
    status, last = monitor.wait_end()
    assert status == 3
    assert last["total_requests"] == 10
    assert "was detached" in monitor.errors()
    if how == "detached":
        assert engine.targets() == [other.pid]
    else:
        assert not engine.is_there()


def test_a_watch_of_a_detached_target_does_not_show_the_next_one(
    start_server: Start, engine: Engine, attach: Attach, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONITOR_PINS", str(engine.pins))
    servers = [start_server() for _ in range(3)]
    engine.attach(servers[0].pid, servers[1].pid)
    keep_alive(servers[1].port, 10, 2)
    monitor = attach(servers[1].pid)
    monitor.wait_for(lambda s: s["total_requests"] == 10, "every request is counted")
    monitor.process.send_signal(signal.SIGSTOP)
    engine.detach(servers[1].pid)
    counted = attach_counted(engine, servers[2])
    keep_alive(servers[2].port, 30, 4)
    monitor.process.send_signal(signal.SIGCONT)
    status, last = monitor.wait_end()
    assert (status, last["total_requests"]) == (3, 10)
    snapshot = counted.settle()
    counted.assert_equal(snapshot)
    assert 1 <= snapshot["peak_connections"] <= 4


def test_a_target_that_ends_during_a_watch_is_shown_with_its_last_totals(
    start_server: Start, engine: Engine, attach: Attach, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other commands that run meanwhile leave the target to the watches; the last of these cleans up."""
    monkeypatch.setenv("MONITOR_PINS", str(engine.pins))
    server = start_server()
    engine.attach(server.pid)
    objects = engine.objects()
    monitors = [attach(server.pid, interval=interval) for interval in (0.05, 600, 600)]
    with Client(server.port) as client:
        client.send(request("/hold?gate=never"))
        server.wait_at_gate("GET /hold", 1)
        keep_alive(server.port, 500, 4)
        for monitor in monitors[1:]:
            monitor.process.send_signal(signal.SIGSTOP)  # so that its next snapshot comes after everything below
        server.stop()
        assert monitors[0].wait_end()[0] == 3
        assert engine.done("sessions", "--json")
        assert engine.run("--pid", server.pid, "--json").returncode == 3
        assert engine.is_there()
        for monitor in monitors[1:]:
            monitor.process.send_signal(signal.SIGCONT)
        for monitor in monitors:
            status, last = monitor.wait_end()
            assert status == 3
            assert (last["total_requests"], last["failed_requests"], last["active_concurrent"]) == (501, 1, 0)
            assert f"the server (pid {server.pid}) has ended" in monitor.errors()
    engine.assert_nothing_left(objects)


def test_a_watch_takes_only_the_server_that_ended_out_of_the_engine(
    start_server: Start, engine: Engine, attach: Attach, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONITOR_PINS", str(engine.pins))
    ending, staying = start_server(), start_server()
    engine.attach(ending.pid)
    counted = attach_counted(engine, staying)
    watching_both = attach(ending.pid, selection=("--pid", str(ending.pid), "--pid", str(staying.pid)))
    keep_alive(staying.port, 10, 2)
    os.kill(ending.pid, signal.SIGKILL)
    wait_until(lambda: ending.pid not in recorded(engine), "the ended server is out of the engine")
    assert staying.pid in recorded(engine)
    watching_both.stop()
    assert engine.is_there()
    counted.assert_equal(counted.settle())


def test_two_attaches_at_once(start_server: Start, engine: Engine) -> None:
    """Of two servers: one engine has both. Of one server: one command reports that it is attached already."""
    servers = [start_server() for _ in range(3)]
    before = all_objects()
    for pids in (servers[0].pid, servers[1].pid), (servers[2].pid, servers[2].pid):
        running = [engine.start(*engine.attach_arguments(pid)) for pid in pids]
        said = [process.communicate(timeout=PATIENCE) for process in running]
        assert [process.returncode for process in running] == [0, 0], said
        assert [err for _, err in said] == ["", ""]
        if pids[0] == pids[1]:
            assert sorted("already" in out for out, _ in said) == [False, True]
    assert engine.targets() == sorted(server.pid for server in servers)
    for number, server in enumerate(servers, 1):
        keep_alive(server.port, 10 * number, 2)
        engine.wait_for(server.pid, lambda s: s["total_requests"] == 10 * number, "every request is counted")
    engine.assert_no_leak(before)


def test_attaches_and_detaches_at_once(start_server: Start, engine: Engine) -> None:
    """In any order, each command succeeds, and what is attached at the end counts."""
    servers = [start_server() for _ in range(2)]
    before = all_objects()
    for _ in range(5):
        running = [engine.start(*engine.attach_arguments(servers[0].pid)), engine.start("detach", "--all")]
        running += [engine.start(*engine.attach_arguments(servers[1].pid)), engine.start("sessions", "--json")]
        for process in running:
            out, err = process.communicate(timeout=PATIENCE)
            assert (process.returncode, err) == (0, ""), (process.args, out, err)
        for pid in engine.targets():
            (server,) = [server for server in servers if server.pid == pid]
            keep_alive(server.port, 5, 1)
            engine.wait_for(pid, lambda s: s["total_requests"] == 5, "every request is counted")
        engine.done("detach", "--all")
        assert not engine.pins.exists()
    engine.assert_no_leak(before)


def test_many_servers_attached_at_once_end_at_once(engine: Engine) -> None:
    with ExitStack() as stack:
        servers = [stack.enter_context(BlockingServer("tcp")) for _ in range(16)]
        engine.attach(*(server.pid for server in servers))
        objects = engine.objects()
        assert engine.targets() == sorted(server.pid for server in servers)
        for number, server in enumerate(servers):
            keep_alive(server.address, 2 + number, 2)
        for number, server in enumerate(servers):
            engine.wait_for(server.pid, lambda s: s["total_requests"] == 2 + number, "every request is counted")
    assert engine.targets() == []
    engine.assert_nothing_left(objects)
