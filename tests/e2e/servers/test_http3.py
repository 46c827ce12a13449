# SPDX-License-Identifier: Apache-2.0
"""A real server and a real client of HTTP/3: hypercorn and aioquic. Each connection is one undercount `quic`, no
request, and the box says so; HTTP/1.1 beside it is counted."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, H3Event
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import QuicEvent

from harness.asgi_servers import Hypercorn
from harness.certificate import make_certificate
from harness.client import Client, request
from harness.load import keep_alive
from harness.monitor import PROFILE, Monitor, run_monitor
from harness.observation import Observation
from harness.waiting import PATIENCE

Observe = Callable[..., Observation]
Attach = Callable[..., Monitor]


class Http3Client(QuicConnectionProtocol):
    """One connection."""

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)  # type: ignore[arg-type]
        self._http = H3Connection(self._quic)
        self._bodies: dict[int, bytes] = {}
        self._ended: dict[int, asyncio.Event] = {}

    def quic_event_received(self, event: QuicEvent) -> None:
        for received in self._http.handle_event(event):
            self._http_received(received)

    def _http_received(self, event: H3Event) -> None:
        stream = getattr(event, "stream_id", None)
        if isinstance(event, DataReceived):
            self._bodies[event.stream_id] += event.data
        if stream in self._ended and getattr(event, "stream_ended", False):
            self._ended[stream].set()

    async def get(self, path: str) -> bytes:
        stream = self._quic.get_next_available_stream_id()
        self._bodies[stream], self._ended[stream] = b"", asyncio.Event()
        fields = {":method": "GET", ":scheme": "https", ":authority": "localhost", ":path": path}
        self._http.send_headers(stream, [(k.encode(), v.encode()) for k, v in fields.items()], end_stream=True)
        self.transmit()
        await asyncio.wait_for(self._ended[stream].wait(), PATIENCE)
        return self._bodies[stream]


@asynccontextmanager
async def http3(port: int) -> AsyncIterator[Http3Client]:
    configuration = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, verify_mode=ssl.CERT_NONE)
    async with connect("127.0.0.1", port, configuration=configuration, create_protocol=Http3Client) as client:
        assert isinstance(client, Http3Client)
        yield client


async def ask(port: int, count: int) -> None:
    """On a connection of its own."""
    async with http3(port) as client:
        for _ in range(count):
            assert await client.get("/ok") == b"ok"


def free_ports() -> tuple[int, int]:
    """One for TCP and UDP, and another."""
    while True:
        with socket.socket() as tcp, socket.socket() as other, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            other.bind(("127.0.0.1", 0))
            port = int(tcp.getsockname()[1])
            try:
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port, int(other.getsockname()[1])


@pytest.fixture(params=["the same port", "a port of its own"])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Hypercorn, int, int]]:
    """A server with the ports for HTTP/1.1 and for QUIC."""
    key, certificate = make_certificate(tmp_path)
    port, other = free_ports()
    quic = port if request.param == "the same port" else other
    options = ["--certfile", str(certificate), "--keyfile", str(key)]
    options += ["--insecure-bind", f"127.0.0.1:{port}", "--quic-bind", f"127.0.0.1:{quic}"]
    with Hypercorn(tmp_path, *options) as server:
        yield server, port, quic


def test_each_connection_is_an_undercount(served: tuple[Hypercorn, int, int], observe: Observe) -> None:
    server, port, quic = served
    observation = observe(server)
    asyncio.run(ask(quic, 25))
    snapshot = observation.monitor.wait_for(lambda s: s["undercount"], "it is recognised")
    assert snapshot["undercount_by_cause"] == {"quic": 1}
    assert snapshot["total_requests"] == snapshot["peak_concurrent"] == 0
    [listener] = [one for one in snapshot["listeners"] if one["protocol"] == "quic"]
    assert (listener["address"], listener["undercount"]) == (f"udp:127.0.0.1:{quic}", 1)
    assert observation.tally().total() == 25
    asyncio.run(ask(quic, 1))
    keep_alive(port, 10)
    snapshot = observation.monitor.wait_for(lambda s: s["total_requests"] >= 10, "the requests by HTTP/1.1 end")
    assert snapshot["undercount_by_cause"] == {"quic": 2}
    assert snapshot["total_requests"] == 10
    assert observation.tally().total() == 36


def test_the_box_says_so(served: tuple[Hypercorn, int, int]) -> None:
    """The connection is older than the monitor, and its datagrams are encrypted."""
    server, port, quic = served

    async def drive() -> str:
        async with http3(quic) as client:
            assert await client.get("/ok") == b"ok"
            arguments = ("--pid", str(server.pid), "--profile", PROFILE, "--interval", "2")
            box = asyncio.create_task(asyncio.to_thread(run_monitor, *arguments))
            while not box.done():
                assert await client.get("/ok") == b"ok"
                with Client(port) as other:
                    assert other.ask(request("/ok")).status == 200
            return (await box).stdout

    printed = asyncio.run(drive())
    assert "Undercount:" in printed
    assert "quic: clients use HTTP/3, which is not counted" in printed
