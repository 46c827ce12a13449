# SPDX-License-Identifier: Apache-2.0
"""Every view reads the attached engine if there is one, and any number of views may run at once.

Without an attached engine a command loads its own and removes it at the end."""

import json
import re
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from harness.attached_engine import HOOKS, Engine, attach_counted, end
from harness.client import Client, request
from harness.cpu import cpu_seconds, reported_seconds
from harness.kernel_objects import all_objects, held_by
from harness.load import keep_alive, wrk_running
from harness.monitor import Monitor, Snapshot
from harness.observation import endpoint_of
from harness.server import USUAL, Server
from harness.waiting import PATIENCE, wait_until

Start = Callable[..., Server]
Attach = Callable[..., Monitor]


@pytest.fixture
def pins(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """The engine, also for monitors that `attach` starts."""
    monkeypatch.setenv("MONITOR_PINS", str(engine.pins))
    return engine


def test_box_watch_json_and_log_read_the_engine(start_server: Start, engine: Engine) -> None:
    server = start_server()
    counted = attach_counted(engine, server)
    keep_alive(server.port, 50)
    counted.settle()
    objects = engine.objects()
    box = engine.done("--pid", server.pid)
    assert "Uvicorn Concurrency Monitor" in box
    assert re.search(r"Total Requests: +50\b", box), box
    views: dict[str, list[object]] = {
        "--json": ["--json"],
        "--watch --json": ["--watch", "--json", "--count", 2, "--interval", 0.05],
        "--log": ["--log", "-", "--count", 2, "--interval", 0.05],
        "--watch": ["--watch", "--count", 2, "--interval", 0.05],
    }
    for name, words in views.items():
        said = engine.done("--pid", server.pid, *words)
        if "--json" in words:
            lines = [json.loads(line) for line in said.splitlines()]
            assert [line["total_requests"] for line in lines] == [50] * len(lines), name
            assert len(lines) == (2 if "--watch" in words else 1)
        elif "--log" in words:
            assert said.count("Total: 50 ") == 2, said
        else:
            assert len(re.findall(r"Total Requests: +50\b", said)) == 2, said
    assert engine.objects() == objects


def test_a_view_loads_nothing_and_attaches_nothing(start_server: Start, pins: Engine, attach: Attach) -> None:
    server = start_server()
    pins.attach(server.pid)
    objects = pins.objects()
    monitor = attach(server.pid)
    assert held_by(monitor.process.pid) <= objects
    monitor.stop()
    assert pins.objects() == objects


def test_observed_seconds_peak_and_totals_are_since_the_attach(start_server: Start, engine: Engine) -> None:
    server = start_server()
    called = time.monotonic()
    engine.attach(server.pid)
    returned = time.monotonic()
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(server.port)).send(request("/hold?gate=peak")) for _ in range(7)]
        server.wait_at_gate("GET /hold", 7)
        server.open_gate("peak", 7)
        assert [client.response().body for client in clients] == [b"held"] * 7
    for number in range(1, 4):
        keep_alive(server.port, 10, 1)
        before = time.monotonic()
        snapshot = engine.wait_for(
            server.pid, lambda s: s["total_requests"] == 7 + 10 * number, "every request is counted"
        )
        after = time.monotonic()
        assert snapshot["peak_concurrent"] == endpoint_of(snapshot, "/hold")["peak"] == 7
        assert snapshot["peak_connections"] == 7
        assert before - returned - 0.001 <= snapshot["observed_seconds"] <= after - called + 0.001


def test_cpu_is_measured_since_the_previous_snapshot(start_server: Start, engine: Engine) -> None:
    server = start_server()
    engine.attach(server.pid)
    with wrk_running(server.port, "/ok"):
        busy = engine.wait_for(server.pid, lambda s: s["cpu_percent"] > 5, "CPU is used")
        assert busy["workers"][0]["cpu_percent"] > 0
    # The interval begins at the newest snapshot, whichever command took it.
    engine.wait_for(server.pid, lambda s: s["cpu_percent"] < 5, "no CPU is used any more")
    assert "CPU" in engine.done("--pid", server.pid)


