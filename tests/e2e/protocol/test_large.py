# SPDX-License-Identifier: Apache-2.0
"""Long messages under real servers: 100 MB up and down, and streams of ten thousand chunks.

A request beside them stays in flight until its last byte."""

from collections.abc import Callable

from harness.client import Client, request
from harness.flavours import over
from harness.observation import Observation, endpoint_of
from harness.server import USUAL, ZTTP, Flavour, Server

Observe = Callable[..., Observation]

LENGTH = 100_000_000
PIECE = b"GET / HTTP/1.1\r\n" * 6250  # 100 kB

some_flavours = over([USUAL, Flavour("debian", "h11", "asyncio"), ZTTP])


def upload(client: Client, observation: Observation, before: bytes = b"", after: bytes = b"") -> None:
    """Sends the body in framed pieces, and takes a snapshot in the middle."""
    pieces = LENGTH // len(PIECE)
    framed = before + PIECE + after
    for _ in range(pieces // 2):
        client.send(framed)
    halfway = observation.monitor.next()
    assert (halfway["active_concurrent"], endpoint_of(halfway, "/sink", "POST")["active"]) == (1, 1)
    for _ in range(pieces - pieces // 2):
        client.send(framed)


@some_flavours
def test_uploads(shared_server: Server, observe: Observe) -> None:
    observation = observe(shared_server)
    with Client(shared_server.port) as client:
        client.send(request("/sink", "POST", f"Content-Length: {LENGTH}"))
        upload(client, observation)
        assert client.response().body == b"%d" % LENGTH
        client.send(request("/sink", "POST", "Transfer-Encoding: chunked"))
        upload(client, observation, b"%x\r\n" % len(PIECE), b"\r\n")
        assert client.ask(b"0\r\n\r\n").body == b"%d" % LENGTH
        assert client.ask(request("/ok")).body == b"ok"
    observation.assert_equal(observation.settle())


@some_flavours
def test_downloads(shared_server: Server, observe: Observe) -> None:
    observation = observe(shared_server)
    with Client(shared_server.port) as client:
        status, fields = client.send(request("/download?mb=100") + request("/ok")).head()
        length = int(fields[b"content-length"])
        assert (status, length) == (200, 100 << 20)
        client.skip(length // 2)
        assert observation.monitor.next()["active_concurrent"] >= 1
        client.skip(length - length // 2)
        assert client.response().body == b"ok"
    observation.assert_equal(observation.settle())


@some_flavours
def test_ten_thousand_chunks(shared_server: Server, observe: Observe) -> None:
    observation = observe(shared_server)
    with Client(shared_server.port) as client:
        client.send(request("/chunked?n=10000") + request("/ok"))
        assert client.head()[0] == 200
        for index in range(10_000):
            assert client.chunk() == b"chunk %d\n" % index
        assert client.chunk() == b""
        assert client.response().body == b"ok"
    observation.assert_equal(observation.settle())
