# SPDX-License-Identifier: Apache-2.0
"""A client that sends and closes only when the test does, and reads responses by RFC 9112 §6.3."""

import re
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from harness.waiting import PATIENCE, wait_until

OWN_400 = b"Invalid HTTP request received."
OWN_503 = b"Service Unavailable"


@dataclass(frozen=True)
class Response:
    status: int
    headers: dict[bytes, bytes]  # names in lower case
    body: bytes

    @property
    def rejected(self) -> bool:
        """Whether this is uvicorn's own response to bytes that its parser rejected."""
        return self.status == 400 and self.body == OWN_400


def request(target: str, method: str = "GET", *fields: str, body: bytes = b"", version: str = "1.1") -> bytes:
    lines = [f"{method} {target} HTTP/{version}", "Host: x", *fields]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, b""])


# Where a server listens: a TCP port, or the path of a Unix socket.
Address = int | Path


IPPROTO_MPTCP = 262  # socket.IPPROTO_MPTCP needs Python 3.10 and its headers


def connect(address: Address, host: str = "127.0.0.1", mptcp: bool = False) -> socket.socket:
    """`mptcp`: by Multipath TCP, where a port is given."""
    if isinstance(address, int):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        connection = socket.socket(family, socket.SOCK_STREAM, IPPROTO_MPTCP if mptcp else 0)
    else:
        connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(PATIENCE)
    try:
        connection.connect((host, address) if isinstance(address, int) else str(address))
        if isinstance(address, int):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        connection.close()
        raise
    return connection


class Client:
    """One connection."""

    def __init__(self, address: Address, host: str = "127.0.0.1", mptcp: bool = False) -> None:
        self.socket = connect(address, host, mptcp)
        name = self.socket.getsockname()
        self.port: int = name[1] if isinstance(name, tuple) else 0  # the client's own port
        self._unread = b""
        self._ended = False

    def send(self, data: bytes) -> Self:
        self.socket.sendall(data)
        return self

    def send_bytewise(self, data: bytes) -> "Client":
        for index in range(len(data)):
            self.socket.sendall(data[index : index + 1])
        return self

    def ask(self, data: bytes, method: str = "GET") -> Response:
        return self.send(data).response(method)

    def _receive(self) -> bool:
        if not self._ended:
            try:
                piece = self.socket.recv(1 << 16)
            except ConnectionError:
                piece = b""
            self._unread += piece
            self._ended = not piece
        return not self._ended

    def take(self, count: int) -> bytes:
        while len(self._unread) < count and self._receive():
            pass
        if len(self._unread) < count:
            raise EOFError(f"the connection ended after {self._unread[:200]!r}")
        taken, self._unread = self._unread[:count], self._unread[count:]
        return taken

    def skip(self, count: int) -> "Client":
        """Reads this many bytes and drops them."""
        dropped = min(count, len(self._unread))
        self._unread = self._unread[dropped:]
        buffer = memoryview(bytearray(1 << 20))
        while dropped < count:
            received = self.socket.recv_into(buffer[: count - dropped])
            if not received:
                raise EOFError(f"the connection ended {count - dropped} bytes early")
            dropped += received
        return self

    def _take_until(self, end: bytes) -> bytes:
        while (at := self._unread.find(end)) < 0 and self._receive():
            pass
        if at < 0:
            raise EOFError(f"the connection ended after {self._unread[:200]!r}")
        return self.take(at + len(end))

    def chunk(self) -> bytes:
        """Reads one chunk of a chunked body. Returns b"" for the last chunk, whose trailers it reads too."""
        size = int(self._take_until(b"\r\n").partition(b";")[0], 16)
        if size:
            return self.take(size + 2)[:-2]
        while self._take_until(b"\r\n") != b"\r\n":
            pass
        return b""

    def _take_chunks(self) -> bytes:
        body = b""
        while piece := self.chunk():
            body += piece
        return body

    def head(self) -> tuple[int, dict[bytes, bytes]]:
        """Reads the head of a response: its status and fields."""
        first, *fields = self._take_until(b"\r\n\r\n").removesuffix(b"\r\n\r\n").split(b"\r\n")
        match = re.fullmatch(rb"HTTP/1\.[01] (\d{3})( .*)?", first)
        assert match, f"not a status line: {first!r}"
        pairs = [field.partition(b":") for field in fields]
        return int(match[1]), {name.lower(): value.strip() for name, _, value in pairs}

    def response(self, method: str = "GET") -> Response:
        """Reads one final response and skips interim ones."""
        status, headers = self.head()
        while 100 <= status < 200 and status != 101:
            status, headers = self.head()
        if method == "HEAD" and status == 400 and headers.get(b"connection") == b"close":
            body = OWN_400 if OWN_400 in self.rest() else b""  # uvicorn's own 400 has a body even for HEAD
        elif method == "HEAD" or status in (101, 204, 304):
            body = b""
        elif method == "CONNECT" and 200 <= status < 300:
            body = self.rest()  # a tunnel
        elif headers.get(b"transfer-encoding", b"").lower() == b"chunked":
            body = self._take_chunks()
        elif b"content-length" in headers:
            body = self.take(int(headers[b"content-length"]))
        else:
            body = self.rest()
        return Response(status, headers, body)

    def rest(self) -> bytes:
        """Reads everything until the server closes."""
        while self._receive():
            pass
        taken, self._unread = self._unread, b""
        return taken

    def responses(self, *methods: str) -> list[Response]:
        """Reads all final responses until the server closes. They answer these methods, then GET. A response that is
        cut off is not returned."""
        found = []
        asked = iter(methods)
        while self._unread or self._receive():
            try:
                found.append(self.response(next(asked, "GET")))
            except EOFError:
                break
        return found

    def finish(self) -> "Client":
        """Sends a FIN: the client sends nothing more."""
        self.socket.shutdown(socket.SHUT_WR)
        return self

    def reset(self) -> None:
        """Closes with a RST instead of a FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def long_after(client: Client) -> Client:
    """Waits until the kernel's clock, in ticks of 4 ms, has advanced since the last data was received.

    The kernel keeps the tick of the last data for each direction. A request within the same tick looks answered."""

    def milliseconds() -> int:
        """tcpi_last_data_recv of struct tcp_info: the time since the last data."""
        info = client.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        return int.from_bytes(info[52:56], "little")

    wait_until(lambda: milliseconds() > 20, "the kernel's clock advances")
    return client
