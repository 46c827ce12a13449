# SPDX-License-Identifier: Apache-2.0
"""Requests of every shape on a few connections.

Heads of many lines, long lines, hundreds of chunks, bodies longer than any window, and pipelines deeper than a
connection's record can hold. The BPF program loops over all of them. Some kernels run such loops wrongly, so
scripts/kernels.sh runs these tests on each of its kernels."""

import itertools
import random
from collections.abc import Callable

from harness.client import Client, chunked, request
from harness.flavours import every_flavour
from harness.load import keep_alive
from harness.observation import Observation, endpoint_of
from harness.server import Server

Observe = Callable[..., Observation]


def fields(count: int, size: int) -> list[str]:
    return [f"X-Field-{number}: {'v' * size}" for number in range(count)]


def drive_heads(client: Client) -> int:
    """One to ninety lines, of one byte up to more than is kept of a line, around the lines that matter."""
    shapes = [(0, 0), (1, 1), (3, 7), (9, 40), (40, 3), (60, 20), (2, 700), (5, 200), (1, 3000)]
    for count, size in shapes:
        before, after = fields(count, size), fields(count // 2, size)
        assert client.ask(request("/ok", "GET", *before)).body == b"ok"
        asked = request("/echo", "POST", *before, "Content-Length: 5", *after) + b"hello"
        assert client.ask(asked).body == b"hello"
        asked = request("/echo", "POST", *before, "Transfer-Encoding: chunked", *after) + chunked(b"one", b"two")
        assert client.ask(asked).body == b"onetwo"
    return 3 * len(shapes)


def drive_bodies(client: Client) -> int:
    """Bodies that look like requests, with a length and in chunks, many times larger than one read of the BPF
    program."""
    text = b"GET /ok HTTP/1.1\r\nHost: x\r\n\r\n"
    lengths = [1, 29, 1023, 1024, 1025, 5000, 70_000, 400_000]
    for length in lengths:
        body = (text * (length // len(text) + 1))[:length]
        assert client.ask(request("/echo", "POST", body=body)).body == body
        for size in (length // 3 + 1, length // 200 + 1):
            pieces = [body[at : at + size] for at in range(0, length, size)]
            head = request("/echo", "POST", "Transfer-Encoding: chunked")
            assert client.ask(head + chunked(*pieces)).body == body
    assert client.ask(request("/chunked?n=1000")).body.count(b"\n") == 1000
    return 3 * len(lengths) + 1


def drive_pipelines(client: Client) -> int:
    """Up to forty requests in one piece, and split anywhere."""
    depths = [2, 8, 9, 40]
    asked = [request("/ok"), request("/echo", "POST", body=b"x" * 50), request("/users/7", "GET", *fields(3, 30))]
    expected = [b"ok", b"x" * 50, b"ok"]
    generator = random.Random(61)
    for depth in depths:
        for pieces in (1, 5):
            data = b"".join(asked[number % 3] for number in range(depth))
            cuts = [0, *sorted(generator.sample(range(1, len(data)), pieces - 1)), len(data)]
            for begin, end in itertools.pairwise(cuts):
                client.send(data[begin:end])
            assert [client.response().body for _ in range(depth)] == [expected[number % 3] for number in range(depth)]
    return 2 * sum(depths)


@every_flavour
def test_every_shape_is_counted_once(shared_server: Server, observe: Observe) -> None:
    observation = observe(shared_server)
    count = 0
    for drive in (drive_heads, drive_bodies, drive_pipelines):
        with Client(shared_server.port) as client:
            count += drive(client)
    snapshot = observation.settle()
    observation.assert_equal(snapshot)
    assert snapshot["total_requests"] == count
    assert snapshot["failed_requests"] == snapshot["aborted_requests"] == snapshot["rejected_requests"] == 0


@every_flavour
def test_a_few_connections_kept_alive(shared_server: Server, observe: Observe) -> None:
    count = 500
    observation = observe(shared_server)
    keep_alive(shared_server.port, count)
    snapshot = observation.settle()
    observation.assert_equal(snapshot)
    assert endpoint_of(snapshot, "/ok")["status"]["2xx"] == snapshot["total_requests"] == count
    assert 1 <= snapshot["peak_concurrent"] <= 16
