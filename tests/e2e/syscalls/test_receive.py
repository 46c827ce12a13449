# SPDX-License-Identifier: Apache-2.0
"""Requests read by each system call that can read, including calls that leave bytes in the socket or drop them.

Each is counted exactly, or is an undercount after which counting resumes."""

import errno
import itertools
import socket
from collections.abc import Callable

import pytest

from harness.changes import Watched
from harness.client import chunked, request
from harness.syscall_server import SyscallServer

MSG_WAITFORONE = 0x10000
MSG_ERRQUEUE = 0x2000
SO_TIMESTAMPING, TX_SOFTWARE = 37, 1 << 1 | 1 << 4

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

# Every way in which a request is delimited, with bodies that look like requests.
WIRE = (
    request("/a", "GET", "X-Long: " + "v" * 200)
    + request("/b", "POST", body=request("/no", "GET") * 5)
    + request("/c", "POST", "Transfer-Encoding: chunked")
    + chunked(request("/no"), b"y" * 300, b"z")
    + b"\r\n"
    + request("/d", "HEAD")
    + request("/b", "PUT", body=b"z")
)
BEGUN = {"GET /a active": 1, "POST /b active": 1, "POST /c active": 1, "HEAD /d active": 1, "PUT /b active": 1}
ANSWERS = OK * 3 + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + OK
ENDED = {"GET /a 2xx": 1, "POST /b 2xx": 1, "POST /c 2xx": 1, "HEAD /d 2xx": 1, "PUT /b 2xx": 1}


def ended_of(begun: dict[str, int]) -> dict[str, int]:
    return {name: -count for name, count in begun.items()} | ENDED


def sizes(total: int) -> list[int]:
    """Many small vectors, some of them empty, that hold `total` bytes."""
    found = []
    for size in itertools.cycle((0, 1, 2, 3, 0, 5, 8, 13)):
        found.append(min(size, total))
        total -= found[-1]
        if not total:
            return found
    raise AssertionError


def messages(total: int) -> list[list[int]]:
    """The same vectors, a few in each message."""
    vectors = iter(sizes(total))
    return list(iter(lambda: list(itertools.islice(vectors, 5)), []))


def recvmmsg(server: SyscallServer, fd: int, size: int) -> bytes:
    return b"".join(server.do("recvmmsg", fd, messages(size), MSG_WAITFORONE))


Read = Callable[[SyscallServer, int, int], bytes]

READS: dict[str, Read] = {
    "read": lambda server, fd, size: server.do("read", fd, size),
    "readv": lambda server, fd, size: server.do("readv", fd, sizes(size)),
    "recvfrom": lambda server, fd, size: server.do("recvfrom", fd, size),
    "recvmsg": lambda server, fd, size: server.do("recvmsg", fd, sizes(size)),
    "recvmmsg": recvmmsg,
    "preadv2": lambda server, fd, size: server.do("preadv2", fd, sizes(size)),
}
every_family = pytest.mark.parametrize("family", ["tcp", "unix"])
every_read = pytest.mark.parametrize("read", READS.values(), ids=READS)


@every_family
@every_read
@pytest.mark.parametrize("size", [1, 7, 64, 2000])
def test_each_call(watched: Watched, family: str, read: Read, size: int) -> None:
    with watched.server.connection(family) as (client, fd):
        client.send(WIRE)
        got = b""
        while len(got) < len(WIRE):
            got += read(watched.server, fd, size)
        assert got == WIRE
        assert watched.change() == BEGUN
        watched.server.do("write", fd, ANSWERS)
        assert watched.change() == ended_of(BEGUN)


@every_read
def test_in_two_reads_split_everywhere(watched: Watched, read: Read) -> None:
    asked = request("/split", "POST", body=b"body")
    with watched.server.connection() as (client, fd):
        for cut in range(1, len(asked)):
            client.send(asked[:cut])
            assert read(watched.server, fd, 1000) == asked[:cut]
            client.send(asked[cut:])
            assert read(watched.server, fd, 1000) == asked[cut:]
            watched.server.do("write", fd, OK)
        assert watched.change() == {"POST /split 2xx": len(asked) - 1}


def test_recvmmsg_with_a_head_in_each_message(watched: Watched) -> None:
    heads = [request(path) for path in ("/one", "/two", "/three")]
    with watched.server.connection() as (client, fd):
        client.send(b"".join(heads))
        # There are more messages than data, so the call ends after the third.
        asked = [[len(head)] for head in heads] + [[100]]
        assert watched.server.do("recvmmsg", fd, asked, socket.MSG_DONTWAIT) == heads
        watched.server.do("write", fd, OK * 3)
        assert watched.change() == {"GET /one 2xx": 1, "GET /two 2xx": 1, "GET /three 2xx": 1}


