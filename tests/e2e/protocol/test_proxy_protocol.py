# SPDX-License-Identifier: Apache-2.0
"""The header of the PROXY protocol before the first request of a connection: passed over, however it is read.

tests/cases/proxy_protocol.md has the headers themselves."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.changes import Changes, Watched
from harness.client import request
from harness.monitor import Monitor
from harness.proxy_header import HEADERS, SIGNATURE, version_1, version_2
from harness.syscall_server import SyscallServer

Attach = Callable[..., Monitor]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BAD = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

every_family = pytest.mark.parametrize("family", ["tcp", "unix"])
every_header = pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)


@every_family
@every_header
def test_read_at_once_apart_and_bytewise(watched: Watched, family: str, header: bytes) -> None:
    asked = request("/first") + request("/second", "POST", body=b"body")
    for sizes in ([4096], [len(header), 4096], [1] * (len(header) + len(asked))):
        with watched.server.connection(family) as (client, fd):
            client.send(header + asked)
            assert b"".join(watched.server.do("read", fd, size) for size in sizes) == header + asked
            watched.server.do("write", fd, OK * 2)
            client.send(request("/third"))
            watched.server.do("read", fd, 4096)
            watched.server.do("write", fd, OK)
        assert watched.change() == {"GET /first 2xx": 1, "POST /second 2xx": 1, "GET /third 2xx": 1}


@pytest.mark.parametrize("header", [version_1(), version_2()], ids=["v1", "v2"])
def test_split_everywhere(watched: Watched, header: bytes) -> None:
    sent = header + request("/split")
    for cut in range(1, len(sent)):
        with watched.server.connection() as (client, fd):
            client.send(sent[:cut])
            assert watched.server.do("recvfrom", fd, 4096) == sent[:cut]
            client.send(sent[cut:])
            assert watched.server.do("recvmsg", fd, [cut % 7 + 1, 4096]) == sent[cut:]
            watched.server.do("write", fd, OK)
    assert watched.change() == {"GET /split 2xx": len(sent) - 1}


@every_header
def test_peeked_before(watched: Watched, header: bytes) -> None:
    """As servers do that must know the header's length before they read it."""
    with watched.server.connection() as (client, fd):
        client.send(header + request("/peeked"))
        for size in (12, 16, 4096):
            watched.server.do("recvfrom", fd, size, socket.MSG_PEEK)
        assert watched.server.do("read", fd, len(header)) == header
        assert watched.change() == {}
        watched.server.do("read", fd, 4096)
        assert watched.change() == {"GET /peeked active": 1}
        watched.server.do("write", fd, OK)
        assert watched.change() == {"GET /peeked active": -1, "GET /peeked 2xx": 1}


@pytest.mark.parametrize("unseen", [False, True], ids=["read", "spliced"])
def test_the_longest_header(watched: Watched, unseen: bool) -> None:
    """65,535 bytes. The part after the length need not be seen."""
    header = version_2(extra=(request("/no") * 3000)[:65_523])
    assert len(header) == 16 + 65_535
    with watched.server.connection() as (client, fd):
        client.send(header + request("/long"))
        assert watched.server.do("read", fd, 16) == header[:16]
        left = len(header) - 16
        while left:
            left -= len(watched.server.do("splice_in" if unseen else "read", fd, min(left, 4000)))
        watched.server.do("read", fd, 4096)
        watched.server.do("write", fd, OK)
    assert watched.change() == {"GET /long 2xx": 1}


def test_a_connection_with_a_header_alone(watched: Watched) -> None:
    """A load balancer's check: it connects, sends the header and leaves."""
    for header in HEADERS.values():
        with watched.server.connection() as (client, fd):
            client.send(header).finish()
            assert watched.server.do("read", fd, 4096) == header
            assert watched.server.do("read", fd, 4096) == b""
    assert watched.change() == {}


def test_no_header_there(watched: Watched) -> None:
    """After the first request, and after another header, PROXY is a method, and a header is no request line."""
    with watched.server.connection() as (client, fd):
        for sent in (request("/a"), request("/b", "PROXY")):
            client.send(sent)
            watched.server.do("read", fd, 4096)
            watched.server.do("write", fd, OK)
        assert watched.change() == {"GET /a 2xx": 1, "PROXY /b 2xx": 1}
        client.send(version_1() + b"\r\n")
        watched.server.do("read", fd, 4096)
        watched.server.do("write", fd, BAD)
        assert watched.change() == {"rejected": 1}
    with watched.server.connection() as (client, fd):
        client.send(version_1() * 2 + b"\r\n")
        watched.server.do("read", fd, 4096)
        watched.server.do("write", fd, BAD)
        assert watched.change() == {"rejected": 1}
    with watched.server.connection() as (client, fd):
        client.send(request("/b", "PROXY"))
        watched.server.do("read", fd, 4096)
        watched.server.do("write", fd, OK)
        assert watched.change() == {"PROXY /b 2xx": 1}


