# SPDX-License-Identifier: Apache-2.0
"""Requests that arrive in pieces or stop in the middle; tests/cases can only send each request whole.

h11, httptools and zttp disagree on some of them. The bytes that each server sends back decide what is right for it."""

from dataclasses import dataclass

CLOSE = b"Host: x\r\nConnection: close\r\n\r\n"
GOOD = b"GET /raw HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET /raw HTTP/1.1\r\n" + CLOSE


@dataclass(frozen=True)
class RawCase:
    """What one connection sends, in these pieces. `finish`: the client half-closes right after the last piece.
    `methods`: those of the requests, unless all are GET."""

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


CHUNKED = b"Transfer-Encoding: chunked\r\n"
CHUNKS = b'5;a="b"\r\nhello\r\n1\r\nx\r\n0;c\r\nX-Trailer: GET / HTTP/1.1\r\n\r\n'

CASES = [
    RawCase("well-formed", (LAST,)),
    RawCase("byte by byte", in_pieces(LAST, 1)),
    RawCase("in pieces of seven bytes", in_pieces(GOOD + LAST, 7)),
    RawCase("two requests, cut in the middle of the second", (GOOD + LAST[:10], LAST[10:])),
    RawCase("two requests, cut before the last line feed of the first", (GOOD[:-1], b"\n" + LAST)),
    RawCase("ten requests in pieces of fifty bytes", in_pieces(9 * GOOD + LAST, 50)),
    RawCase("a leading CRLF by itself", (b"\r\n", LAST)),
    RawCase("version 1.0 kept alive", (b"GET /raw HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", LAST)),
    RawCase("a folded field in pieces", in_pieces(field(b"X: a\r\n b\r\n\tConnection: keep-alive"), 3)),
    RawCase("a folded length in pieces", in_pieces(post(b"Content-Length:\r\n 5\r\n", b"hello"), 1)),
    RawCase(
        "HEAD and GET in pieces", in_pieces(b"HEAD /raw HTTP/1.1\r\nHost: x\r\n\r\n" + LAST, 9), methods=("HEAD", "GET")
    ),
    RawCase("HEAD without a Host", (b"HEAD /raw HTTP/1.1\r\nConnection: close\r\n\r\n",), methods=("HEAD",)),
    RawCase(
        "HEAD with Content-Length and chunked",
        (b"HEAD /raw HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n" + CLOSE,),
        methods=("HEAD",),
    ),
    RawCase("a head of 20 KB in pieces", in_pieces(field(b"X: " + b"v" * 20_000), 1000)),
    RawCase("a head of 100 KB at once", (field(b"X: " + b"v" * 100_000),)),
    RawCase("a path of 50 KB", (b"GET /raw/" + b"p" * 50_000 + b" HTTP/1.1\r\n" + CLOSE,)),
    RawCase("a path of 8 KB in pieces", in_pieces(b"GET /raw/" + b"p" * 8_000 + b" HTTP/1.1\r\n" + CLOSE, 333)),
    RawCase(
        "a body of 200 KB in pieces", (post(b"Content-Length: 200000\r\n", b""), *in_pieces(b"b" * 200_000, 50_000))
    ),
    RawCase("a body byte by byte", in_pieces(post(b"Content-Length: 5\r\n", b"hello"), 1)),
    RawCase("a body that looks like a request, by itself", (post(b"Content-Length: %d\r\n" % len(GOOD), b""), GOOD)),
    RawCase("chunks byte by byte", (post(CHUNKED, b""), *in_pieces(CHUNKS, 1))),
    RawCase("chunks in pieces of five bytes", in_pieces(post(CHUNKED, CHUNKS), 5)),
    RawCase("a bad chunk in a piece of its own", (post(CHUNKED, b"5\r\nhello\r\n"), b"zz\r\n")),
    RawCase(
        "Expect: 100-continue, and the body later",
        (post(b"Expect: 100-continue\r\nContent-Length: 5\r\n", b""), b"hello"),
    ),
    RawCase("more after Connection: close, later", (LAST, LAST)),
    RawCase("three in one piece and garbage", (GOOD * 3, b"\x01garbage\r\n\r\n")),
    RawCase("three in one piece and a FIN", (GOOD * 3,), finish=True),
    RawCase("a whole request and a FIN", (GOOD,), finish=True),
    RawCase("no version and a FIN", (b"GET /raw\r\n\r\n",), finish=True),
    RawCase("an empty connection", (), finish=True),
    RawCase("half a head and a FIN", (GOOD[:20],), finish=True),
    RawCase("half a body and a FIN", (post(b"Content-Length: 10\r\n", b"hello"),), finish=True),
    RawCase("half a chunk and a FIN", (post(CHUNKED, b"a\r\nhello"),), finish=True),
]
