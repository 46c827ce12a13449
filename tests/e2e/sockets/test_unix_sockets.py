# SPDX-License-Identifier: Apache-2.0
"""A server on a Unix socket (`--uds`) is counted like one on a port, whichever side closes the connections."""

import os
import signal
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness.asgi_servers import CURRENT, DEBIAN, SOMEWHERE, Gunicorn
from harness.client import Client, request
from harness.load import keep_alive
from harness.observation import Observation, endpoint_of
from harness.scripted_requests import DRIVES
from harness.server import FASTEST, USUAL, Flavour, Server
from harness.waiting import wait_until
from harness.websocket import TEXT, WebSocket

Start = Callable[..., Server]
Observe = Callable[..., Observation]

FLAVOURS = [*FASTEST, Flavour("debian", "h11", "asyncio"), Flavour("current", "h11", "asyncio")]


@pytest.mark.parametrize("flavour", FLAVOURS, ids=str)
def test_counts(flavour: Flavour, short_directory: Path, start_server: Start, observe: Observe) -> None:
    server = start_server(flavour, unix=short_directory / "server.sock")
    observation = observe(server)
    for drive in DRIVES:
        drive(server.address)
    keep_alive(server.address, 2_000)
    for _ in range(200):
        with Client(server.address) as client:
            assert client.ask(request("/ok", "GET", "Connection: close")).status == 200
    snapshot = observation.settle()
    observation.assert_equal(snapshot)
    tally = observation.tally()
    assert snapshot["failed_requests"] == tally.total("5xx") + tally.of("GET /cut")
    assert endpoint_of(snapshot, "/cut")["failed"] == 1
    assert snapshot["aborted_requests"] == snapshot["rejected_requests"] == 0
    assert f"unix:{server.address}" in snapshot["target"]["listen"]


def test_in_flight_and_clients_that_leave(short_directory: Path, start_server: Start, observe: Observe) -> None:
    held, leaving = 20, 8
    server = start_server(USUAL, unix=short_directory / "server.sock")
    observation = observe(server)
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(server.address)).send(request("/hold?gate=unix")) for _ in range(held)]
        server.wait_at_gate("GET /hold", held)
        snapshot = observation.monitor.next()
        assert (snapshot["active_concurrent"], snapshot["peak_concurrent"]) == (held, held)
        assert snapshot["open_connections"] == held
        for client in clients[:leaving]:
            client.close()
        snapshot = observation.monitor.wait_for(
            lambda s: s["active_concurrent"] == held - leaving, f"{leaving} have ended"
        )
        assert (snapshot["aborted_requests"], snapshot["failed_requests"]) == (leaving, 0)
        server.open_gate("unix", held)
        assert [client.response().body for client in clients[leaving:]] == [b"held"] * (held - leaving)
    wait_until(lambda: server.tally().total("running") == 0, "the application is done")
    observation.monitor.wait_for(lambda s: s["open_connections"] == 0, "all connections are closed")
    snapshot = observation.settle()
    endpoint = endpoint_of(snapshot, "/hold")
    assert (endpoint["completed"], endpoint["aborted"], endpoint["status"]["2xx"]) == (held, leaving, held - leaving)
    assert snapshot["peak_connections"] == held
    assert snapshot["undercount_by_cause"] == {}


def test_queue_depth(short_directory: Path, start_server: Start, observe: Observe) -> None:
    waiting = 6
    server = start_server(USUAL, unix=short_directory / "server.sock")
    observation = observe(server)
    with ExitStack() as stack:
        idle = stack.enter_context(Client(server.address))
        assert idle.ask(request("/ok")).status == 200
        blocker = stack.enter_context(Client(server.address)).send(request("/block?until=unblock"))
        server.wait_at_gate("GET /block", 1)
        idle.send(request("/ok"))
        clients = [stack.enter_context(Client(server.address)).send(request("/ok")) for _ in range(waiting)]
        observation.monitor.wait_for(lambda s: s["queue_depth"] == waiting + 1, f"{waiting} + 1 wait")
        server.unblock("unblock")
        assert [client.response().status for client in (blocker, idle, *clients)] == [200] * (waiting + 2)
        observation.monitor.wait_for(lambda s: s["queue_depth"] == 0, "nothing waits")
    observation.assert_equal(observation.settle())


def test_a_killed_worker(short_directory: Path, start_server: Start, observe: Observe) -> None:
    """Its exit closes its sockets."""
    server = start_server(USUAL, unix=short_directory / "server.sock", workers=2)
    observation = observe(server)
    with Client(server.address) as client:
        client.send(request("/hold?gate=never"))
        server.wait_at_gate("GET /hold", 1)
        (victim,) = [worker["pid"] for worker in observation.monitor.next()["workers"] if worker["active"] == 1]
        os.kill(victim, signal.SIGKILL)
        assert client.rest() == b""
    observation.monitor.wait_for(lambda s: s["active_concurrent"] == 0, "its request has ended")
    wait_until(lambda: len(server.workers()) == 2, "the worker is replaced")
    keep_alive(server.address, 1_000)
    snapshot = observation.settle()
    assert endpoint_of(snapshot, "/hold")["failed"] == snapshot["failed_requests"] == 1
    assert endpoint_of(snapshot, "/ok")["status"]["2xx"] == 1_000
    assert snapshot["open_connections"] == 0


def test_a_websocket(short_directory: Path, start_server: Start, observe: Observe) -> None:
    server = start_server(USUAL, unix=short_directory / "server.sock")
    observation = observe(server)
    with WebSocket(server.address) as client:
        assert client.echoes(TEXT, request("/ok"))
        snapshot = observation.monitor.next()
        assert (snapshot["active_concurrent"], snapshot["websockets_active"]) == (1, 1)
    snapshot = observation.settle()
    observation.assert_equal(snapshot, "2xx", "3xx", "4xx", "5xx")
    assert endpoint_of(snapshot, "/ws")["status"]["1xx"] == 1


@pytest.mark.parametrize("python", [DEBIAN, CURRENT], ids=["debian", "current"])
def test_gunicorn_at_a_port_and_a_path(python: str, short_directory: Path, tmp_path: Path, observe: Observe) -> None:
    path = short_directory / "gunicorn.sock"
    with Gunicorn(tmp_path, python, binds=(SOMEWHERE, path)) as server:
        observation = observe(server)
        for address in (server.port, path):
            keep_alive(address, 500, 8)
        snapshot = observation.settle()
        observation.assert_equal(snapshot)
    assert snapshot["total_requests"] == 1_000
    assert set(snapshot["target"]["listen"]) == {f"127.0.0.1:{server.port}", f"unix:{path}"}
