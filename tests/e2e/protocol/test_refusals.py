# SPDX-License-Identifier: Apache-2.0
"""Requests that the server rejects, requests past its concurrency limit, and connections that wait in its queue."""

from collections.abc import Callable
from contextlib import ExitStack

import pytest

from harness.client import OWN_503, Client, request
from harness.flavours import every_flavour
from harness.observation import Observation
from harness.server import FLAVOURS, USUAL, Flavour, Server

Start = Callable[..., Server]
Observe = Callable[..., Observation]


@every_flavour
def test_garbage_is_rejected(shared_server: Server, observe: Observe) -> None:
    observation = observe(shared_server)
    garbage = (b"\x00\x01\x02\r\n\r\n", b"GET\r\n\r\n", b"nonsense nonsense nonsense\r\n\r\n", b"GET / HTTP/9\r\n\r\n")
    for data in garbage:
        with Client(shared_server.port) as client:
            assert [response.rejected for response in client.send(data).responses()] == [True], data
    with Client(shared_server.port) as client:
        assert client.ask(request("/ok")).status == 200
        assert client.ask(b"then garbage\r\n\r\n").rejected
    rejected = len(garbage) + 1
    observation.monitor.wait_for(lambda s: s["rejected_requests"] == rejected, f"{rejected} rejected")
    snapshot = observation.settle()
    observation.assert_equal(snapshot)
    assert snapshot["rejected_requests"] == rejected
    assert snapshot["failed_requests"] == snapshot["aborted_requests"] == 0


@pytest.mark.parametrize("flavour", FLAVOURS, ids=str)
def test_past_the_concurrency_limit(flavour: Flavour, start_server: Start, observe: Observe) -> None:
    limit, more = 5, 7
    server = start_server(flavour, "--limit-concurrency", str(limit))
    observation = observe(server)
    with ExitStack() as stack:
        # uvicorn's limit applies to connections plus running requests, without the new request itself.
        held = [stack.enter_context(Client(server.port)).send(request("/hold?gate=limit")) for _ in range(2)]
        server.wait_at_gate("GET /hold", 2)
        refused = 0
        for _ in range(more):
            client = stack.enter_context(Client(server.port))
            response = client.ask(request("/ok"))
            if response.body == OWN_503:
                assert response.status == 503
                refused += 1
            else:
                assert response.body == b"ok"
        assert refused > 0
        server.open_gate("limit", 2)
        assert [client.response().body for client in held] == [b"held", b"held"]
    observation.monitor.wait_for(lambda s: s["refused_requests"] == refused, f"{refused} refused")
    last = observation.monitor.stop()
    assert last["refused_requests"] == last["failed_requests"] == refused
    assert last["total_requests"] == observation.tally().total() + refused
    assert last["active_concurrent"] == last["rejected_requests"] == last["undercount"] == 0


def test_the_applications_own_503_is_not_refused(start_server: Start, observe: Observe) -> None:
    server = start_server()
    observation = observe(server)
    with Client(server.port) as client:
        assert client.ask(request("/status/503")).status == 503
    snapshot = observation.settle()
    assert (snapshot["failed_requests"], snapshot["refused_requests"]) == (1, 0)


def test_queue_depth_is_what_waits(start_server: Start, observe: Observe) -> None:
    waiting = 12
    server = start_server(USUAL)
    observation = observe(server)
    with ExitStack() as stack:
        idle = stack.enter_context(Client(server.port))
        assert idle.ask(request("/ok")).status == 200
        blocker = stack.enter_context(Client(server.port)).send(request("/block?until=unblock-queue"))
        server.wait_at_gate("GET /block", 1)
        idle.send(request("/ok"))  # unread in an accepted connection; the other connections wait to be accepted
        clients = [stack.enter_context(Client(server.port)).send(request("/ok")) for _ in range(waiting)]
        observation.monitor.wait_for(lambda s: s["queue_depth"] == waiting + 1, f"{waiting} + 1 wait")
        server.unblock("unblock-queue")
        assert [client.response().status for client in (blocker, idle, *clients)] == [200] * (waiting + 2)
        observation.monitor.wait_for(lambda s: s["queue_depth"] == 0, "nothing waits")
    observation.assert_equal(observation.settle())