def test_recvmmsg_again_and_again(watched: Watched) -> None:
    """The same call on the same connection, filling a different number of messages each time; then another call."""
    head = request("/again")
    with watched.server.connection() as (client, fd):
        for count in (1, 3, 2, 1, 4, 1):
            client.send(head * count)
            got = watched.server.do("recvmmsg", fd, [[9, len(head) - 9]] * 4, MSG_WAITFORONE)
            assert got == [head] * count
        client.send(head)
        assert watched.server.do("recvmsg", fd, [9, 100]) == head
        watched.server.do("write", fd, OK * 13)
        assert watched.change() == {"GET /again 2xx": 13}


def test_recvmmsg_whose_second_message_fails(watched: Watched) -> None:
    with watched.server.connection() as (client, fd):
        with pytest.raises(OSError, match="temporarily") as raised:
            watched.server.do("recvmmsg", fd, [[10], [10]], socket.MSG_DONTWAIT)
        assert raised.value.errno == errno.EAGAIN
        head = request("/second")
        client.send(head[:10])
        assert watched.server.do("recvmmsg", fd, [[10], [10]], socket.MSG_DONTWAIT) == [head[:10]]
        client.send(head[10:])
        assert b"".join(watched.server.do("recvmmsg", fd, [[10], [90]], socket.MSG_DONTWAIT)) == head[10:]
        watched.server.do("write", fd, OK)
        assert watched.change() == {"GET /second 2xx": 1}


def test_recvmmsg_with_empty_messages(watched: Watched) -> None:
    head = request("/empty")
    with watched.server.connection() as (client, fd):
        for asked in ([[10], [0], [100]], [[0], [10], [0, 0], [], [100], [0]]):
            client.send(head)
            got = watched.server.do("recvmmsg", fd, asked, MSG_WAITFORONE)
            assert b"".join(got) == head
            watched.server.do("write", fd, OK)
        assert watched.change() == {"GET /empty 2xx": 2}


def test_recvmmsg_within_a_body_and_after_it(watched: Watched) -> None:
    """Messages whose content does not matter, and then one with a head."""
    asked = request("/body", "POST", body=b"x" * 100) + request("/next")
    with watched.server.connection() as (client, fd):
        for _ in range(3):
            client.send(asked)
            got = watched.server.do("recvmmsg", fd, [[len(asked) - 128], [30], [30], [30], [200]], MSG_WAITFORONE)
            assert b"".join(got) == asked
            watched.server.do("write", fd, OK * 2)
        assert watched.change() == {"POST /body 2xx": 3, "GET /next 2xx": 3}


def test_recvmmsg_with_a_time_limit(watched: Watched) -> None:
    """The call ends after the message that exceeds the limit, here the first. This leaves no trace between the
    messages, so the same call made again looks like the rest of the first one. It is an undercount, unless the call is
    seen when it ends."""
    with watched.server.connection() as (client, fd):
        for path in ("/one", "/two", "/six"):
            client.send(request(path))
            assert watched.server.do("recvmmsg", fd, [[100], [100]], 0, 0) == [request(path)]
            watched.server.do("write", fd, OK)
            counted = {} if watched.profile == "socket" else {f"GET {path} 2xx": 1}
            undercount = {"undercount registers": 1} if watched.profile == "socket" and path == "/one" else {}
            assert watched.change() == counted | undercount
        client.send(request("/seen"))
        watched.server.do("recvmmsg", fd, [[100]], 0)
        watched.server.do("write", fd, OK)
        assert watched.change() == {"GET /seen 2xx": 1}


def test_recvmmsg_with_peek(watched: Watched) -> None:
    head = request("/peeked")
    with watched.server.connection() as (client, fd):
        client.send(head * 2)
        assert watched.server.do("recvmmsg", fd, [[10], [20]], socket.MSG_PEEK) == [head[:10], head[:20]]
        assert watched.server.do("recvmmsg", fd, [[len(head)]] * 2, 0) == [head] * 2
        watched.server.do("write", fd, OK * 2)
        assert watched.change() == {"GET /peeked 2xx": 2}


