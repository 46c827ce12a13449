# SPDX-License-Identifier: Apache-2.0
"""A WebSocket is one request, in flight from the 101 until its connection closes, whichever side closes it.

This holds for every implementation that uvicorn has. Frames are not requests."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from harness.client import Client, request
from harness.observation import Observation, endpoint_of
from harness.server import Flavour, Server
from harness.websocket import BINARY, CLOSE, TEXT, WebSocket, frame, header

Observe = Callable[..., Observation]

# Debian's uvicorn with python3-websockets, and each implementation of the current one with one HTTP parser.
IMPLEMENTATIONS = [
    ("debian", "websockets", "h11"),
    ("debian", "websockets", "httptools"),
    ("current", "websockets", "httptools"),
    ("current", "websockets-sansio", "h11"),
    ("current", "wsproto", "zttp"),
]

REQUEST_LIKE = b"GET /ok HTTP/1.1\r\nHost: x\r\n\r\n"
RESPONSE_LIKE = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture(scope="module", params=IMPLEMENTATIONS, ids="-".join)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    uvicorn, implementation, http = request.param
    directory = tmp_path_factory.mktemp("-".join(request.param))
    with Server(directory, Flavour(uvicorn, http, "uvloop"), "--ws", implementation) as running:
        yield running


def close_in_order(client: WebSocket) -> None:
    client.send(frame(CLOSE, b"\x03\xe8"))
    assert client.message() == (CLOSE, b"\x03\xe8")


def ask_to_be_closed(client: WebSocket) -> None:
    client.send(frame(TEXT, b"close"))
    assert client.message() == (CLOSE, b"\x03\xe8")
    client.send(frame(CLOSE, b"\x03\xe8"))
    client.rest()


ENDS: dict[str, Callable[[WebSocket], object]] = {
    "the client's close handshake": close_in_order,
    "the client's reset": WebSocket.reset,
    "the client's FIN": WebSocket.close,
    "the server's close handshake": ask_to_be_closed,
}


def test_in_flight_until_it_closes(server: Server, observe: Observe) -> None:
    observation = observe(server)
    with ExitStack() as stack:
        for ended, (how, end) in enumerate(ENDS.items()):
            client = stack.enter_context(WebSocket(server.port))
            assert client.answer.status == 101
            assert client.echoes(TEXT, b"hello", b"mask")
            snapshot = observation.monitor.next()
            assert (snapshot["active_concurrent"], snapshot["total_requests"]) == (1, ended), how
            assert snapshot["websockets_active"] == 1
            assert endpoint_of(snapshot, "/ws")["websockets_active"] == 1
            end(client)
            observation.monitor.wait_for(lambda s: (s["active_concurrent"], s["total_requests"]) == (0, ended + 1), how)
    snapshot = observation.settle()
    observation.assert_equal(snapshot, "2xx", "3xx", "4xx", "5xx")
    endpoint = endpoint_of(snapshot, "/ws")
    assert (endpoint["completed"], endpoint["failed"], endpoint["aborted"]) == (len(ENDS), 0, 0)
    assert endpoint["status"]["1xx"] == len(ENDS)
    assert snapshot["websockets_active"] == endpoint["websockets_active"] == 0


def test_beside_ordinary_requests(server: Server, observe: Observe) -> None:
    websockets, held = 15, 5
    observation = observe(server)
    with ExitStack() as stack:
        clients = [stack.enter_context(WebSocket(server.port)) for _ in range(websockets)]
        others = [stack.enter_context(Client(server.port)).send(request("/hold?gate=ws")) for _ in range(held)]
        server.wait_at_gate("GET /hold", held)
        snapshot = observation.monitor.next()
        assert (snapshot["active_concurrent"], snapshot["websockets_active"]) == (websockets + held, websockets)
        assert endpoint_of(snapshot, "/ws")["websockets_active"] == websockets
        assert endpoint_of(snapshot, "/hold")["websockets_active"] == 0
        server.open_gate("ws", held)
        assert [client.response().body for client in others] == [b"held"] * held
        assert all(client.echoes(TEXT, b"still there") for client in clients)
        snapshot = observation.monitor.next()
        assert snapshot["active_concurrent"] == snapshot["websockets_active"] == websockets
    snapshot = observation.settle()
    observation.assert_equal(snapshot, "2xx", "3xx", "4xx", "5xx")
    assert snapshot["peak_concurrent"] == websockets + held


def test_a_rejected_upgrade_ends_as_a_response(server: Server, observe: Observe) -> None:
    observation = observe(server)
    for _ in range(3):
        with WebSocket(server.port, "/ws/reject") as client:
            assert client.answer.status == 403
    snapshot = observation.settle()
    observation.assert_equal(snapshot)
    endpoint = endpoint_of(snapshot, "/ws/reject")
    assert (endpoint["completed"], endpoint["failed"], endpoint["status"]["4xx"]) == (3, 0, 3)
    assert snapshot["aborted_requests"] == snapshot["rejected_requests"] == snapshot["websockets_active"] == 0


def test_frames_are_not_requests(server: Server, observe: Observe) -> None:
    """Payloads that look like a request or a response, from either side. The server's frames are never masked."""
    observation = observe(server)
    with WebSocket(server.port) as client:
        for payload in (REQUEST_LIKE, RESPONSE_LIKE, REQUEST_LIKE * 20):
            for opcode in (TEXT, BINARY):
                assert client.echoes(opcode, payload, b"mask")
                assert client.echoes(opcode, payload)
                # The payload is a segment of its own, and so most likely a read that begins like a request.
                client.send(header(opcode, len(payload)))
                observation.monitor.next()
                client.send(payload)
                assert client.message() == (opcode, payload)
        snapshot = observation.monitor.next()
        assert (snapshot["active_concurrent"], snapshot["total_requests"]) == (1, 0)
        close_in_order(client)
    snapshot = observation.settle()
    observation.assert_equal(snapshot, "2xx", "3xx", "4xx", "5xx")
    assert [endpoint["path"] for endpoint in snapshot["endpoints"]] == ["/ws"]
    assert snapshot["rejected_requests"] == 0


def test_a_killed_worker_takes_its_websockets_along(start_server: Callable[..., Server], observe: Observe) -> None:
    opened = 6
    server = start_server(workers=2)
    observation = observe(server)
    with ExitStack() as stack:
        clients = [stack.enter_context(WebSocket(server.port)) for _ in range(opened)]
        assert all(client.echoes(TEXT, b"hello") for client in clients)
        for victim in server.workers():
            os.kill(victim, signal.SIGKILL)
        for client in clients:
            client.rest()
        snapshot = observation.monitor.wait_for(lambda s: s["total_requests"] == opened, "all WebSockets have ended")
    assert snapshot["websockets_active"] == snapshot["active_concurrent"] == 0
    endpoint = endpoint_of(snapshot, "/ws")
    assert (endpoint["completed"], endpoint["status"]["1xx"], endpoint["failed"]) == (opened, opened, 0)
