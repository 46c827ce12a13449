# SPDX-License-Identifier: Apache-2.0
"""A server of several processes: the totals are sums over all workers, including those that die and are replaced."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.client import Client, request
from harness.load import wrk, wrk_running
from harness.monitor import Snapshot
from harness.observation import Observation, endpoint_of
from harness.server import FASTEST, USUAL, Flavour, Server
from harness.waiting import wait_until

Start = Callable[..., Server]
Observe = Callable[..., Observation]

WORKERS = 4


def worker_pids(snapshot: Snapshot) -> set[int]:
    return {worker["pid"] for worker in snapshot["workers"]}


@pytest.mark.parametrize("flavour", FASTEST, ids=str)
def test_totals_are_the_sum_over_workers(flavour: Flavour, start_server: Start, observe: Observe) -> None:
    server = start_server(flavour, workers=WORKERS)
    observation = observe(server)
    wrk(server.port, "/ok", 2, 32)
    wrk(server.port, "/users/9", 1, 32)
    snapshot = observation.settle()
    observation.assert_equal(snapshot, "1xx", "3xx", "4xx", "5xx")
    assert worker_pids(snapshot) == set(server.workers())
    assert len(snapshot["workers"]) == WORKERS


def test_a_descendant_whose_parent_has_ended(start_server: Start, observe: Observe) -> None:
    server = start_server()
    observation = observe(server)
    before = observation.monitor.next()["threads"]
    with Client(server.port) as client:
        orphan = int(client.ask(request("/orphan")).body)
    assert Path(f"/proc/{orphan}/stat").read_text().rpartition(")")[2].split()[1] != str(server.pid)
    observation.monitor.wait_for(lambda s: s["threads"] == before + 1, "one more thread")
    os.kill(orphan, signal.SIGKILL)
    observation.monitor.wait_for(lambda s: s["threads"] == before, "one thread less")


@pytest.mark.parametrize("flavour", FASTEST, ids=str)
def test_a_killed_worker(flavour: Flavour, start_server: Start, observe: Observe) -> None:
    server = start_server(flavour, workers=2)
    observation = observe(server)
    with Client(server.port) as client:
        client.send(request("/hold?gate=never"))
        server.wait_at_gate("GET /hold", 1)
        held = observation.monitor.next()
        (victim,) = [worker["pid"] for worker in held["workers"] if worker["active"] == 1]
        os.kill(victim, signal.SIGKILL)
        assert client.rest() == b""
    gone = observation.monitor.wait_for(lambda s: s["active_concurrent"] == 0, "the worker's requests ended")
    assert endpoint_of(gone, "/hold")["failed"] == 1
    if flavour.uvicorn == "current":  # only its supervisor replaces dead workers
        wait_until(lambda: len(server.workers()) == 2, "the worker is replaced")
    wrk(server.port, "/ok", 1, 32)
    observation.monitor.wait_for(
        lambda s: s["active_concurrent"] == 0 and s["total_requests"] == observation.tally().total(),
        "a total equal to the application's",
    )
    last = observation.monitor.stop()
    assert last["total_requests"] == observation.tally().total()
    assert victim not in worker_pids(last)
    assert worker_pids(last) == set(server.workers())


def test_workers_killed_under_load(start_server: Start, observe: Observe) -> None:
    connections = 16
    server = start_server(USUAL, workers=WORKERS)
    observation = observe(server)
    with wrk_running(server.port, "/ok", connections):
        for kills in range(1, 4):
            started = observation.tally().total()
            wait_until(lambda: observation.tally().total() > started + 500, "load")
            os.kill(server.workers()[-1], signal.SIGKILL)
            replaced = WORKERS + kills
            wait_until(lambda: len(server.started_workers()) == replaced, "the worker is replaced")
    observation.monitor.wait_idle()
    last = observation.monitor.stop()
    # A worker may die after it reads a request and before it counts it: at most one request for each of its
    # connections.
    started = observation.tally().total()
    assert started <= last["total_requests"] <= started + 3 * connections
    assert last["undercount_by_cause"] == {}


def test_interrupted_beside_wrk(start_server: Start, observe: Observe) -> None:
    server = start_server(USUAL, workers=WORKERS)
    interrupted, observation = observe(server), observe(server)
    with wrk_running(server.port, "/ok"):
        interrupted.monitor.wait_for(lambda s: s["total_requests"] > 1000, "load")
        in_the_middle = interrupted.monitor.stop()
    assert 1000 < in_the_middle["total_requests"] <= observation.tally().total()
    snapshot = observation.settle()
    observation.assert_equal(snapshot, "1xx", "3xx", "4xx", "5xx")