@every_family
@pytest.mark.parametrize("flags", [socket.MSG_PEEK, socket.MSG_PEEK | socket.MSG_TRUNC], ids=["PEEK", "PEEK and TRUNC"])
def test_peeked_bytes_count_once(watched: Watched, family: str, flags: int) -> None:
    asked = request("/peek", "POST", body=b"some body") + request("/after")
    with watched.server.connection(family) as (client, fd):
        client.send(asked)
        for size in (1, 20, len(asked), 1000):
            assert len(watched.server.do("recvfrom", fd, size, flags)) == min(size, len(asked))
            assert len(watched.server.do("recvmsg", fd, sizes(size), flags)) == min(size, len(asked))
        assert watched.change() == {}
        assert watched.server.do("recvfrom", fd, 50) == asked[:50]
        assert len(watched.server.do("recvfrom", fd, 1000, flags)) == len(asked) - 50
        assert watched.server.do("read", fd, 1000) == asked[50:]
        watched.server.do("write", fd, OK * 2)
        assert watched.change() == {"POST /peek 2xx": 1, "GET /after 2xx": 1}


def dropped(server: SyscallServer, fd: int, size: int) -> None:
    assert len(server.do("recvfrom", fd, size, socket.MSG_TRUNC)) == size


def spliced(server: SyscallServer, fd: int, size: int) -> None:
    assert len(server.do("splice_in", fd, size)) == size


def zero_copied(server: SyscallServer, fd: int, size: int) -> None:
    """Takes everything that has arrived."""
    assert len(server.do("zerocopy_receive", fd, size)) == size


UNSEEN = [dropped, spliced, zero_copied]
every_unseen = pytest.mark.parametrize("unseen", UNSEEN)
Unseen = Callable[[SyscallServer, int, int], None]


@every_unseen
def test_an_unseen_body(watched: Watched, unseen: Unseen) -> None:
    """With Content-Length and inside a chunk, only the length matters."""
    long, pieces = b"G" * 5000, b"1388\r\n" + b"G" * 5000
    head = request("/long", "POST", "Content-Length: 5000")
    with watched.server.connection() as (client, fd):
        for ahead in (0, 1, 4998):
            client.send(head + long[:ahead])
            assert watched.server.do("read", fd, len(head) + ahead) == head + long[:ahead]
            client.send(long[ahead:])
            unseen(watched.server, fd, 5000 - ahead)
            watched.server.do("write", fd, OK)
        client.send(request("/chunk", "POST", "Transfer-Encoding: chunked") + b"1388\r\n")
        watched.server.do("read", fd, 1000)
        for _ in range(3):
            client.send(pieces[6:])
            unseen(watched.server, fd, 5000)
            client.send(b"\r\n1388\r\n")
            watched.server.do("read", fd, 1000)
        client.send(pieces[6:] + b"\r\n0\r\n\r\n" + request("/after"))
        assert len(watched.server.do("recvfrom", fd, 5000 - 10, socket.MSG_TRUNC)) == 5000 - 10
        watched.server.do("read", fd, 1000)
        watched.server.do("write", fd, OK * 2)
        assert watched.change() == {"POST /long 2xx": 3, "POST /chunk 2xx": 1, "GET /after 2xx": 1}


@every_unseen
def test_an_unseen_head(watched: Watched, unseen: Unseen) -> None:
    """The head is one gap; the next clean request counts again."""
    head = request("/unseen")
    with watched.server.connection() as (client, fd):
        client.send(request("/seen"))
        watched.server.do("read", fd, 1000)
        watched.server.do("write", fd, OK)
        for _ in range(2):
            client.send(head)
            unseen(watched.server, fd, len(head))
            watched.server.do("write", fd, OK)
        client.send(request("/seen"))
        watched.server.do("read", fd, 1000)
        watched.server.do("write", fd, OK)
        assert watched.change() == {"GET /seen 2xx": 2, "undercount gap": 1}


@every_unseen
@pytest.mark.parametrize("cut", [5, 30])
def test_an_unseen_part_of_a_head(watched: Watched, unseen: Unseen, cut: int) -> None:
    head = request("/unseen")
    for first in (True, False):
        with watched.server.connection() as (client, fd):
            client.send(head[:cut])
            if first:
                unseen(watched.server, fd, cut)
            else:
                watched.server.do("read", fd, 1000)
            client.send(head[cut:])
            if first:
                watched.server.do("read", fd, 1000)
            else:
                unseen(watched.server, fd, len(head) - cut)
            watched.server.do("write", fd, OK)
            client.send(request("/seen"))
            watched.server.do("read", fd, 1000)
            watched.server.do("write", fd, OK)
            assert watched.change() == {"GET /seen 2xx": 1, "undercount gap": 1}, first


