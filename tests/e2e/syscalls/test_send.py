# SPDX-License-Identifier: Apache-2.0
"""Responses written by each system call that can write: whole, split anywhere, or cut short.

A response ends with its last byte, not earlier."""

import errno
import itertools
import socket
from collections.abc import Callable
from contextlib import suppress

import pytest

from harness.changes import Watched
from harness.client import Client, chunked, request
from harness.syscall_server import SyscallServer
from harness.waiting import PATIENCE, wait_until
from raw_syscalls import MSG_ZEROCOPY

MSG_ERRQUEUE = 0x2000
SO_ZEROCOPY = 60

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

# Every way to delimit a response except the close, with bodies that look like responses.
ASKED = [
    request("/interim", "POST", "Expect: 100-continue", body=b"x"),
    request("/length"),
    request("/chunks"),
    request("/none"),
    request("/head", "HEAD"),
    request("/old"),
    request("/failed"),
    request("/empty"),
]
ANSWERS = [
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + OK,
    b"HTTP/1.1 201 Created\r\nX-Long: " + b"v" * 300 + b"\r\nContent-Length: 200\r\n\r\n" + (OK * 5)[:200],
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(OK, b"y" * 40)[:-2] + b"Trailer: 1\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n",
    b"HTTP/1.1 500 Internal Server Error\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"oh"),
    b"HTTP/1.1 301 Moved\r\nContent-Length: 0\r\n\r\n",
]
COUNTED = {
    "POST /interim 2xx": 1,
    "GET /length 2xx": 1,
    "GET /chunks 2xx": 1,
    "GET /none 2xx": 1,
    "HEAD /head 2xx": 1,
    "GET /old 3xx": 1,
    "GET /failed 5xx": 1,
    "GET /empty 3xx": 1,
    "failed": 1,
}


def pieces(data: bytes) -> list[bytes]:
    """The bytes in small vectors, empty ones among them."""
    found = []
    for size in itertools.cycle((0, 1, 2, 3, 0, 5, 8, 13)):
        found.append(data[:size])
        data = data[size:]
        if not data:
            return found
    raise AssertionError


def messages(data: bytes) -> list[list[bytes]]:
    """The same vectors, a few in each message."""
    vectors = iter(pieces(data))
    return list(iter(lambda: list(itertools.islice(vectors, 5)), []))


Write = Callable[[SyscallServer, int, bytes], int]

WRITES: dict[str, Write] = {
    "write": lambda server, fd, data: server.do("write", fd, data),
    "writev": lambda server, fd, data: server.do("writev", fd, pieces(data)),
    "sendto": lambda server, fd, data: server.do("sendto", fd, data),
    "sendmsg": lambda server, fd, data: server.do("sendmsg", fd, pieces(data)),
    "sendmmsg": lambda server, fd, data: sum(server.do("sendmmsg", fd, messages(data))),
    "pwritev2": lambda server, fd, data: server.do("pwritev2", fd, pieces(data)),
}
every_family = pytest.mark.parametrize("family", ["tcp", "unix"])
every_write = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)


def ask(watched: Watched, client: Client, fd: int, *asked: bytes) -> None:
    """Makes the server read these requests."""
    whole = b"".join(asked)
    client.send(whole)
    assert watched.server.do("recvfrom", fd, len(whole), socket.MSG_WAITALL) == whole


@every_family
@every_write
def test_each_call(watched: Watched, family: str, write: Write) -> None:
    with watched.server.connection(family) as (client, fd):
        ask(watched, client, fd, *ASKED)
        watched.change()
        for asked, answer in zip(ASKED, ANSWERS, strict=True):
            assert write(watched.server, fd, answer) == len(answer)
            change = watched.change()
            key = " ".join(asked.decode().split()[:2])
            assert change.pop(f"{key} active") == -1
            assert change.items() <= COUNTED.items()
            assert client.take(len(answer)) == answer
        ask(watched, client, fd, *ASKED)
        assert write(watched.server, fd, b"".join(ANSWERS)) == len(b"".join(ANSWERS))
        assert watched.change() == COUNTED