GUNICORN = (
    b"<html>\n  <head>\n    <title>Bad Request</title>\n  </head>\n  <body>\n    <h1><p>Bad Request</p></h1>\n"
    b"    Invalid PROXY line\n  </body>\n</html>\n"
)
REJECTIONS = {
    "empty": BAD,
    "of the close": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "HTTP/1.0": b"HTTP/1.0 400 Bad Request\r\nContent-Length: 3\r\n\r\nbad",
    "a text": b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbad",
    "gunicorn": b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s"
    % (len(GUNICORN), GUNICORN),
    "a page without a head": b"<!DOCTYPE HTML>\n<html>Bad request version</html>",
}


def rejects(server: SyscallServer, sent: bytes, answer: bytes, pieces: int = 1) -> None:
    with server.connection() as (client, fd):
        for at in range(pieces):
            part = sent[at * len(sent) // pieces : (at + 1) * len(sent) // pieces]
            client.send(part)
            assert server.do("read", fd, 4096) == part
        server.do("write", fd, answer)
        server.do("shutdown", fd, socket.SHUT_WR)


@every_header
@pytest.mark.parametrize("answer", REJECTIONS.values(), ids=REJECTIONS)
def test_a_server_that_does_not_take_the_header(header: bytes, answer: bytes, tmp_path: Path, attach: Attach) -> None:
    """Its first response is a 400 that closes: no application saw what came after the header."""
    with SyscallServer(tmp_path) as server:
        changes = Changes(attach(server.pid), from_nothing=True)
        rejects(server, header, answer)
        rejects(server, header + request("/a"), answer)
        rejects(server, header + request("/a") + request("/b"), answer, 7)
        changes.wait_change({"rejected": 3})


def test_a_server_that_takes_the_header(watched: Watched) -> None:
    """A 400 is one of the application, unless it is gunicorn's own."""
    with watched.server.connection() as (client, fd):
        client.send(version_1() + request("/a"))
        watched.server.do("read", fd, 4096)
        watched.server.do("write", fd, OK)
    assert watched.change() == {"GET /a 2xx": 1}
    for answer in (BAD, REJECTIONS["a text"]):
        rejects(watched.server, version_1() + request("/a"), answer)
        watched.wait_change({"GET /a 4xx": 1})
    rejects(watched.server, b"PROXY TCP4 999.0.2.1 192.0.2.2 1234 80\r\n" + request("/a"), REJECTIONS["gunicorn"])
    watched.wait_change({"rejected": 1})
    with watched.server.connection() as (client, fd):  # a later request of the connection
        client.send(version_1() + request("/a") + request("/b"))
        watched.server.do("read", fd, 4096)
        watched.server.do("write", fd, OK + BAD)
    watched.wait_change({"GET /a 2xx": 1, "GET /b 4xx": 1})


@pytest.mark.parametrize("header", [version_1(), version_2()], ids=["v1", "v2"])
def test_what_follows_is_not_http(watched: Watched, header: bytes) -> None:
    hello = b"\x16\x03\x01\x00\x7a\x01\x00\x00\x76\x03\x03"
    with watched.server.connection() as (client, fd):
        client.send(header + hello)
        watched.server.do("read", fd, 4096)
        watched.server.do("write", fd, b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03")
        assert watched.change() == {"undercount tls": 1}


@every_header
def test_on_a_connection_that_was_open_before_the_attach(header: bytes, tmp_path: Path, attach: Attach) -> None:
    with SyscallServer(tmp_path) as server, server.connection() as (client, fd):
        changes = Changes(attach(server.pid), from_nothing=True)
        client.send(header + request("/a"))
        server.do("read", fd, 4096)
        server.do("write", fd, OK)
        assert changes.change() == {"GET /a 2xx": 1}


def test_a_signature_that_is_cut_off(watched: Watched) -> None:
    for length in range(1, len(SIGNATURE)):
        with watched.server.connection() as (client, fd):
            client.send(SIGNATURE[:length]).finish()
            watched.server.do("read", fd, 4096)
            watched.server.do("read", fd, 4096)
    assert watched.change() == {}