@every_unseen
def test_unseen_first_bytes_of_a_connection(watched: Watched, unseen: Unseen) -> None:
    head = request("/unseen")
    with watched.server.connection() as (client, fd):
        client.send(head)
        unseen(watched.server, fd, len(head))
        watched.server.do("write", fd, OK)
        client.send(request("/seen"))
        watched.server.do("read", fd, 1000)
        watched.server.do("write", fd, OK)
        assert watched.change() == {"GET /seen 2xx": 1, "undercount gap": 1}


@every_unseen
def test_an_unseen_end_of_a_body_and_an_unseen_head(watched: Watched, unseen: Unseen) -> None:
    """The gap is noticed at the next receive with an event, or at a response without a known request. A request that is
    in flight when the stream is lost ends at the next clean start, with an unknown outcome."""
    with watched.server.connection() as (client, fd):
        client.send(request("/long", "POST", "Content-Length: 10"))
        watched.server.do("read", fd, 1000)
        rest = b"0123456789" + request("/unseen")
        client.send(rest)
        unseen(watched.server, fd, len(rest))
        watched.server.do("write", fd, OK * 2)
        client.send(request("/seen"))
        watched.server.do("read", fd, 1000)
        watched.server.do("write", fd, OK)
        ended = "POST /long none" if unseen is dropped else "POST /long 2xx"
        assert watched.change() == {ended: 1, "GET /seen 2xx": 1, "undercount gap": 1}


@every_family
def test_waiting_for_all(watched: Watched, family: str) -> None:
    asked = request("/all", "POST", body=b"all of it")
    with watched.server.connection(family) as (client, fd):
        for command in (("recvfrom", fd, len(asked)), ("recvmsg", fd, sizes(len(asked)))):
            client.send(asked[:20])
            watched.server.start(*command, socket.MSG_WAITALL)
            client.send(asked[20:50]).send(asked[50:])
            assert watched.server.finish() == asked
            watched.server.do("write", fd, OK)
        # An interrupted call returns what it has received so far.
        client.send(asked[:20])
        assert watched.server.do("interrupted", ["recvfrom", fd, len(asked), socket.MSG_WAITALL]) == asked[:20]
        client.send(asked[20:])
        assert watched.server.do("recvfrom", fd, len(asked) - 20, socket.MSG_WAITALL) == asked[20:]
        watched.server.do("write", fd, OK)
        assert watched.change() == {"POST /all 2xx": 3}


EMPTY_READS: list[tuple[object, ...]] = [
    ("read", 0),
    ("recvfrom", 0),
    ("readv", [0, 0]),
    ("readv", []),
    ("recvmsg", [0]),
    ("recvmmsg", [[0], []]),
    ("preadv2", [0]),
]


@every_family
def test_reads_of_zero_bytes(watched: Watched, family: str) -> None:
    """They return 0, which also marks the end of the stream."""
    asked = request("/nothing")

    def read_nothing() -> None:
        for name, *arguments in EMPTY_READS:
            assert not b"".join(watched.server.do(name, fd, *arguments) or [b""])

    with watched.server.connection(family) as (client, fd):
        client.send(asked[:20])
        read_nothing()
        watched.server.do("read", fd, 10)
        read_nothing()
        client.send(asked[20:])
        read_nothing()
        watched.server.do("read", fd, 1000)
        client.send(b"more")
        read_nothing()
        assert watched.change() == {"GET /nothing active": 1}
        watched.server.do("write", fd, OK)
        assert watched.change() == {"GET /nothing active": -1, "GET /nothing 2xx": 1}


def would_block(server: SyscallServer, *command: object) -> None:
    with pytest.raises(OSError) as raised:
        server.do(*command)
    assert raised.value.errno == errno.EAGAIN


@every_family
def test_reads_that_would_block(watched: Watched, family: str) -> None:
    asked = request("/blocked")
    with watched.server.connection(family) as (client, fd):
        watched.server.do("set_blocking", fd, False)

        def read_nothing() -> None:
            for command in (("read", fd, 100), ("readv", fd, [9, 9]), ("recvmsg", fd, [9]), ("recvfrom", fd, 9)):
                would_block(watched.server, *command)

        read_nothing()
        for piece in (asked[:30], asked[30:]):
            client.send(piece)
            assert watched.server.do("read", fd, 1000) == piece
            read_nothing()
        watched.server.do("write", fd, OK)
        assert watched.change() == {"GET /blocked 2xx": 1}


