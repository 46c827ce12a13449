# SPDX-License-Identifier: Apache-2.0
"""Gunicorn with uvicorn's worker class, Debian's and the current one.

The root forks the workers, replaces those that die or hang, and replaces all of them at SIGHUP."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness.asgi_servers import CURRENT, DEBIAN, SOMEWHERE, Gunicorn
from harness.client import Client, request
from harness.load import keep_alive, wrk, wrk_running
from harness.monitor import Snapshot
from harness.observation import Observation, endpoint_of
from harness.scripted_requests import DRIVES
from harness.waiting import wait_until

Observe = Callable[..., Observation]
Start = Callable[..., Gunicorn]

both = pytest.mark.parametrize("python", [DEBIAN, CURRENT], ids=["debian", "current"])


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:
        yield lambda *arguments, **settings: stack.enter_context(Gunicorn(tmp_path, *arguments, **settings))


def worker_pids(snapshot: Snapshot) -> set[int]:
    return {worker["pid"] for worker in snapshot["workers"]}


@both
def test_counts(python: str, start: Start, observe: Observe) -> None:
    server = start(python)
    observation = observe(server)
    for drive in DRIVES:
        drive(server.port)
    wrk(server.port, "/users/1", 1, 32)
    snapshot = observation.settle()
    observation.assert_equal(snapshot, "1xx", "3xx", "4xx", "5xx")
    assert worker_pids(snapshot) == set(server.workers())
    tally = observation.tally()
    assert snapshot["failed_requests"] == tally.total("5xx") + tally.of("GET /cut")


@both
def test_sighup_under_load(python: str, start: Start, observe: Observe) -> None:
    """Old workers finish the requests that they have begun, and no worker's counts are lost."""
    server = start(python)
    observation = observe(server)
    old = set(server.workers())
    with Client(server.port) as held, wrk_running(server.port, "/ok"):
        held.send(request("/hold?gate=hup"))
        server.wait_at_gate("GET /hold", 1)
        os.kill(server.pid, signal.SIGHUP)
        wait_until(lambda: len(server.started_workers()) == 4, "new workers have started")
        assert observation.monitor.next()["active_concurrent"] >= 1
        server.open_gate("hup")
        assert held.response().body == b"held"
        wait_until(lambda: not old & set(server.workers()), "the old workers are gone")
        new = set(server.workers())
        observation.monitor.wait_for(lambda s: worker_pids(s) == new, "the new workers are followed")
    snapshot = observation.settle()
    assert endpoint_of(snapshot, "/ok")["completed"] == observation.tally().of("GET /ok")
    assert endpoint_of(snapshot, "/hold")["status"]["2xx"] == 1
    assert snapshot["failed_requests"] == 0
    assert snapshot["undercount_by_cause"] == {}


@pytest.mark.parametrize(
    ("python", "how"), [(DEBIAN, "killed"), (CURRENT, "hung")], ids=["debian, killed", "current, hung"]
)
def test_a_lost_worker_is_replaced(python: str, how: str, start: Start, observe: Observe) -> None:
    server = start(python, "--timeout", "2" if how == "hung" else "30")
    observation = observe(server)
    with Client(server.port) as client:
        client.send(request("/hang" if how == "hung" else "/hold?gate=never"))
        wait_until(lambda: server.tally().total("waiting") == 1, "the request is in the application")
        (victim,) = [worker["pid"] for worker in observation.monitor.next()["workers"] if worker["active"] == 1]
        if how == "killed":
            os.kill(victim, signal.SIGKILL)
        assert client.rest() == b""
    wait_until(lambda: len(server.started_workers()) == 3, "the worker is replaced")
    keep_alive(server.port, 1_000)
    snapshot = observation.settle()
    assert endpoint_of(snapshot, "/hang" if how == "hung" else "/hold")["failed"] == 1
    assert snapshot["failed_requests"] == 1
    assert worker_pids(snapshot) == set(server.workers())
    assert endpoint_of(snapshot, "/ok")["completed"] == observation.tally().of("GET /ok")


def test_several_listeners(start: Start, observe: Observe) -> None:
    server = start(CURRENT, binds=(SOMEWHERE, SOMEWHERE, "[::1]:0"))
    observation = observe(server)
    assert len(server.ports) == 3
    queried = 0
    for port in server.ports:
        for host in ("127.0.0.1", "::1"):
            try:
                client = Client(port, host)
            except ConnectionRefusedError:
                continue
            with client:
                assert client.ask(request("/users/1")).status == 200
            queried += 1
    assert queried == 3
    snapshot = observation.settle()
    observation.assert_equal(snapshot)
    assert sorted(int(address.rpartition(":")[2]) for address in snapshot["target"]["listen"]) == server.ports
