# SPDX-License-Identifier: Apache-2.0
"""At full speed no request is lost, and nothing stays in flight when clients reset before the server has read."""

import fcntl
import struct
import termios
from collections.abc import Callable
from contextlib import ExitStack

from harness.client import Client, request
from harness.flavours import every_flavour, usual_flavour
from harness.load import keep_alive
from harness.observation import Observation, endpoint_of
from harness.server import Server
from harness.waiting import wait_until

Observe = Callable[..., Observation]


def unacknowledged(client: Client) -> int:
    """Bytes that the client has sent and its peer's kernel has not acknowledged yet (tcp(7), SIOCOUTQ)."""
    queued = fcntl.ioctl(client.socket, termios.TIOCOUTQ, bytes(4))
    return int(struct.unpack("i", queued)[0])


@every_flavour
def test_keep_alive(shared_server: Server, observe: Observe) -> None:
    flavour = shared_server.flavour
    # The fastest flavours get more requests, so that each runs for some seconds.
    count = 100_000 if flavour.http != "h11" and flavour.loop == "uvloop" else 20_000
    observation = observe(shared_server)
    keep_alive(shared_server.port, count)
    snapshot = observation.settle()
    observation.assert_equal(snapshot)
    assert snapshot["total_requests"] == count
    assert endpoint_of(snapshot, "/ok")["status"]["2xx"] == count
    assert snapshot["aborted_requests"] == snapshot["failed_requests"] == 0
    assert 1 <= snapshot["peak_concurrent"] <= 16


@every_flavour
def test_a_third_resets_before_the_server_has_read(shared_server: Server, observe: Observe) -> None:
    waves, clients = 10, 400
    observation = observe(shared_server)
    for wave in range(waves):
        unblock = f"unblock-resets-{wave}"
        with Client(shared_server.port) as blocker:
            # While the loop is blocked nothing is accepted or read, so the resets come first.
            (shared_server.directory / unblock).unlink(missing_ok=True)
            blocker.send(request(f"/block?until={unblock}"))
            shared_server.wait_at_gate("GET /block", 1)
            waiting = [Client(shared_server.port).send(request("/ok")) for _ in range(clients)]
            for client in waiting[::3]:
                client.reset()
            shared_server.unblock(unblock)
            assert blocker.response().status == 200
        for index, client in enumerate(waiting):
            if index % 3:
                assert client.response().body == b"ok"
                client.close()
    # The server reads connections that it accepted earlier before it answers these.
    for _ in range(3):
        with Client(shared_server.port) as client:
            assert client.ask(request("/ok")).status == 200
    snapshot = observation.settle()
    tally = observation.tally()
    assert tally.total() > waves * clients * 2 // 3
    assert endpoint_of(snapshot, "/ok")["completed"] == tally.of("GET /ok")
    assert snapshot["undercount_by_cause"] == {}
    assert snapshot["failed_requests"] == 0


@usual_flavour
def test_more_endpoints_than_there_is_room_for(shared_server: Server, observe: Observe) -> None:
    unknown, users = 6_000, 500
    observation = observe(shared_server)
    with Client(shared_server.port) as client:
        for number in range(unknown):
            assert client.ask(request(f"/scan/a{number}z")).status == 404
        for number in range(users):
            assert client.ask(request(f"/users/{number}")).status == 200
    snapshot = observation.settle()
    observation.assert_equal(snapshot)
    assert endpoint_of(snapshot, "/users/{id}")["completed"] == users
    assert len(snapshot["endpoints"]) < unknown


@usual_flavour
def test_paths_that_were_never_answered_make_room(shared_server: Server, observe: Observe) -> None:
    """A client cannot know whether the application ran the pipelined requests, so its counts are not compared here."""
    observation = observe(shared_server)
    gate = f"room-{shared_server.port}"
    waves, clients, paths = 2, 2, 800
    for wave in range(waves):
        unblock = f"unblock-room-{shared_server.port}-{wave}"
        with ExitStack() as stack:
            # The pipelined requests must be one piece, because the server stops reading while a request is in flight.
            blocker = stack.enter_context(Client(shared_server.port))
            blocker.send(request(f"/block?until={unblock}"))
            shared_server.wait_at_gate("GET /block", 1)
            waiting = [stack.enter_context(Client(shared_server.port)) for _ in range(clients)]
            for index, client in enumerate(waiting):
                pipelined = [request(f"/guess/{wave}{index}q{number}z") for number in range(paths)]
                client.send(request(f"/hold?gate={gate}") + b"".join(pipelined))
                wait_until(lambda: not unacknowledged(client), "the server's kernel has received everything")
            shared_server.unblock(unblock)
            assert blocker.response().status == 200
            held = clients * (1 + paths)
            observation.monitor.wait_for(lambda s: s["active_concurrent"] == held, "all requests are in flight")
            for client in waiting:
                client.reset()
        observation.monitor.wait_for(lambda s: s["active_concurrent"] == 0, "no request is in flight")
    # The monitor evicts when three quarters of the 2,048 slots are used. An eviction in the middle of the last wave can
    # leave any number of endpoints below that.
    observation.monitor.wait_for(lambda s: len(s["endpoints"]) < 2048 * 3 // 4, "there is room again")
    with Client(shared_server.port) as client:
        assert client.ask(request("/ok")).status == 200
    shared_server.open_gate(gate, waves * clients)
    aborted = waves * clients * (1 + paths)
    total = aborted + waves + 1
    snapshot = observation.monitor.wait_for(lambda s: s["total_requests"] == total, f"a total of {total}")
    assert endpoint_of(snapshot, "/ok")["completed"] == 1
    assert snapshot["aborted_requests"] == aborted
    assert snapshot["active_concurrent"] == 0
