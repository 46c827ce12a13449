# SPDX-License-Identifier: Apache-2.0
"""Requests in flight and the peak are exact: with requests held at a barrier, long streams, and clients that leave."""

from collections.abc import Callable
from contextlib import ExitStack

from harness.client import Client, request
from harness.flavours import every_flavour, usual_flavour
from harness.observation import Observation, endpoint_of
from harness.server import Server
from harness.waiting import wait_until

Observe = Callable[..., Observation]

HELD = 40


@every_flavour
def test_held_at_a_barrier(shared_server: Server, observe: Observe) -> None:
    observation = observe(shared_server)
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(shared_server.port)) for _ in range(HELD)]
        for client in clients:
            client.send(request("/hold?gate=barrier"))
        shared_server.wait_at_gate("GET /hold", HELD)
        held = observation.monitor.next()
        assert (held["active_concurrent"], held["peak_concurrent"], held["total_requests"]) == (HELD, HELD, 0)
        endpoint = endpoint_of(held, "/hold")
        assert (endpoint["active"], endpoint["peak"], endpoint["completed"]) == (HELD, HELD, 0)
        assert held["open_connections"] == HELD
        assert [worker["active"] for worker in held["workers"]] == [HELD]
        shared_server.open_gate("barrier", HELD)
        for client in clients:
            assert client.response().body == b"held"
    snapshot = observation.settle()
    observation.assert_equal(snapshot)
    assert snapshot["total_requests"] == snapshot["peak_concurrent"] == HELD


@every_flavour
def test_a_stream_is_in_flight_until_its_last_chunk(shared_server: Server, observe: Observe) -> None:
    chunks = 5
    observation = observe(shared_server)
    with Client(shared_server.port) as client:
        client.send(request(f"/stream?gate=chunk&n={chunks}"))
        assert client.head()[0] == 200
        for index in range(chunks):
            shared_server.wait_at_gate("GET /stream", 1)
            assert observation.monitor.next()["active_concurrent"] == 1, f"before chunk {index}"
            shared_server.open_gate("chunk")
            assert client.chunk() == b"data: %d\n\n" % index
        assert client.chunk() == b""
        # The connection stays open: the last chunk ended the request, not the close.
        observation.monitor.wait_idle()
        assert client.ask(request("/ok")).status == 200
    snapshot = observation.settle()
    observation.assert_equal(snapshot)
    assert snapshot["aborted_requests"] == 0


@every_flavour
def test_clients_that_leave_are_aborted(shared_server: Server, observe: Observe) -> None:
    observation = observe(shared_server)
    clients = [Client(shared_server.port).send(request("/hold?gate=left")) for _ in range(6)]
    shared_server.wait_at_gate("GET /hold", 6)
    for client in clients[:3]:
        client.reset()
    for client in clients[3:]:
        client.close()
    snapshot = observation.monitor.wait_idle()
    assert (snapshot["aborted_requests"], snapshot["failed_requests"]) == (6, 0)
    shared_server.open_gate("left", 6)
    wait_until(lambda: shared_server.tally().of("GET /hold", "running") == 0, "the application is done")
    snapshot = observation.settle()
    assert endpoint_of(snapshot, "/hold")["aborted"] == 6


@every_flavour
def test_pipelined_requests_are_in_flight_together(shared_server: Server, observe: Observe) -> None:
    observation = observe(shared_server)
    with Client(shared_server.port) as client:
        client.send(request("/hold?gate=pipeline") * 3)
        shared_server.wait_at_gate("GET /hold", 1)  # the server runs them one after another
        assert observation.monitor.next()["active_concurrent"] == 3
        for left in (2, 1, 0):
            shared_server.open_gate("pipeline")
            assert client.response().body == b"held"
            observation.monitor.wait_for(lambda s: s["active_concurrent"] == left, f"{left} left")
    snapshot = observation.settle()
    observation.assert_equal(snapshot)
    assert snapshot["peak_concurrent"] == 3


@usual_flavour
def test_many_pipelined_requests_stay_in_flight(shared_server: Server, observe: Observe) -> None:
    """More requests than a connection's record holds, so that the rest has no entry there. Snapshots must not take it
    for lost."""
    answered, left = 9, 6
    observation = observe(shared_server, interval=0.01)
    with Client(shared_server.port) as client:
        client.send(request("/hold?gate=first") * answered + request("/hold/later?gate=later") * left)
        observation.monitor.wait_for(lambda s: s["active_concurrent"] == answered + left, "all are in flight")
        for _ in range(answered):
            shared_server.open_gate("first")
            assert client.response().body == b"held"
        for _ in range(60):
            snapshot = observation.monitor.next()
            assert (snapshot["active_concurrent"], snapshot["total_requests"]) == (left, answered)
        shared_server.open_gate("later", left)
        for _ in range(left):
            assert client.response().body == b"held"
    snapshot = observation.settle()
    observation.assert_equal(snapshot)
    assert snapshot["peak_concurrent"] == answered + left


@usual_flavour
def test_connections_older_than_the_attach(shared_server: Server, observe: Observe) -> None:
    with Client(shared_server.port) as idle, Client(shared_server.port) as busy:
        assert idle.ask(request("/ok")).status == 200
        busy.send(request("/hold?gate=older"))
        shared_server.wait_at_gate("GET /hold", 1)
        observation = observe(shared_server)
        for _ in range(3):
            assert idle.ask(request("/ok")).status == 200
        shared_server.open_gate("older")
        assert busy.response().body == b"held"
        assert busy.ask(request("/users/1")).status == 200
        last = observation.monitor.wait_for(
            lambda s: (
                s["active_concurrent"] == 0
                and {"/ok", "/users/{id}"} <= {endpoint["path"] for endpoint in s["endpoints"]}
            ),
            "both connections are counted",
        )
    counted = {endpoint["path"]: endpoint["completed"] for endpoint in last["endpoints"]}
    assert counted == {"/ok": 3, "/users/{id}": 1, "(before attach)": 1}
    assert last["failed_requests"] == 0
