# SPDX-License-Identifier: Apache-2.0
"""HTTP/3 is not decoded, and the monitor reports that: each connection over QUIC is one undercount. The datagrams here
have the heads of RFC 9000 §17 and random bytes instead of encrypted ones."""

import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness.changes import Change, Watched
from harness.client import request

bytes_of = random.Random(1).randbytes  # the same in every run

VERSION_1 = b"\0\0\0\1"
VERSION_2 = b"\x6b\x33\x43\xcf"
ONE: Change = {"undercount quic": 1}


def client_id(length: int = 8) -> bytes:
    return bytes_of(length)


def long_header(first: int, own: bytes, version: bytes = VERSION_1, size: int = 1200) -> bytes:
    chosen = bytes_of(8)
    head = bytes([first, *version, len(chosen)]) + chosen + bytes([len(own)]) + own
    return head + bytes_of(size - len(head))


def initial(own: bytes, version: bytes = VERSION_1) -> bytes:
    return long_header(0xD1 if version == VERSION_2 else 0xC1, own, version)


def short_header() -> bytes:
    return bytes([0x41]) + bytes([0x80 | byte if index % 2 else byte for index, byte in enumerate(bytes_of(40))])


class Datagrams:
    """A UDP socket of the server, and a client of it."""

    def __init__(self, watched: Watched, port: int) -> None:
        self.watched = watched
        self.fd, self.port = watched.server.do("make_udp", port)
        self.client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.client.bind(("127.0.0.1", 0))

    def change(self, *datagrams: bytes, command: str = "recvfrom") -> Change:
        """What the monitor counts when the server receives these datagrams."""
        for datagram in datagrams:
            self.client.sendto(datagram, ("127.0.0.1", self.port))
            sizes = {"recvmsg": [2000], "readv": [2000], "recvmmsg": [[2000]]}.get(command, 2000)
            received = self.watched.server.do(command, self.fd, sizes)
            assert received in (datagram, [datagram])
        return self.watched.change()

    def __enter__(self) -> "Datagrams":
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.watched.server.do("close", self.fd)


def unused_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture
def served(watched: Watched) -> Iterator[Datagrams]:
    """A socket that was bound to a port of its choice, as a server's is."""
    with Datagrams(watched, unused_port()) as datagrams:
        yield datagrams


@pytest.mark.parametrize("command", ["recvfrom", "recvmsg", "recvmmsg", "read", "readv"])
def test_each_connection_counts_once(served: Datagrams, command: str) -> None:
    one, other = client_id(), client_id(20)
    assert served.change(initial(one), initial(one), initial(one), command=command) == ONE
    assert served.change(initial(other), initial(one), short_header(), initial(other), command=command) == ONE
    handshake = long_header(0xE1, one)
    assert served.change(*[handshake, short_header()] * 20, command=command) == {}
    assert served.change(initial(client_id(), VERSION_2), command=command) == ONE
    empty = initial(b"")
    assert served.change(empty, empty, command=command) == ONE


def test_beside_http(served: Datagrams) -> None:
    """Requests by HTTP/1.1 are counted as ever."""
    assert served.change(initial(client_id())) == ONE
    with served.watched.server.connection() as (client, fd):
        client.send(request("/a"))
        served.watched.server.do("recvfrom", fd, 4096)
        served.watched.server.do("sendto", fd, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert served.watched.change() == {"GET /a 2xx": 1}


def test_connections_older_than_the_monitor(served: Datagrams) -> None:
    """Only their encrypted datagrams are seen. They count once for the socket."""
    assert served.change(*[short_header() for _ in range(7)]) == {}
    assert served.change(short_header()) == ONE
    assert served.change(*[short_header() for _ in range(20)]) == {}
    assert served.change(initial(client_id())) == ONE


def test_the_port_of_the_http_server(watched: Watched) -> None:
    """A datagram at the address where the server answers HTTP is HTTP/3, whatever it holds."""
    with Datagrams(watched, watched.server.port) as datagrams:
        assert datagrams.change(short_header()) == ONE
        assert datagrams.change(short_header(), b"x" * 30) == {}
        assert datagrams.change(initial(client_id())) == ONE


@pytest.mark.parametrize(
    "datagram",
    [
        b"http.requests:1|c|#env:prod,service:api",
        b"\x1a\x2b\x81\x80\0\1\0\1\0\0\0\0\3www\7example\3com\0\0\1\0\1\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\0\0\1",
        b'{"version": "1.1", "short_message": "a log record"}',
        b"Kafka" + b"\0" * 1200,
        b"\xc1" + b"\xff" * 1300,
        b"",
    ],
    ids=["statsd", "dns", "gelf", "zeroes", "ones", "empty"],
)
def test_other_protocols(served: Datagrams, datagram: bytes) -> None:
    assert served.change(*[datagram] * 10) == {}
    assert served.change(*[short_header() for _ in range(10)]) == ({} if datagram else ONE)


def test_clients_are_not_servers(watched: Watched) -> None:
    """The application asks others over HTTP/3 and DNS: its sockets have a port from the kernel."""
    with Datagrams(watched, 0) as datagrams:
        watched.server.do("send_udp", datagrams.fd, initial(client_id()), datagrams.client.getsockname()[1])
        answers = [initial(client_id()), short_header(), b"\x1a\x2b\x81\x80\0\1\0\1"]
        assert datagrams.change(*answers * 10) == {}


@contextmanager
def stranger() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", unused_port()))
        yield made


def test_other_processes(watched: Watched) -> None:
    with stranger() as one, stranger() as other:
        for _ in range(10):
            one.sendto(initial(client_id()), other.getsockname())
            assert len(other.recv(2000)) == 1200
    assert watched.change() == {}
