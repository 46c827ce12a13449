# SPDX-License-Identifier: Apache-2.0
"""A listener for Multipath TCP, as `mptcpize` and systemd's SocketProtocol=mptcp make it. Clients that speak Multipath
TCP and clients that speak plain TCP are counted alike."""

import os
import signal
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.changes import Changes
from harness.client import IPPROTO_MPTCP, Client, connect, long_after, request
from harness.load import keep_alive
from harness.monitor import Monitor
from harness.observation import Observation, endpoint_of
from harness.server import Server
from harness.waiting import wait_until
from harness.websocket import BINARY, WebSocket

Start = Callable[..., Server]
Attach = Callable[..., Monitor]
Observe = Callable[..., Observation]

SOL_MPTCP, MPTCP_INFO, MPTCP_INFO_FLAG_FALLBACK = 284, 1, 1


def mptcp_is_enabled() -> bool:
    enabled = Path("/proc/sys/net/mptcp/enabled")
    return enabled.exists() and enabled.read_text().strip() == "1"


pytestmark = pytest.mark.skipif(not mptcp_is_enabled(), reason="the kernel has no Multipath TCP, or it is off")


def listening(host: str = "127.0.0.1", backlog: int = 128) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP)
    listener.bind((host, 0))
    listener.listen(backlog)
    return listener


@pytest.fixture
def server(start_server: Start) -> Iterator[Server]:
    with listening() as listener:
        yield start_server(inherited=listener)


def speaks_mptcp(client: Client) -> bool:
    """Whether the connection did not fall back to TCP (struct mptcp_info, include/uapi/linux/mptcp.h)."""
    flags = struct.unpack_from("I", client.socket.getsockopt(SOL_MPTCP, MPTCP_INFO, 64), 8)[0]
    return not flags & MPTCP_INFO_FLAG_FALLBACK


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_both_kinds_of_clients(host: str, start_server: Start, observe: Observe) -> None:
    with listening(host) as listener:
        server = start_server(inherited=listener)
    observation = observe(server)
    with Client(server.port, host, mptcp=True) as client:
        assert client.ask(request("/ok")).body == b"ok"
        assert speaks_mptcp(client)
        assert observation.monitor.next()["open_connections"] == 1
    plain = threading.Thread(target=keep_alive, args=(server.port, 2_000, 8, host))
    plain.start()
    keep_alive(server.port, 2_000, 8, host, mptcp=True)
    plain.join()
    snapshot = observation.settle()
    observation.assert_equal(snapshot)
    assert (snapshot["total_requests"], snapshot["open_connections"], snapshot["undercount"]) == (4_001, 0, 0)
    address = f"[{host}]" if ":" in host else host
    assert snapshot["target"]["listen"] == [f"{address}:{server.port}"]


def test_bodies_and_pipelines(server: Server, observe: Observe) -> None:
    observation = observe(server)
    body = b"GET /no HTTP/1.1\r\nHost: x\r\n\r\n" * 100_000
    with Client(server.port, mptcp=True) as client:
        for piece in (body, b"short"):
            assert client.ask(request("/sink", "POST", body=piece)).body == b"%d" % len(piece)
        client.send(request("/download?mb=4")).head()
        client.skip(4 << 20)
        client.send(request("/ok") * 20)
        assert [client.response().body for _ in range(20)] == [b"ok"] * 20
        client.send_bytewise(request("/ok"))
        assert client.response().body == b"ok"
    observation.assert_equal(observation.settle())


def test_clients_that_leave(server: Server, observe: Observe) -> None:
    """A client's reset is the fast close of Multipath TCP."""
    observation = observe(server)
    clients = [Client(server.port, mptcp=True).send(request("/hold?gate=left")) for _ in range(6)]
    server.wait_at_gate("GET /hold", 6)
    assert observation.monitor.next()["active_concurrent"] == 6
    for client in clients[:3]:
        client.reset()
    for client in clients[3:]:
        client.close()
    snapshot = observation.monitor.wait_idle()
    assert (snapshot["aborted_requests"], snapshot["failed_requests"], snapshot["open_connections"]) == (6, 0, 0)
    server.open_gate("left", 6)
    wait_until(lambda: server.tally().of("GET /hold", "running") == 0, "the application is done")
    assert endpoint_of(observation.settle(), "/hold")["aborted"] == 6


def test_closes_by_the_server(server: Server, observe: Observe) -> None:
    observation = observe(server)
    with Client(server.port, mptcp=True) as client:
        assert client.ask(request("/ok", "GET", "Connection: close")).body == b"ok"
        assert client.rest() == b""
    with Client(server.port, mptcp=True) as client:
        assert client.send(request("/cut")).rest().endswith(b"short")
    with Client(server.port, mptcp=True) as client:
        assert client.ask(b"no request\r\n\r\n").rejected
    with Client(server.port, mptcp=True) as half_closed:
        half_closed.send(request("/hold?gate=half"))
        server.wait_at_gate("GET /hold", 1)
        half_closed.socket.shutdown(socket.SHUT_WR)
        half_closed.rest()
    snapshot = observation.monitor.wait_for(lambda s: s["total_requests"] == 3, "all ended")
    figures = ("failed_requests", "aborted_requests", "rejected_requests", "active_concurrent", "undercount")
    assert [snapshot[figure] for figure in figures] == [1, 1, 1, 0, 0]