@every_write
def test_in_two_calls_split_everywhere(watched: Watched, write: Write) -> None:
    """All responses in one piece, split at each place."""
    whole = b"".join(ANSWERS)
    step = 1 if write is WRITES["write"] else 5
    cuts = range(1, len(whole), step)
    with watched.server.connection() as (client, fd):
        for cut in cuts:
            ask(watched, client, fd, *ASKED)
            assert write(watched.server, fd, whole[:cut]) == cut
            assert write(watched.server, fd, whole[cut:]) == len(whole) - cut
            assert client.take(len(whole)) == whole
        assert watched.change() == {name: len(cuts) for name in COUNTED}


def test_byte_by_byte(watched: Watched) -> None:
    with watched.server.connection() as (client, fd):
        ask(watched, client, fd, *ASKED)
        for byte in b"".join(ANSWERS):
            watched.server.do("write", fd, bytes([byte]))
        assert watched.change() == COUNTED


@pytest.mark.parametrize("call", ["writev", "sendmsg", "pwritev2"])
def test_a_thousand_vectors(watched: Watched, call: str) -> None:
    """Vectors of one byte each, almost as many as a call may have (UIO_MAXIOV)."""
    whole = b"".join(ANSWERS)
    filler = b"HTTP/1.1 200 OK\r\nX-Filler: " + b"f" * (1000 - 49 - 27) + b"\r\nContent-Length: 2\r\n\r\nok"
    assert len(filler) > 950
    with watched.server.connection() as (client, fd):
        for data, asked in ((filler, [request("/filler")]), (whole[:1000], ASKED)):
            ask(watched, client, fd, *asked)
            assert watched.server.do(call, fd, [data[at : at + 1] for at in range(len(data))]) == len(data)
        watched.server.do("write", fd, whole[1000:])
        assert watched.change() == COUNTED | {"GET /filler 2xx": 1}


def test_sendmmsg_again_and_again(watched: Watched) -> None:
    """The same call on the same connection, with responses that span its messages; then another call."""
    with watched.server.connection() as (client, fd):
        for count in (1, 3, 2, 4, 1):
            ask(watched, client, fd, *[request("/again")] * count)
            data = OK * count
            split = [[data[at : at + 7], data[at + 7 : at + 13]] for at in range(0, len(data), 13)]
            assert sum(watched.server.do("sendmmsg", fd, split)) == len(data)
        ask(watched, client, fd, request("/again"))
        watched.server.do("sendmsg", fd, [OK[:10], OK[10:]])
        assert watched.change() == {"GET /again 2xx": 12}


def test_sendmmsg_with_a_response_in_each_message(watched: Watched) -> None:
    with watched.server.connection() as (client, fd):
        ask(watched, client, fd, *ASKED)
        assert watched.server.do("sendmmsg", fd, [[answer] for answer in ANSWERS]) == [len(each) for each in ANSWERS]
        assert watched.change() == COUNTED


def test_sendmmsg_with_empty_messages_and_bodies(watched: Watched) -> None:
    """Messages whose content does not matter, and then one with a head."""
    with watched.server.connection() as (client, fd):
        for _ in range(2):
            ask(watched, client, fd, *[request("/parts")] * 3)
            split = [[OK[:-2]], [OK[-2:]], [b""], [OK[:-2]], [], [OK[-2:-1]], [OK[-1:]], [b"", b""], [OK], [b""]]
            assert sum(watched.server.do("sendmmsg", fd, split)) == 3 * len(OK)
        assert watched.change() == {"GET /parts 2xx": 6}


