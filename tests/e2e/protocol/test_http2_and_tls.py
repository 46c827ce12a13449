# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 and TLS are not decoded, and the monitor reports that.

Each such connection is one undercount with its own cause, and no request. HTTP/1.1 beside it is counted."""

import ssl
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, StreamEnded

from harness.asgi_servers import Hypercorn
from harness.certificate import make_certificate
from harness.client import Client, request
from harness.load import keep_alive
from harness.monitor import Monitor
from harness.observation import Observation
from harness.server import FASTEST, USUAL, ZTTP, Flavour, Server

Start = Callable[..., Server]
Observe = Callable[..., Observation]
Attach = Callable[..., Monitor]


class Http2Client(Client):
    """HTTP/2 with prior knowledge."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._http2 = H2Connection(H2Configuration())
        self._http2.initiate_connection()

    def get(self, path: str, streams: int) -> list[bytes]:
        """Sends requests on this many streams at once. Returns the bodies of the responses."""
        bodies: dict[int, bytes] = {}
        for _ in range(streams):
            stream = self._http2.get_next_available_stream_id()
            fields = [(":method", "GET"), (":path", path), (":scheme", "http"), (":authority", "x")]
            self._http2.send_headers(stream, fields, end_stream=True)
            bodies[stream] = b""
        ended: set[int] = set()
        while len(ended) < streams:
            self.send(self._http2.data_to_send())
            for event in self._http2.receive_data(self.socket.recv(65536)):
                if isinstance(event, ResponseReceived):
                    assert (b":status", b"200") in event.headers
                elif isinstance(event, DataReceived):
                    bodies[event.stream_id] += event.data
                elif isinstance(event, StreamEnded):
                    ended.add(event.stream_id)
        return list(bodies.values())


def test_http2_with_prior_knowledge(start_server: Start, observe: Observe) -> None:
    connections, http1 = 3, 500
    server = start_server(ZTTP, "--http2")
    observation = observe(server)
    with ExitStack() as stack:
        clients = [stack.enter_context(Http2Client(server.port)) for _ in range(connections)]
        for _ in range(4):
            for client in clients:
                assert client.get("/ok", 5) == [b"ok"] * 5
        snapshot = observation.monitor.next()
        assert (snapshot["active_concurrent"], snapshot["total_requests"]) == (0, 0)
        assert snapshot["open_connections"] == connections
        before = observation.tally().total()
        keep_alive(server.port, http1)
        assert clients[0].get("/ok", 5) == [b"ok"] * 5
    last = observation.monitor.wait_for(lambda s: s["total_requests"] == http1, f"{http1} requests by HTTP/1.1")
    assert before == connections * 4 * 5
    assert last["undercount_by_cause"] == {"http2": connections}
    assert last["active_concurrent"] == last["failed_requests"] == last["rejected_requests"] == 0


@pytest.mark.parametrize("name", ["uvicorn", "hypercorn"])
def test_a_single_http2_request(name: str, start_server: Start, tmp_path: Path, observe: Observe) -> None:
    """It is so short that the server's bytes may contain no line end."""
    with ExitStack() as stack:
        server = start_server(ZTTP, "--http2") if name == "uvicorn" else stack.enter_context(Hypercorn(tmp_path))
        observation = observe(server)
        with Http2Client(server.port) as client:
            assert client.get("/ok", 1) == [b"ok"]
        last = observation.monitor.wait_for(lambda s: s["undercount"], "it is recognised")
        assert last["undercount_by_cause"] == {"http2": 1}
        assert last["total_requests"] == last["active_concurrent"] == last["rejected_requests"] == 0


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("tls"))


def client_hello(certificate: Path) -> bytes:
    sent = ssl.MemoryBIO()
    context = ssl.create_default_context(cafile=str(certificate))
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname="localhost").do_handshake()
    return sent.read()