@every_family
def test_interrupted_reads(watched: Watched, family: str) -> None:
    asked = request("/interrupted")
    with watched.server.connection(family) as (client, fd):
        for piece in (asked[:30], asked[30:]):
            for command in (["read", fd, 100], ["recvmsg", fd, [9]], ["recvmmsg", fd, [[9], [9]], 0]):
                with pytest.raises(InterruptedError):
                    watched.server.do("interrupted", command)
            client.send(piece)
            assert watched.server.do("read", fd, 1000) == piece
        watched.server.do("write", fd, OK)
        assert watched.change() == {"GET /interrupted 2xx": 1}


def test_reads_into_inaccessible_memory(watched: Watched) -> None:
    asked = request("/fault", "POST", body=b"body")
    with watched.server.connection() as (client, fd):
        client.send(asked)
        for good in (1, 10, len(asked) - 1):
            # The kernel copies a buffer completely or not at all.
            with pytest.raises(OSError) as raised:
                watched.server.do("read_off_a_cliff", fd, good, 1000)
            assert raised.value.errno == errno.EFAULT
        assert watched.change() == {}
        assert watched.server.do("read_off_a_cliff", fd, len(asked), 1000) == asked
        watched.server.do("write", fd, OK)
        assert watched.change() == {"POST /fault 2xx": 1}


def test_a_long_read_that_fails_partway(watched: Watched) -> None:
    """The data fills several kernel buffers; those before the fault are delivered."""
    length = 3_000_000
    asked = request("/fault", "POST", body=b"x" * length)
    with watched.server.connection() as (client, fd):
        client.socket.setblocking(False)
        queued = client.socket.send(asked)
        client.socket.settimeout(30)
        assert queued > 300_000
        got = watched.server.do("read_off_a_cliff", fd, queued // 2, queued)
        assert 0 < len(got) <= queued // 2
        watched.server.start("recv_bulk", fd, len(asked) - len(got), 100_000)
        client.send(asked[queued:])
        watched.server.finish()
        client.send(request("/after"))
        watched.server.do("read", fd, 1000)
        watched.server.do("write", fd, OK * 2)
        assert watched.change() == {"POST /fault 2xx": 1, "GET /after 2xx": 1}


def test_the_error_queue_is_not_a_request(watched: Watched) -> None:
    """A sent packet comes back there with its time stamp, in a receive."""
    with watched.server.connection() as (client, fd):
        watched.server.do("set_option", fd, socket.SOL_SOCKET, SO_TIMESTAMPING, TX_SOFTWARE)
        for _ in range(2):
            client.send(request("/stamped"))
            watched.server.do("read", fd, 1000)
            watched.server.do("write", fd, OK)
            assert watched.server.do("recvmsg", fd, [1000], MSG_ERRQUEUE).endswith(OK)
        assert watched.change() == {"GET /stamped 2xx": 2}


@pytest.mark.parametrize("taken", [False, True], ids=["left", "taken"])
def test_an_urgent_byte(watched: Watched, taken: bool) -> None:
    """The byte is not part of the stream: the monitor sees a gap of one byte and resumes after it."""
    with watched.server.connection() as (client, fd):
        client.send(request("/before"))
        watched.server.do("read", fd, 1000)
        watched.server.do("write", fd, OK)
        client.socket.send(b"!", socket.MSG_OOB)
        if taken:
            assert watched.server.do("recvfrom", fd, 1, socket.MSG_OOB) == b"!"
        client.send(request("/next"))
        watched.server.do("read", fd, 1000)
        watched.server.do("write", fd, OK)
        client.send(request("/after"))
        watched.server.do("read", fd, 1000)
        watched.server.do("write", fd, OK)
        counted = {"GET /before 2xx": 1, "GET /next 2xx": 1, "GET /after 2xx": 1}
        assert watched.change() == counted | {"undercount gap": 1}


def test_an_urgent_byte_that_stays_in_line(watched: Watched) -> None:
    with watched.server.connection() as (client, fd):
        watched.server.do("set_option", fd, socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        asked = request("/inline")
        client.send(asked[:30])
        client.socket.send(asked[30:40], socket.MSG_OOB)
        client.send(asked[40:])
        got = b""
        while len(got) < len(asked):
            got += watched.server.do("read", fd, 1000)
        assert got == asked
        watched.server.do("write", fd, OK)
        assert watched.change() == {"GET /inline 2xx": 1}