def test_cpu_includes_children_that_ended_since_the_previous_snapshot(start_server: Start, engine: Engine) -> None:
    """Whether an earlier snapshot showed them or not."""
    server = start_server()
    engine.attach(server.pid)

    def take() -> Snapshot:
        """CPU is measured over a fifth of a second at least."""
        oldest = time.monotonic() + 0.25
        wait_until(lambda: time.monotonic() > oldest, "the snapshot before is old enough")
        return engine.snapshot(server.pid)

    snapshots = [take()]
    before = cpu_seconds(server.pid)
    with Client(server.port) as client:
        for _ in range(8):
            client.ask(request("/child?cpu=0.05"))
        snapshots.append(take())
        client.send(request("/child?cpu=0.8"))
        snapshots.append(take())
        assert client.response().body == b"reaped"
    used = cpu_seconds(server.pid) - before
    snapshots.append(take())
    assert used > 1.2
    assert sum(map(reported_seconds, snapshots, snapshots[1:])) == pytest.approx(used, rel=0.1, abs=0.05)


def test_json_without_pid_finds_the_attached_server(start_server: Start, engine: Engine, tmp_path: Path) -> None:
    """It picks the attached one of the many servers on the machine."""
    servers = [start_server(), start_server()]
    for server in servers:
        engine.attach(server.pid)
        snapshot = json.loads(engine.done("--json", cwd=tmp_path))
        assert snapshot["target"]["pid"] == server.pid
        assert snapshot["target"]["listen"] == [f"127.0.0.1:{server.port}"]
        engine.detach(server.pid)
    engine.attach(*(server.pid for server in servers))
    several = engine.run("--json", cwd=tmp_path)
    assert (several.returncode, several.stdout) == (3, "")
    for server in servers:
        assert f"monitor --pid {server.pid}" in several.stderr


def test_several_servers_in_one_view(start_server: Start, engine: Engine) -> None:
    servers = [start_server() for _ in range(2)]
    engine.attach(*(server.pid for server in servers))
    for number, server in enumerate(servers, 1):
        keep_alive(server.port, 10 * number, 1)
    words = [word for server in servers for word in ("--pid", server.pid)]

    def totals() -> dict[int, int]:
        lines = [json.loads(line) for line in engine.done(*words, "--json").splitlines()]
        return {line["target"]["pid"]: line["total_requests"] for line in lines}

    wait_until(lambda: totals() == {servers[0].pid: 10, servers[1].pid: 20}, "both are counted")


def test_an_attached_server_beside_one_that_is_not(start_server: Start, engine: Engine) -> None:
    """The command loads its own engine for the other server, and removes it at the end."""
    attached, other = start_server(), start_server()
    before = all_objects()
    engine.attach(attached.pid)
    keep_alive(attached.port, 10, 1)
    objects = engine.objects()
    engine.wait_for(attached.pid, lambda s: s["total_requests"] == 10, "ten requests")
    said = engine.done("--pid", attached.pid, "--pid", other.pid, "--json", "--interval", 0.05, *HOOKS)
    totals = {line["target"]["pid"]: line["total_requests"] for line in map(json.loads, said.splitlines())}
    assert totals == {attached.pid: 10, other.pid: 0}
    assert engine.objects() == objects
    assert engine.targets() == [attached.pid]
    engine.assert_no_leak(before)


@pytest.mark.parametrize(
    "words", [["--json"], [], ["--log", "-", "--count", "1"], ["--watch", "--count", "1"]], ids=str
)
def test_with_no_engine_a_command_loads_its_own_and_leaves_nothing(
    words: list[str], start_server: Start, engine: Engine
) -> None:
    server = start_server()
    before = all_objects()
    said = engine.done("--pid", server.pid, *words, "--interval", 0.05, *HOOKS)
    assert said
    assert not engine.pins.exists()
    engine.assert_no_leak(before)


def test_many_views_at_once_do_not_disturb_each_other(start_server: Start, pins: Engine, attach: Attach) -> None:
    viewers, one_shots, count = 10, 10, 5_000
    server = start_server(USUAL, workers=2)
    counted = attach_counted(pins, server)
    objects = pins.objects()
    monitors = [attach(server.pid, interval=0.02) for _ in range(viewers)]
    with ExitStack() as stack:
        held = [stack.enter_context(Client(server.port)).send(request("/hold?gate=views")) for _ in range(4)]
        server.wait_at_gate("GET /hold", 4)
        running = [pins.start("--pid", server.pid, "--json") for _ in range(one_shots)]
        keep_alive(server.port, count)
        for process in running:
            out, err = process.communicate(timeout=PATIENCE)
            assert (process.returncode, err) == (0, "")
            assert json.loads(out)["active_concurrent"] >= 4
        server.open_gate("views", 4)  # in each of the workers
        assert [client.response().body for client in held] == [b"held"] * 4
    final = counted.settle()
    counted.assert_equal(final)
    for monitor in monitors:
        monitor.wait_for(
            lambda s: s["total_requests"] == count + 4 and not s["active_concurrent"], "every request is counted"
        )
    for monitor in monitors:
        last = monitor.stop()
        for figure in ("total_requests", "peak_concurrent", "peak_connections", "undercount_by_cause"):
            assert last[figure] == final[figure]
        assert [counts_of(one) for one in last["endpoints"]] == [counts_of(one) for one in final["endpoints"]]
    assert final["undercount"] == 0
    assert pins.objects() == objects