def test_the_server_is_killed(server: Server, observe: Observe) -> None:
    monitor = observe(server).monitor
    with Client(server.port, mptcp=True) as client:
        client.send(request("/hold?gate=never"))
        server.wait_at_gate("GET /hold", 1)
        assert monitor.next()["active_concurrent"] == 1
        os.kill(server.pid, signal.SIGKILL)
        _, last = monitor.wait_end()
    assert (last["total_requests"], last["failed_requests"], last["undercount"]) == (1, 1, 0)


def test_what_waits_is_queued(server: Server, observe: Observe) -> None:
    """Connections in the accept queue, and one that was accepted and not read."""
    observation = observe(server)
    waiting = 5
    with Client(server.port, mptcp=True) as client, Client(server.port) as blocker:
        assert client.ask(request("/ok")).status == 200
        blocker.send(request("/block?until=unblock"))
        server.wait_at_gate("GET /block", 1)
        client.send(request("/ok"))
        clients = [Client(server.port, mptcp=number % 2 == 0).send(request("/ok")) for number in range(waiting)]
        observation.monitor.wait_for(lambda s: s["queue_depth"] == waiting + 1, f"{waiting} + 1 wait")
        server.unblock("unblock")
        for each in [client, *clients]:
            assert each.response().body == b"ok"
        assert blocker.response().body == b"unblocked"
        observation.monitor.wait_for(lambda s: s["queue_depth"] == 0, "nothing waits")
        for each in clients:
            each.close()
    observation.assert_equal(observation.settle())


def test_open_before_the_attach(server: Server, attach: Attach) -> None:
    with (
        Client(server.port, mptcp=True) as idle,
        Client(server.port, mptcp=True) as silent,
        Client(server.port, mptcp=True) as first,
        Client(server.port, mptcp=True) as second,
        Client(server.port, mptcp=True) as stream,
        WebSocket(server.port, mptcp=True) as websocket,
    ):
        assert idle.ask(request("/ok")).status == 200
        first.send(request("/hold?gate=first"))
        server.wait_at_gate("GET /hold", 1)
        assert second.ask(request("/ok")).status == 200
        long_after(second).send(request("/hold?gate=second"))
        server.wait_at_gate("GET /hold", 2)
        stream.send(request("/stream?gate=stream&n=2"))
        stream.head()
        server.wait_at_gate("GET /stream", 1)
        server.open_gate("stream")
        assert stream.chunk() == b"data: 0\n\n"
        monitor = attach(server.pid, interval=0.01)
        assert monitor.next()["active_concurrent"] == 2
        monitor.wait_for(lambda s: s["open_connections"] == 6, "the silent one is accepted too")
        changes = Changes(monitor)
        server.open_gate("stream")
        assert (stream.chunk(), stream.chunk()) == (b"data: 1\n\n", b"")
        changes.wait_change({"(before attach) none": 1})
        for client, gate in ((first, "first"), (second, "second")):
            server.open_gate(gate)
            assert client.response().body == b"held"
            changes.wait_change({"(before attach) active": -1, "(before attach) 2xx": 1})
        assert websocket.echoes(BINARY, b"hello")
        changes.wait_change({"(before attach) active": 1})
        websocket.reset()
        changes.wait_change({"(before attach) active": -1, "(before attach) 1xx": 1})
        for client in (idle, silent, first, second, stream):
            assert client.ask(request("/ok")).status == 200
        changes.wait_change({"GET /ok 2xx": 5})
        assert monitor.next()["undercount"] == 0


def test_outgoing_connections(server: Server, observe: Observe) -> None:
    """The application asks itself: each request counts once, at the end that reads it."""
    times = 5
    asked = request(f"/fetch?to={server.port}&protocol={IPPROTO_MPTCP}")
    with Client(server.port) as client:
        assert client.ask(asked).status == 200  # opens the connection that the application keeps
        wait_until(lambda: server.tally().total("running") == 0, "no request runs")
        observation = observe(server)
        for _ in range(times):
            assert client.ask(asked).status == 200
        assert observation.monitor.next()["open_connections"] == 2  # ours, and its own
    snapshot = observation.settle()
    observation.assert_equal(snapshot)
    assert snapshot["total_requests"] == 3 * times


def test_mptcp_clients_of_a_tcp_listener(start_server: Start, observe: Observe) -> None:
    """The connection is plain TCP: the server does not agree to more."""
    server = start_server()
    observation = observe(server)
    keep_alive(server.port, 500, 4, mptcp=True)
    with connect(server.port, mptcp=True) as client:
        client.sendall(request("/ok", "GET", "Connection: close"))
        while client.recv(4096):
            pass
    snapshot = observation.settle()
    observation.assert_equal(snapshot)
    assert snapshot["undercount"] == 0
