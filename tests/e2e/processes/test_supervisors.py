# SPDX-License-Identifier: Apache-2.0
"""Workers that uvicorn replaces: one that hangs, one past its request limit, one whose code changed.

The totals include all of them, and the new workers are followed."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.client import Client, request
from harness.load import wrk_running
from harness.monitor import Snapshot
from harness.observation import Observation, endpoint_of
from harness.server import FASTEST, USUAL, Flavour, Server
from harness.waiting import wait_until

Start = Callable[..., Server]
Observe = Callable[..., Observation]


def worker_pids(snapshot: Snapshot) -> set[int]:
    return {worker["pid"] for worker in snapshot["workers"]}


def test_a_hung_worker_is_replaced(start_server: Start, observe: Observe) -> None:
    server = start_server(USUAL, "--timeout-worker-healthcheck", "1", workers=4)
    observation = observe(server)
    with Client(server.port) as client:
        client.send(request("/hang"))
        server.wait_at_gate("GET /hang", 1)
        hung = observation.monitor.next()
        (victim,) = [worker["pid"] for worker in hung["workers"] if worker["active"] == 1]
        with wrk_running(server.port, "/ok"):  # the other workers continue to serve
            assert client.rest() == b""
            wait_until(lambda: len(server.started_workers()) == 5, "the worker is replaced")
            (newcomer,) = set(server.workers()) - worker_pids(hung)
            observation.monitor.wait_for(lambda s: newcomer in worker_pids(s), "the newcomer is followed")
    snapshot = observation.settle()
    endpoint = endpoint_of(snapshot, "/hang")
    assert (endpoint["completed"], endpoint["failed"], endpoint["active"]) == (1, 1, 0)
    assert snapshot["failed_requests"] == 1
    assert worker_pids(snapshot) == set(server.workers())
    assert victim not in worker_pids(snapshot)
    assert snapshot["undercount_by_cause"] == {}


def test_sighup_under_load(start_server: Start, observe: Observe) -> None:
    """Each worker is replaced in turn, as soon as its successor serves."""
    server = start_server(USUAL, workers=2)
    observation = observe(server)
    old = set(server.workers())
    with wrk_running(server.port, "/ok"):
        os.kill(server.pid, signal.SIGHUP)
        wait_until(lambda: len(server.started_workers()) == 4 and not old & set(server.workers()), "all are replaced")
        new = set(server.workers())
        observation.monitor.wait_for(lambda s: worker_pids(s) == new, "the new workers are followed")
    snapshot = observation.settle()
    assert endpoint_of(snapshot, "/ok")["completed"] == observation.tally().of("GET /ok")
    assert snapshot["failed_requests"] == 0
    assert snapshot["undercount_by_cause"] == {}


def test_workers_past_their_request_limit(start_server: Start, observe: Observe) -> None:
    server = start_server(USUAL, "--limit-max-requests", "300", "--timeout-worker-healthcheck", "1", workers=2)
    observation = observe(server)
    with wrk_running(server.port, "/ok"):
        wait_until(lambda: len(server.started_workers()) >= 4, "two have been replaced")
    snapshot = observation.settle()
    assert snapshot["total_requests"] > 2 * 300
    assert snapshot["undercount_by_cause"] == {}
    assert endpoint_of(snapshot, "/ok")["completed"] == observation.tally().of("GET /ok")


@pytest.mark.parametrize("flavour", FASTEST, ids=str)
def test_a_single_process_past_its_request_limit(flavour: Flavour, start_server: Start, observe: Observe) -> None:
    server = start_server(flavour, "--limit-max-requests", "20")
    observation = observe(server)
    with Client(server.port) as client:
        for _ in range(20):
            assert client.ask(request("/ok")).status == 200
    status, last = observation.monitor.wait_end()
    assert status == 3
    assert last["total_requests"] == observation.tally().total() == 20
    assert last["failed_requests"] == last["active_concurrent"] == 0


def replace_child(server: Server, child: int, watched: Path) -> None:
    """Touches the file until the reloader notices, which it does only after it has seen the file once."""

    def touched() -> bool:
        if child in server.workers():
            newer = watched.stat().st_mtime + 1
            os.utime(watched, (newer, newer))
        return child not in server.workers() and len(server.workers()) == 1

    wait_until(touched, "the child is replaced")


@pytest.mark.parametrize("flavour", FASTEST, ids=str)
def test_reload(flavour: Flavour, start_server: Start, observe: Observe, tmp_path: Path) -> None:
    """The root is the reloader. Its child serves, and is replaced when a file has changed."""
    watched = tmp_path / "watched.py"
    watched.touch()
    server = start_server(flavour, "--reload", "--reload-dir", str(tmp_path))
    observation = observe(server)
    for reloads in range(2):
        (child,) = server.workers()
        assert child != server.pid
        with Client(server.port) as client:
            for _ in range(10):
                assert client.ask(request("/users/1")).status == 200
        snapshot = observation.monitor.wait_for(
            lambda s: s["total_requests"] == 10 * (reloads + 1), "ten more requests"
        )
        assert worker_pids(snapshot) == {child}
        replace_child(server, child, watched)
    snapshot = observation.settle()
    assert endpoint_of(snapshot, "/users/{id}")["completed"] == observation.tally().total() == 20