@every_family
@pytest.mark.parametrize("call", ["writev", "sendmsg", "sendmmsg", "pwritev2"])
def test_short_writes(watched: Watched, family: str, call: str) -> None:
    """A call with 2,000 responses writes as many bytes as fit, and may end anywhere in them."""
    count, batch = 2000, 100
    response = b"HTTP/1.1 200 OK\r\nX: " + b"f" * 1000 + b"\r\nContent-Length: 4\r\n\r\nbody"
    with watched.server.connection(family) as (client, fd):
        watched.server.do("set_option", fd, socket.SOL_SOCKET, socket.SO_SNDBUF, 30_000)
        watched.server.start("recv_bulk", fd, len(request("/short")) * count, 10_000)
        for _ in range(count // batch):
            client.send(request("/short") * batch)
        watched.server.finish()
        watched.server.do("set_blocking", fd, False)
        client.socket.setblocking(False)
        left, short, received = response * count, 0, 0
        while left:
            vectors = [left[at : at + 333] for at in range(0, min(len(left), 300_000), 333)]
            try:
                if call == "sendmmsg":
                    taken = sum(
                        watched.server.do(call, fd, [vectors[at : at + 10] for at in range(0, len(vectors), 10)])
                    )
                else:
                    taken = watched.server.do(call, fd, vectors)
                short += taken < sum(map(len, vectors))
                left = left[taken:]
            except BlockingIOError:
                with suppress(BlockingIOError):  # everything may have arrived, with the acknowledgement on its way
                    received += len(client.socket.recv(50_000))
        assert short
        client.socket.settimeout(PATIENCE)
        client.take(len(response) * count - received)
        assert watched.change() == {"GET /short 2xx": count}


def test_an_interrupted_write(watched: Watched) -> None:
    with watched.server.connection() as (client, fd):
        watched.server.do("set_option", fd, socket.SOL_SOCKET, socket.SO_SNDBUF, 30_000)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 30_000)
        ask(watched, client, fd, request("/interrupted"), request("/after"))
        data = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000 + OK
        taken = 0
        with pytest.raises(InterruptedError):  # raised only when there is no room for another byte
            while True:
                taken += watched.server.do("interrupted", ["sendto", fd, data[taken:]])
        assert 0 < taken < 1_000_000
        assert watched.change() == {"GET /interrupted active": 1, "GET /after active": 1}
        watched.server.start("write_all", fd, data[taken:])
        assert client.take(len(data)) == data
        watched.server.finish()
        assert watched.change() == {
            "GET /interrupted active": -1,
            "GET /after active": -1,
            "GET /interrupted 2xx": 1,
            "GET /after 2xx": 1,
        }