def test_a_client_hello_that_looks_like_text_lines(
    certificate: tuple[Path, Path], start_server: Start, observe: Observe
) -> None:
    """Its random bytes may be anything: here a space and empty lines, so that the bytes before look like a method."""
    key, made = certificate
    server = start_server(USUAL, "--ssl-keyfile", str(key), "--ssl-certfile", str(made))
    observation = observe(server)
    random = b" /x\r\n\r\nGET / HTTP/1.1\r\n\r\n......"
    hello = client_hello(made)
    at = 5 + 4 + 2  # after the headers of record and handshake, and the version (RFC 8446 §4.1.2, §5.1)
    with Client(server.port) as client:
        client.send(hello[:at] + random + hello[at + len(random) :])
        assert client.take(1) == b"\x16"  # the server's own hello
    last = observation.monitor.wait_for(lambda s: s["undercount"] == 1, "it is recognised")
    assert last["undercount_by_cause"] == {"tls": 1}
    assert last["peak_concurrent"] == last["total_requests"] == last["rejected_requests"] == 0


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("flavour", FASTEST, ids=str)
def test_tls(
    flavour: Flavour, loop: str, certificate: tuple[Path, Path], start_server: Start, observe: Observe
) -> None:
    connections = 5
    key, made = certificate
    server = start_server(
        Flavour(flavour.uvicorn, flavour.http, loop), "--ssl-keyfile", str(key), "--ssl-certfile", str(made)
    )
    observation = observe(server)
    context = ssl.create_default_context(cafile=str(made))
    for number in range(connections):
        with Client(server.port) as client:
            context.maximum_version = ssl.TLSVersion.TLSv1_2 if number == 0 else ssl.TLSVersion.TLSv1_3
            client.socket = context.wrap_socket(client.socket, server_hostname="localhost")
            for _ in range(3):
                assert client.ask(request("/ok")).body == b"ok"
            assert client.ask(request("/echo", "POST", body=b"e" * 100_000)).body == b"e" * 100_000
    last = observation.monitor.wait_for(
        lambda s: s["open_connections"] == 0 and s["undercount"] >= connections,
        "all are recognised and closed",
    )
    assert observation.tally().total() == connections * 4
    assert last["undercount_by_cause"] == {"tls": connections}
    assert last["total_requests"] == last["active_concurrent"] == last["rejected_requests"] == 0


def test_tls_that_is_older_than_the_monitor(
    certificate: tuple[Path, Path], start_server: Start, attach: Attach
) -> None:
    """Idle connections, as a load balancer keeps them. They are no requests before they are used, nor after."""
    connections = 3
    key, made = certificate
    server = start_server(USUAL, "--ssl-keyfile", str(key), "--ssl-certfile", str(made))
    context = ssl.create_default_context(cafile=str(made))
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(server.port)) for _ in range(connections)]
        for client in clients:
            client.socket = context.wrap_socket(client.socket, server_hostname="localhost")
            assert client.ask(request("/ok")).body == b"ok"
        monitor = attach(server.pid)
        for _ in range(2):
            for client in clients:
                assert client.ask(request("/ok")).body == b"ok"
                assert client.ask(request("/echo", "POST", body=b"e" * 100_000)).body == b"e" * 100_000
        last = monitor.wait_for(lambda s: s["undercount"] >= connections, "all are recognised")
    assert last["undercount_by_cause"] == {"tls": connections}
    assert last["total_requests"] == last["active_concurrent"] == last["peak_concurrent"] == 0
    assert [listener["protocol"] for listener in last["listeners"]] == ["tls"]


def test_http2_that_is_older_than_the_monitor(start_server: Start, attach: Attach) -> None:
    server = start_server(ZTTP, "--http2")
    with Http2Client(server.port) as client:
        assert client.get("/ok", 2) == [b"ok"] * 2
        monitor = attach(server.pid)
        for _ in range(3):
            assert client.get("/ok", 2) == [b"ok"] * 2
        keep_alive(server.port, 10)
        last = monitor.wait_for(lambda s: s["total_requests"] >= 10, "the requests by HTTP/1.1 end")
        assert last["undercount_by_cause"] == {"http2": 1}
        assert (last["total_requests"], last["active_concurrent"]) == (10, 0)
