# SPDX-License-Identifier: Apache-2.0
"""How long requests wait and take. The server is blocked from one known moment to another, and every figure has to lie
between two moments that the test saw."""

import fcntl
import struct
import termios
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.attached_engine import Engine
from harness.client import Client, request
from harness.flavours import every_flavour
from harness.monitor import Snapshot
from harness.observation import endpoint_of
from harness.server import USUAL, Server
from harness.waiting import wait_until

# How much later than it was the profile "syscall" may take an arrival for: two jiffies of a kernel with 100 a second.
COARSE = 0.02
STEP = 0.05  # between two requests, so that their waits differ


@dataclass
class Sent:
    """When a request's first byte was sent, at the earliest and at the latest."""

    earliest: float
    latest: float


def unacknowledged(client: Client) -> int:
    """Bytes that the server's kernel has not acknowledged: it may not have received them yet."""
    [length] = struct.unpack("i", fcntl.ioctl(client.socket, termios.TIOCOUTQ, struct.pack("i", 0)))
    return int(length)


def send(client: Client, data: bytes) -> Sent:
    before = time.monotonic()
    client.send(data)
    wait_until(lambda: not unacknowledged(client), "the bytes have arrived")
    return Sent(before, time.monotonic())


def is_coarse(snapshot: Snapshot) -> float:
    """By how much a queue wait may be too short."""
    return COARSE if snapshot["profile"] == "syscall" else 0.0


def check(summary: dict[str, Any], least: float, most: float) -> None:
    assert summary["count"] == 1
    assert least <= summary["max"] <= most
    assert summary["p50"] == summary["p99"]
    assert abs(summary["p50"] / summary["max"] - 1) <= 0.05


@every_flavour
def test_queue_wait(shared_server: Server, engine: Engine) -> None:
    """On a connection that was kept, on a new one, on one with a request before it, and of a head in two pieces."""
    server = shared_server
    unblock = f"go{time.monotonic_ns()}"
    sent: dict[str, Sent] = {}
    with ExitStack() as stack:
        kept, blocker = (stack.enter_context(Client(server.port)) for _ in range(2))
        assert kept.ask(request("/ok")).status == 200
        engine.attach(server.pid)
        blocker.send(request(f"/block?until={unblock}"))
        server.wait_at_gate("GET /block", 1)
        new = stack.enter_context(Client(server.port))
        sent["/users/{id}"] = send(new, request("/users/1"))
        time.sleep(STEP)
        sent["/ok"] = send(kept, request("/ok"))
        time.sleep(STEP)
        split = stack.enter_context(Client(server.port))
        sent["/raw"] = send(split, b"GET /raw HTTP/1.1\r\nHo")
        sent["/early"] = send(new, request("/early"))
        time.sleep(STEP)
        split.send(b"st: x\r\n\r\n")
        unblocked = time.monotonic()
        server.unblock(unblock)
        for client in (new, new, kept, split, blocker):
            assert client.response().status == 200
        done = time.monotonic()
        snapshot = engine.wait_for(server.pid, lambda s: s["active_concurrent"] == 0, "all requests end")
    coarse = is_coarse(snapshot)
    if coarse:
        # It knows only when the last bytes of a read arrived.
        del sent["/raw"], sent["/users/{id}"]
    for path, moments in sent.items():
        least = unblocked - moments.latest - coarse
        check(endpoint_of(snapshot, path)["queue_wait"], least, done - moments.earliest)
    assert snapshot["queue_wait"]["count"] == 5


def test_queue_wait_with_four_workers(tmp_path: Path, engine: Engine) -> None:
    """All four are blocked, so that the request waits in the accept queue until one goes on."""
    with Server(tmp_path, USUAL, workers=4) as server, ExitStack() as stack:
        engine.attach(server.pid)
        for number in range(4):
            blocker = stack.enter_context(Client(server.port))
            blocker.send(request("/block?until=go"))
            server.wait_at_gate("GET /block", number + 1)
        waiting = stack.enter_context(Client(server.port))
        sent = send(waiting, request("/ok"))
        time.sleep(STEP)
        unblocked = time.monotonic()
        server.unblock("go")
        assert waiting.response().status == 200
        done = time.monotonic()
        snapshot = engine.wait_for(server.pid, lambda s: s["active_concurrent"] == 0, "all requests end")
    least = unblocked - sent.latest - is_coarse(snapshot)
    check(endpoint_of(snapshot, "/ok")["queue_wait"], least, done - sent.earliest)


@every_flavour
def test_time_to_first_byte_and_duration(shared_server: Server, engine: Engine) -> None:
    """A response with one chunk, whose head comes before the gate and whose end after it."""
    server = shared_server
    with Client(server.port) as client:
        assert client.ask(request("/ok")).status == 200
        engine.attach(server.pid)
        sent = send(client, request("/stream?gate=first&n=1"))
        assert client.head()[0] == 200
        head = time.monotonic()
        server.wait_at_gate("GET /stream", 1)
        time.sleep(STEP)
        opened = time.monotonic()
        server.open_gate("first")
        assert client.chunk() == b"data: 0\n\n"
        assert client.chunk() == b""
        done = time.monotonic()
        snapshot = engine.wait_for(server.pid, lambda s: s["active_concurrent"] == 0, "the request ends")
    endpoint = endpoint_of(snapshot, "/stream")
    assert 0 < endpoint["time_to_first_byte"]["max"] <= head - sent.earliest
    check(endpoint["duration"], opened - head, done - sent.earliest)


def test_a_view_has_the_times_since_its_previous_sample(engine: Engine, tmp_path: Path) -> None:
    with Server(tmp_path, USUAL) as server, Client(server.port) as client:
        engine.attach(server.pid)
        assert client.ask(request("/ok")).status == 200
        first = engine.wait_for(server.pid, lambda s: s["total_requests"] == 1, "the request ends")
        assert first["duration"]["count"] == 1
        csv = engine.done("--pid", server.pid, "--watch", "--csv", "--count", "2", "--interval", "0.05").splitlines()
        column = csv[0].split(",").index("duration_recent_count")
        assert [line.split(",")[column] for line in csv[1:]] == ["1", "0"]