@pytest.mark.parametrize("hold", ["MSG_MORE", "TCP_CORK"])
def test_bytes_held_back(watched: Watched, hold: str) -> None:
    """A response ends when the kernel has accepted it, before it is sent."""
    with watched.server.connection() as (client, fd):
        ask(watched, client, fd, request("/held"))
        more = socket.MSG_MORE if hold == "MSG_MORE" else 0
        if not more:
            watched.server.do("set_option", fd, socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        for piece in (OK[:10], OK[10:-2]):
            watched.server.do("sendto", fd, piece, more)
        assert watched.change() == {"GET /held active": 1}
        watched.server.do("sendmsg", fd, [OK[-2:]], more)
        assert watched.change() == {"GET /held active": -1, "GET /held 2xx": 1}
        if not more:
            watched.server.do("set_option", fd, socket.IPPROTO_TCP, socket.TCP_CORK, 0)
        ask(watched, client, fd, request("/after"))
        watched.server.do("write", fd, OK)
        assert client.take(2 * len(OK)) == OK * 2
        assert watched.change() == {"GET /after 2xx": 1}


def notified(server: SyscallServer, fd: int) -> bool:
    try:
        return bool(server.do("recvmsg", fd, [100], MSG_ERRQUEUE) == b"")
    except BlockingIOError:
        return False


def test_zero_copy(watched: Watched) -> None:
    with watched.server.connection() as (client, fd):
        watched.server.do("set_option", fd, socket.SOL_SOCKET, SO_ZEROCOPY, 1)
        for _ in range(3):
            ask(watched, client, fd, *ASKED)
            for index, answer in enumerate(ANSWERS):
                if index % 2:
                    watched.server.do("sendto", fd, answer, MSG_ZEROCOPY)
                else:
                    watched.server.do("sendmsg", fd, pieces(answer), MSG_ZEROCOPY)
                assert client.take(len(answer)) == answer
            # The error queue reports which buffers the kernel has released, and holds no bytes.
            wait_until(lambda: notified(watched.server, fd), "a buffer is released")
        assert watched.change() == dict.fromkeys(COUNTED, 3)


def test_as_many_messages_as_one_call_takes(watched: Watched) -> None:
    """sendmmsg takes 1024 messages (net/socket.c, UIO_MAXIOV)."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n"
    data = head + b"x" * 2000
    with watched.server.connection() as (client, fd):
        ask(watched, client, fd, request("/many"), request("/after"))
        first, rest = data[:1023], data[1023:]
        messages = [[first[at : at + 1]] for at in range(len(first))] + [[rest]]
        assert len(messages) == 1024
        assert sum(watched.server.do("sendmmsg", fd, messages)) == len(data)
        assert client.take(len(data)) == data
        assert watched.change() == {"GET /many 2xx": 1, "GET /after active": 1}
        watched.server.do("write", fd, OK)
        assert client.take(len(OK)) == OK
        assert watched.change() == {"GET /after active": -1, "GET /after 2xx": 1}


def test_writes_from_inaccessible_memory(watched: Watched) -> None:
    body = b"x" * 400_000
    data = b"HTTP/1.1 200 OK\r\nContent-Length: 400000\r\n\r\n" + body
    with watched.server.connection() as (client, fd):
        ask(watched, client, fd, request("/fault"), request("/after"))
        with pytest.raises(OSError) as raised:
            watched.server.do("write_off_a_cliff", fd, OK, 1000)
        assert raised.value.errno == errno.EFAULT
        taken = watched.server.do("write_off_a_cliff", fd, data[:300_000], len(data))
        assert 0 < taken <= 300_000
        assert watched.change() == {"GET /fault active": 1, "GET /after active": 1}
        client.take(taken)
        watched.server.start("write_all", fd, data[taken:] + OK)
        client.take(len(data) + len(OK) - taken)
        watched.server.finish()
        assert watched.change() == {
            "GET /fault active": -1,
            "GET /after active": -1,
            "GET /fault 2xx": 1,
            "GET /after 2xx": 1,
        }


UNSEEN = ["sendfile", "splice_out"]


@pytest.mark.parametrize("call", UNSEEN)
def test_bodies_from_files(watched: Watched, call: str) -> None:
    """With Content-Length and inside a chunk, only the length matters."""
    with watched.server.connection() as (client, fd):
        for length in (1, 5000, 60_000):
            ask(watched, client, fd, request("/file"))
            watched.server.do("sendto", fd, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length, socket.MSG_MORE)
            assert watched.change() == {"GET /file active": 1}
            assert watched.server.do(call, fd, OK[:1] * length) == length
            assert client.response().body == OK[:1] * length
            assert watched.change() == {"GET /file active": -1, "GET /file 2xx": 1}
        ask(watched, client, fd, request("/chunks"), request("/after"))
        watched.server.do("write", fd, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for length in (1, 5000, 60_000):
            watched.server.do("write", fd, b"%x\r\n" % length)
            assert watched.server.do(call, fd, OK[:1] * length) == length
            watched.server.do("write", fd, b"\r\n")
        watched.server.do("write", fd, b"0\r\n\r\n" + OK)
        assert len(client.response().body) == 65_001
        assert watched.change() == {"GET /chunks 2xx": 1, "GET /after 2xx": 1}


@pytest.mark.parametrize("call", UNSEEN)
def test_a_whole_response_from_a_file(watched: Watched, call: str) -> None:
    """The head is not visible: one undercount, until the next clean request."""
    with watched.server.connection() as (client, fd):
        for _ in range(2):
            ask(watched, client, fd, request("/file"), request("/file"))
            watched.server.do(call, fd, OK)
            watched.server.do(call, fd, OK)
            assert client.response().body == client.response().body == b"ok"
        ask(watched, client, fd, request("/seen"))
        watched.server.do("write", fd, OK)
        assert watched.change() == {"GET /file none": 4, "GET /seen 2xx": 1, "undercount gap": 2}


def test_a_response_before_its_request_was_read(watched: Watched) -> None:
    """The rest of the body comes after the response, followed at once by another request."""
    body = request("/no") * 100
    for head, whole in (
        (request("/early", "POST", f"Content-Length: {len(body)}"), body),
        (request("/early", "POST", "Transfer-Encoding: chunked"), chunked(body[:1000], body[1000:])),
    ):
        with watched.server.connection() as (client, fd):
            ask(watched, client, fd, head + whole[:500])
            watched.server.do("write", fd, OK)
            assert watched.change() == {"POST /early 2xx": 1}
            ask(watched, client, fd, whole[500:] + request("/after"))
            assert watched.change() == {"GET /after active": 1}
            watched.server.do("write", fd, OK)
            assert watched.change() == {"GET /after active": -1, "GET /after 2xx": 1}