def counts_of(endpoint: dict[str, Any]) -> dict[str, Any]:
    """Without the times since a view's own previous sample."""
    recent = ("queue_wait", "time_to_first_byte", "duration")
    return {figure: value for figure, value in endpoint.items() if figure not in recent}


def test_a_killed_view_does_not_disturb_the_others(start_server: Start, pins: Engine, attach: Attach) -> None:
    server = start_server()
    counted = attach_counted(pins, server)
    objects = pins.objects()
    watching = attach(server.pid, interval=0.02)
    for _ in range(5):
        killed = attach(server.pid, interval=0.02)
        one_shot = pins.start("--pid", server.pid, "--json")
        keep_alive(server.port, 100, 2)
        killed.kill()
        end(one_shot)
    watching.wait_for(lambda s: s["total_requests"] == 500, "every request is counted")
    counted.assert_equal(counted.settle())
    assert pins.objects() == objects


def test_a_hundred_snapshots(start_server: Start, engine: Engine, tmp_path: Path) -> None:
    """scripts/bench.sh measures their cost."""
    server = start_server()
    engine.attach(server.pid)
    snapshots: list[Snapshot] = []
    for number in range(100):
        keep_alive(server.port, 1, 1)
        snapshots.append(json.loads(engine.done("--json", cwd=tmp_path)))
        assert number <= snapshots[-1]["total_requests"] <= number + 1
        assert snapshots[-1]["undercount"] == 0
    observed = [snapshot["observed_seconds"] for snapshot in snapshots]
    assert observed == sorted(observed)
    engine.wait_for(server.pid, lambda s: s["total_requests"] == 100, "every request is counted")


def as_nobody(binary: Path, capabilities: str) -> list[str]:
    """The start of a command line that runs the program as the user nobody with these capabilities."""
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    return [*nobody, f"--inh-caps={capabilities}", f"--ambient-caps={capabilities}", str(binary)]


def test_a_user_with_capabilities_instead_of_root(start_server: Start, engine: Engine, binary_for_all: Path) -> None:
    """The user nobody with the capabilities that attaching needs can run every command. Only root, or a user with a
    capability, can see the pins; they do not seem to be missing."""
    nobody = as_nobody(binary_for_all, "+bpf,+perfmon,+sys_ptrace,+dac_override,+dac_read_search")

    def done(*arguments: object) -> str:
        ended = subprocess.run(
            [*nobody, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            cwd="/",
            env=engine.environment,
        )
        assert (ended.returncode, ended.stderr) == (0, ""), (arguments, ended)
        return ended.stdout

    server = start_server()
    done(*engine.attach_arguments(server.pid))
    keep_alive(server.port, 20)
    objects = engine.objects()
    wait_until(lambda: json.loads(done("--json"))["total_requests"] == 20, "the requests since the attach")
    assert str(server.pid) in done("sessions")
    assert engine.objects() == objects
    done("detach", "--all")
    assert not engine.pins.exists()


@pytest.mark.parametrize("has", ["dac_override", "dac_read_search"])
def test_a_reader_with_one_of_the_capabilities_for_files(
    has: str, start_server: Start, engine: Engine, binary_for_all: Path
) -> None:
    """Reading the directories is not enough to open the pins. Nobody is told that the server was detached."""
    server = start_server()
    engine.attach(server.pid)
    keep_alive(server.port, 20)
    arguments = ["--pid", str(server.pid), "--json", "--watch", "--count", "3", "--interval", "0.05"]
    ended = subprocess.run(
        [*as_nobody(binary_for_all, f"+bpf,+perfmon,+sys_ptrace,+{has}"), *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        cwd="/",
        env=engine.environment,
    )
    if has == "dac_override":
        assert (ended.returncode, ended.stderr) == (0, "")
        assert [json.loads(line)["total_requests"] for line in ended.stdout.splitlines()] == [20] * 3
    else:
        assert (ended.returncode, ended.stdout) == (4, "")
        assert "Permission denied" in ended.stderr
    assert engine.targets() == [server.pid]
