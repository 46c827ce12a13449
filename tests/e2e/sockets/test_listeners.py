# SPDX-License-Identifier: Apache-2.0
"""The process that reads a connection matters, not the listening socket.

One listener is inherited, another shares its port with another server."""

import os
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from harness.client import Client, request
from harness.load import keep_alive
from harness.observation import Observation
from harness.server import FASTEST, Flavour, Server

Start = Callable[..., Server]
Observe = Callable[..., Observation]


def listener(reuse: bool = False, port: int = 0) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, reuse)
    made.bind(("127.0.0.1", port))
    made.listen(128)
    return made


@pytest.mark.parametrize(("flavour", "workers"), [(FASTEST[0], 1), (FASTEST[1], 2)], ids=str)
def test_an_inherited_listener(flavour: Flavour, workers: int, start_server: Start, observe: Observe) -> None:
    """A listener as systemd or a process manager passes it: `--fd`."""
    with listener() as inherited:
        server = start_server(flavour, workers=workers, inherited=inherited)
        assert server.port == inherited.getsockname()[1]
    observation = observe(server)
    keep_alive(server.port, 400)
    snapshot = observation.settle()
    observation.assert_equal(snapshot)
    assert snapshot["target"]["listen"] == [f"127.0.0.1:{server.port}"]


def test_a_port_shared_with_another_server(start_server: Start, observe: Observe) -> None:
    """The kernel distributes the connections over the two listening sockets (SO_REUSEPORT); each server counts its
    own."""
    connections = 200
    with listener(reuse=True) as one, listener(reuse=True, port=one.getsockname()[1]) as two:
        servers = [start_server(inherited=inherited) for inherited in (one, two)]
    observations = [observe(server) for server in servers]
    assert servers[0].port == servers[1].port
    for number in range(connections):
        with Client(servers[0].port) as client:
            assert client.ask(request(f"/users/{number}")).status == 200
            assert client.ask(request("/ok", "GET", "Connection: close")).status == 200
    snapshots = [observation.settle() for observation in observations]
    for observation, snapshot in zip(observations, snapshots, strict=True):
        observation.assert_equal(snapshot)
        assert snapshot["total_requests"] > 0
    assert sum(snapshot["total_requests"] for snapshot in snapshots) == 2 * connections


def test_the_queue_of_a_shared_listener_counts_once(start_server: Start, observe: Observe) -> None:
    """The supervisor and both workers hold the listening socket."""
    waiting = 7
    server = start_server(workers=2)
    observation = observe(server)
    stopped = server.workers()
    with ExitStack() as stack:
        for worker in stopped:
            os.kill(worker, signal.SIGSTOP)
        try:
            clients = [stack.enter_context(Client(server.port)).send(request("/ok")) for _ in range(waiting)]
            snapshot = observation.monitor.wait_for(lambda s: s["queue_depth"] >= waiting, "all of them wait")
        finally:
            for worker in stopped:
                os.kill(worker, signal.SIGCONT)
        assert [client.response().status for client in clients] == [200] * waiting
    assert snapshot["queue_depth"] == waiting
    assert [listener["queue_depth"] for listener in snapshot["listeners"]] == [waiting]
    assert len(snapshot["listeners"][0]["processes"]) == 3
    observation.assert_equal(observation.settle())
