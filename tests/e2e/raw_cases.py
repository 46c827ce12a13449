# SPDX-License-Identifier: Apache-2.0
"""Odd bytes, on which the parsers of h11, httptools and zttp disagree. What is right for each is told by the wire."""

from dataclasses import dataclass

CLOSE = b"Host: x\r\nConnection: close\r\n\r\n"
GOOD = b"GET /raw HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET /raw HTTP/1.1\r\n" + CLOSE


@dataclass(frozen=True)
class RawCase:
    """What one connection sends, in these pieces. `finish`: the client half-closes at once behind them. `methods`:
    of the requests, where they are not all GET."""

    name: str
    pieces: tuple[bytes, ...]
    finish: bool = False
    methods: tuple[str, ...] = ()


def in_pieces(data: bytes, size: int) -> tuple[bytes, ...]:
    return tuple(data[at : at + size] for at in range(0, len(data), size))


def post(fields: bytes, body: bytes) -> bytes:
    return b"POST /echo HTTP/1.1\r\n" + fields + CLOSE + body


def field(line: bytes) -> bytes:
    return b"GET /raw HTTP/1.1\r\n" + line + b"\r\n" + CLOSE


CASES = [
    RawCase("well-formed", (LAST,)),
    RawCase("no Host", (b"GET /raw HTTP/1.1\r\nConnection: close\r\n\r\n",)),
    RawCase("two Hosts", (field(b"Host: y"),)),
    RawCase("a leading CRLF", (b"\r\n" + LAST,)),
    RawCase("three leading CRLFs", (b"\r\n\r\n\r\n" + LAST,)),
    RawCase("a leading CRLF by itself", (b"\r\n", LAST)),
    RawCase("a space before the colon", (field(b"X-Space : 1"),)),
    RawCase("an unknown method", (b"FOO /raw HTTP/1.1\r\n" + CLOSE,)),
    RawCase("a method in lower case", (b"get /raw HTTP/1.1\r\n" + CLOSE,)),
    RawCase("CONNECT", (b"CONNECT x:1 HTTP/1.1\r\n" + CLOSE,)),
    RawCase("OPTIONS *", (b"OPTIONS * HTTP/1.1\r\n" + CLOSE,)),
    RawCase("no version", (b"GET /raw\r\n\r\n",), finish=True),
    RawCase("the absolute form", (b"GET http://x/raw HTTP/1.1\r\n" + CLOSE,)),
    RawCase("the absolute form without a path", (b"GET http://x HTTP/1.1\r\n" + CLOSE,)),
    RawCase("HEAD without a Host", (b"HEAD /raw HTTP/1.1\r\nConnection: close\r\n\r\n",), methods=("HEAD",)),
    RawCase("HEAD with Content-Length and chunked", (
        b"HEAD /raw HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n" + CLOSE,), methods=("HEAD",)),
    RawCase("a method of 40 bytes", (b"B" * 40 + b" /raw HTTP/1.1\r\n" + CLOSE,)),
    RawCase("two spaces in the request line", (b"GET  /raw HTTP/1.1\r\n" + CLOSE,)),
    RawCase("a tab in the request line", (b"GET\t/raw HTTP/1.1\r\n" + CLOSE,)),
    RawCase("version 1.0", (b"GET /raw HTTP/1.0\r\n\r\n",)),
    RawCase("version 1.0 kept alive", (b"GET /raw HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", LAST)),
    RawCase("version 1.2", (b"GET /raw HTTP/1.2\r\n" + CLOSE,)),
    RawCase("version 2.0", (b"GET /raw HTTP/2.0\r\n" + CLOSE,)),
    RawCase("bare line feeds", (LAST.replace(b"\r\n", b"\n"),)),
    RawCase("a bare carriage return in a field", (field(b"X: a\rb"),)),
    RawCase("a NUL in a field", (field(b"X: a\0b"),)),
    RawCase("a byte above 127 in a field", (field(b"X: \xff"),)),
    RawCase("a folded field", (field(b"X: a\r\n b"),)),
    RawCase("a field without a colon", (field(b"nonsense"),)),
    RawCase("a field without a name", (field(b": x"),)),
    RawCase("a field without a value", (field(b"X:"),)),
    RawCase("a NUL in the path", (b"GET /raw/\0 HTTP/1.1\r\n" + CLOSE,)),
    RawCase("a byte above 127 in the path", (b"GET /raw/\xff HTTP/1.1\r\n" + CLOSE,)),
    RawCase("a head of 20 KB in pieces", in_pieces(field(b"X: " + b"v" * 20_000), 1000)),
    RawCase("a head of 100 KB at once", (field(b"X: " + b"v" * 100_000),)),
    RawCase("a path of 50 KB", (b"GET /raw/" + b"p" * 50_000 + b" HTTP/1.1\r\n" + CLOSE,)),
    RawCase("90 fields", (field(b"\r\n".join(b"X-%d: %d" % (n, n) for n in range(90))),)),
    RawCase("Content-Length and chunked", (post(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),)),
    RawCase("two Content-Lengths that differ", (post(b"Content-Length: 5\r\nContent-Length: 6\r\n", b"hello!"),)),
    RawCase("two Content-Lengths that agree", (post(b"Content-Length: 5\r\nContent-Length: 5\r\n", b"hello"),)),
    RawCase("a list of Content-Lengths", (post(b"Content-Length: 5, 5\r\n", b"hello"),), finish=True),
    RawCase("a negative Content-Length", (post(b"Content-Length: -5\r\n", b"hello"),), finish=True),
    RawCase("a signed Content-Length", (post(b"Content-Length: +5\r\n", b"hello"),), finish=True),
    RawCase("a huge Content-Length", (post(b"Content-Length: 99999999999999999999\r\n", b"hello"),), finish=True),
    RawCase("an unknown transfer coding", (post(b"Transfer-Encoding: gzip\r\n", b""),), finish=True),
    RawCase("gzip, chunked", (post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"),), finish=True),
    RawCase("chunk extensions and trailers", (
        post(b"Transfer-Encoding: chunked\r\n", b'5;a="b"\r\nhello\r\n0;c\r\nX-Trailer: GET / HTTP/1.1\r\n\r\n'),)),
    RawCase("chunk by chunk", (post(b"Transfer-Encoding: chunked\r\n", b""), *in_pieces(b"5\r\nhello\r\n0\r\n\r\n", 1))),
    RawCase("a bad chunk", (post(b"Transfer-Encoding: chunked\r\n", b"zz\r\nhello\r\n0\r\n\r\n"),)),
    RawCase("a bad chunk in a piece of its own", (post(b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n"), b"zz\r\n")),
    RawCase("a chunk longer than it says", (post(b"Transfer-Encoding: chunked\r\n", b"3\r\nhello\r\n0\r\n\r\n"),)),
    RawCase("a body that nobody announced", (b"POST /echo HTTP/1.1\r\n" + CLOSE + b"more bytes",)),
    RawCase("more behind Connection: close", (LAST + LAST,)),
    RawCase("Expect: 100-continue with the body at once", (post(b"Expect: 100-continue\r\nContent-Length: 5\r\n", b"hello"),)),
    RawCase("an upgrade that nobody knows", (b"GET /raw HTTP/1.1\r\nHost: x\r\nConnection: upgrade, close\r\nUpgrade: h2c\r\n\r\n",), finish=True),
    RawCase("HEAD and GET in one piece", (b"HEAD /raw HTTP/1.1\r\nHost: x\r\n\r\n" + LAST,), methods=("HEAD", "GET")),
    RawCase("three in one piece", (GOOD * 2 + LAST,)),
    RawCase("three in one piece and a FIN", (GOOD * 3,), finish=True),
    RawCase("three in one piece and garbage", (GOOD * 3 + b"\x01garbage\r\n\r\n",)),
    RawCase("one and garbage in one piece", (GOOD + b"\x01garbage\r\n\r\n",)),
    RawCase("a 500 with another behind it", (b"GET /fail HTTP/1.1\r\nHost: x\r\n\r\n" + LAST,)),
    RawCase("an empty connection", (), finish=True),
    RawCase("half a head and a FIN", (GOOD[:20],), finish=True),
    RawCase("half a body and a FIN", (post(b"Content-Length: 10\r\n", b"hello"),), finish=True),
    RawCase("half a chunk and a FIN", (post(b"Transfer-Encoding: chunked\r\n", b"a\r\nhello"),), finish=True),
    RawCase("a whole request and a FIN", (GOOD,), finish=True),
]  # fmt: skip
