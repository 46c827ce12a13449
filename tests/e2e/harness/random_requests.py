# SPDX-License-Identifier: Apache-2.0
"""Random requests: every way to write a head and to delimit a body.

Each has the endpoint under which the monitor must count it, and the one under which the application counts it."""

import base64
import itertools
import random
import re
import string
from dataclasses import dataclass, field, replace

from harness.server import Flavour

# A placeholder in a target. The client replaces it when it sends the request, by the name of a gate and of the file
# that records the request's arrival.
GATE = "GATEGATE"

PATH_SIZE = 112  # what the monitor keeps of a path (MONITOR_PATH_SIZE)
IDENTIFIER = re.compile(
    r"[0-9]+|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|(?=.*[0-9])[0-9a-f]{16,}", re.IGNORECASE
)
REQUEST_LIKE = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
RESPONSE_LIKE = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"

WORDS = ("a", "items", "v1.0", "x-y_z~", "$&'()*+,;=:@!", "0x10", "12ab")
NOISE = (
    "X-Content-Length: 7",
    "Content-Type: text/plain",
    "Content-Language: en",
    "Content-Lengths: 9",
    "Connection-Info: close",
    "Transfer: chunked",
    "X-A: Transfer-Encoding: chunked",
    "Upgrade-Insecure-Requests: 1",
    "Cookie: a=b; close; chunked",
    "Accept: */*",
    "TE: trailers",
    "X-Empty:",
    "X-Tab:\tvalue\t",
    "Content-Encoding: x",
    "X-Request: GET / HTTP/1.1",
    "Connection: keep-alive",
    "Connection: Keep-Alive, X-Own",
    "Connection: TE",
)
USUAL_METHODS = ("GET", "GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND", "M-SEARCH")
# Tokens that httptools rejects and the other parsers accept.
ODD_METHODS = ("FOO", "get", "X", "a!#$%&'*+-.^_`|~", "GETT", "HEADER")


@dataclass(frozen=True)
class Ask:
    """A request and its expected result. `closes`: the server closes after the response."""

    method: str
    shown: str  # "METHOD /path" in the monitor
    ran: str  # the same in the application's tally
    head: bytes
    body: bytes = field(repr=False)
    status: int
    closes: bool

    @property
    def data(self) -> bytes:
        return self.head + self.body


def shown_path(path: str) -> str:
    """A path as the monitor shows it: cut, folded and cut again (docs/metrics.md)."""
    folded = "/".join("{id}" if IDENTIFIER.fullmatch(segment) else segment for segment in path[:PATH_SIZE].split("/"))
    return folded[:PATH_SIZE] + ("…" if len(path) > PATH_SIZE or len(folded) > PATH_SIZE else "")


def ran_path(path: str) -> str:
    """The application's own name for a decoded path, see app.py."""
    if path.startswith("/users/"):
        return "/users/{id}"
    return "/".join("{id}" if segment.isdecimal() else segment for segment in path.split("/"))


def cut(rng: random.Random, data: bytes) -> tuple[bytes, ...]:
    """Splits it into pieces that are sent one by one: one, a few, or each of the first bytes."""
    if not data:
        return ()
    how = rng.random()
    if how < 0.4:
        bounds = []
    elif how < 0.85:
        bounds = [rng.randrange(len(data)) for _ in range(rng.choice((1, 2, 3, 10)))]
    elif how < 0.95:
        bounds = [match.end() - rng.randrange(3) for match in re.finditer(rb"\r\n", data[:4000])]
    else:
        bounds = list(range(min(len(data), 400)))
    ends = sorted({0, len(data), *(bound for bound in bounds if 0 < bound < len(data))})
    return tuple(data[start:end] for start, end in itertools.pairwise(ends))


class RequestWriter:
    def __init__(self, rng: random.Random, flavour: Flavour) -> None:
        self.rng = rng
        self.flavour = flavour
        # What only some parsers accept must not be used where a 400 is not expected.
        self.methods = USUAL_METHODS if flavour.http == "httptools" else (*USUAL_METHODS, *ODD_METHODS)

    # ---- parts ----

    def text(self) -> bytes:
        """Valid UTF-8, up to 70 KB, which looks like HTTP to a parser that has lost its place."""
        return self.rng.choice(
            (b"", b"hello", REQUEST_LIKE, RESPONSE_LIKE, b"\r\n\r\n", b"0\r\n\r\n" + REQUEST_LIKE, b"5\r\nhello\r\n")
        ) * self.rng.choice((1, 1, 1, 2, 50))

    def content(self, small: bool) -> bytes:
        how = self.rng.random()
        if how < 0.5:
            return self.text()[: 300 if small else 70_000]
        if how < 0.95 or small:
            return self.rng.randbytes(self.rng.choice((1, 2, 30, 300)))
        return self.rng.randbytes(self.rng.choice((8_000, 70_000, 300_000)))

    def any_case(self, text: str) -> str:
        if self.rng.random() < 0.6:
            return text
        return "".join(self.rng.choice((letter.lower(), letter.upper())) for letter in text)

    def field(self, name: str, value: str) -> str:
        """A field written in any of the allowed ways (RFC 9110 §5.5). httptools rejects a tab after some values."""
        before, after = self.rng.choice((" ", " ", " ", "", "\t", "  ")), self.rng.choice(("", "", "", " "))
        return f"{self.any_case(name)}:{before}{value}{after}"

    def noise(self) -> list[str]:
        fields = self.rng.choices(NOISE, k=self.rng.choice((0, 0, 1, 3, 8)))
        if self.rng.random() < 0.2:
            value = "".join(
                self.rng.choices(string.ascii_letters + string.digits + " ,;=:/", k=self.rng.randrange(3000))
            )
            fields.append("X-Long: v" + value + "v")
        if self.rng.random() < 0.05:
            fields += [f"X-{number}: {number}" for number in range(40)]
        return fields

    def chunks(self, content: bytes) -> bytes:
        """The content in chunked coding (RFC 9112 §7.1), with extensions and trailers."""
        coded = b""
        while content:
            size = min(len(content), self.rng.choice((1, 2, 15, 16, 17, 255, 4096, 70_000)))
            digits = b"%x" % size
            if self.rng.random() < 0.3:
                digits = (b"0" * self.rng.randrange(5)) + digits.upper()
            extension = self.rng.choice((b"", b"", b"", b";a", b";a=b", b';a="b"', b";size=0"))
            coded += digits + extension + b"\r\n" + content[:size] + b"\r\n"
            content = content[size:]
        trailer = self.rng.choice((b"", b"", b"X-Trailer: GET / HTTP/1.1\r\n", b"Content-Lengths: 5\r\nX: y\r\n"))
        return coded + self.rng.choice((b"0", b"0", b"000", b"0;a=b")) + b"\r\n" + trailer + b"\r\n"

    def segments(self) -> str:
        """Further segments of a path: words, identifiers, percent-encoding, empty ones."""
        path = ""
        for _ in range(self.rng.choice((0, 0, 0, 1, 1, 2))):
            path += "/" + self.rng.choice((*WORDS, str(self.rng.randrange(10**6)), ""))
        return path

    def query(self) -> str:
        return self.rng.choice(("", "", "", "?", "?a=1&b=/x/2", "?q=%20?&%3f", "?x=http://y/z", "?a#b/c?d"))

    # ---- whole requests ----

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        query: str = "",
        fields: tuple[str, ...] = (),
        body: bytes = b"",
        status: int = 200,
        closes: str = "",
        plain: bool = False,
        decoded: str | None = None,
        known: bool = True,
    ) -> Ask:
        """`closes`: "close", "1.0" or "1.0 keep-alive", after which only zttp keeps the connection. `plain`: no
        noise."""
        target = path + query
        if not plain and self.rng.random() < 0.1:
            target = self.rng.choice(("http://x", "http://example.org:8080")) + target
        lines = ["Host: x", *([] if plain else self.noise())]
        if closes:
            lines = [line for line in lines if not line.lower().startswith("connection:")]
        if closes == "1.0 keep-alive":
            lines.append(self.field("Connection", self.any_case("keep-alive")))
        elif closes == "close":
            # Debian's uvicorn closes only for this exact spelling.
            exact = self.flavour.uvicorn == "debian"
            lines.append("Connection: close" if exact else self.field("Connection", self.any_case("close")))
        lines += fields
        self.rng.shuffle(lines)
        version = "1.0" if closes.startswith("1.0") else "1.1"
        head = "\r\n".join([f"{method} {target} HTTP/{version}", *lines, "", ""]).encode("latin-1")
        ran = f"{method} {ran_path(path if decoded is None else decoded)}" if known else "(not found)"
        shown = f"{method} {shown_path(path)}" if known else "(not found)"
        kept = not closes or (closes == "1.0 keep-alive" and self.flavour.http == "zttp")
        return Ask(method, shown, ran, head, body, status, not kept)

    def framed(self, content: bytes, closes: str = "") -> tuple[tuple[str, ...], bytes]:
        """The field that delimits a body, and the body. HTTP/1.0 has no chunks."""
        if self.rng.random() < 0.5 or closes.startswith("1.0"):
            return (self.field("Content-Length", str(len(content))),), content
        return (self.field("Transfer-Encoding", self.any_case("chunked")),), self.chunks(content)

    def ordinary(self, small: bool, closes: str = "") -> Ask:
        """A request that is always answered, and at once."""
        method = self.rng.choice(self.methods)
        fields: tuple[str, ...] = ()
        body = b""
        if self.rng.random() < (0.2 if method in ("GET", "HEAD") else 0.7):
            fields, body = self.framed(self.content(small), closes)
            if self.rng.random() < 0.05 and not closes.startswith("1.0"):
                fields += ("Expect: 100-continue",)
        if self.rng.random() < 0.05:
            # Without Connection: upgrade there is no upgrade. Not if the client leaves early: h11 makes uvicorn stop
            # reading, and then it does not see the client's FIN.
            fields += (self.rng.choice(("Upgrade: h2c", "Upgrade: websocket")),)
        path, decoded, status, known = self.place()
        if closes and body:
            # If the response came before the body was read, the server would close in the middle of the body.
            path, decoded, status, known = "/echo", None, 200, True
        ask = self.ask(
            path,
            method=method,
            query=self.query(),
            fields=fields,
            body=body,
            status=status,
            closes=closes,
            decoded=decoded,
            known=known,
        )
        return replace(ask, head=self.blank_lines() + ask.head)

    def blank_lines(self) -> bytes:
        """Empty lines before a request, which only httptools skips (RFC 9112 §2.2)."""
        return b"\r\n" * self.rng.choice((0, 0, 0, 0, 1, 3)) if self.flavour.http == "httptools" else b""

    def place(self) -> tuple[str, str | None, int, bool]:
        """A path, its decoded form if that differs, the status of the response, and whether the application knows
        it."""
        how = self.rng.random()
        if how < 0.15:
            return "/ok" + self.segments(), None, 200, True
        if how < 0.3:
            identifier = self.rng.choice(
                (
                    f"{self.rng.randrange(10**9)}",
                    "8b0f7d6e-1b0a-4c56-9a0e-2f5a5f0b8a11",
                    f"{self.rng.getrandbits(128):032x}0",
                )
            )
            return f"/users/{identifier}", None, 200, True
        if how < 0.4:
            word = self.rng.choice(WORDS)
            coded = "".join(f"%{ord(letter):02x}" if self.rng.random() < 0.2 else letter for letter in word)
            return f"/raw/{coded}", f"/raw/{word}", 200, True
        if how < 0.5:
            length = self.rng.choice((100, 107, 108, 111, 112, 113, 127, 128, 129, 255, 256, 1024, 8000))
            return "/raw/" + "p" * (length - 5), None, 200, True
        if how < 0.65:
            return "/echo", None, 200, True
        if how < 0.75:
            return "/chunked", None, 200, True
        if how < 0.85:
            # Not 404: with no other response, the endpoint would be counted as "(not found)".
            status = self.rng.choice((200, 201, 204, 301, 304, 400, 403, 410, 500, 503))
            return f"/status/{status}", None, status, True
        return f"/missing/{self.rng.randrange(1000)}z" + self.segments(), None, 404, False

    def plain(self, path: str) -> Ask:
        return self.ask("/" + path, query=self.query())

    def big(self) -> Ask:
        """A response of 8 MB, or of thousands of chunks."""
        return self.rng.choice((self.ask("/big"), self.ask("/chunked", query="?n=3000")))

    def failing(self) -> Ask:
        return self.ask("/fail", method=self.rng.choice(("GET", "POST", "PUT")), status=500, closes="by itself")

    def expecting(self) -> Ask:
        return self.upload("echo", expects=True)

    def upload(self, path: str, expects: bool = False) -> Ask:
        """A request with a body that is small enough for the buffers on the way."""
        content = self.content(small=True) + self.rng.randbytes(self.rng.choice((1, 100, 20_000)))
        fields, body = self.framed(content)
        if expects:
            fields += (self.any_case("Expect") + ": 100-continue",)  # httptools rejects a space after it
        return self.ask("/" + path, method=self.rng.choice(("POST", "PUT")), fields=fields, body=body)

    def held(self, path: str, more: str = "") -> Ask:
        return self.ask("/" + path, query=f"?gate={GATE}&arrived={GATE}{more}")

    def blocker(self) -> Ask:
        return self.ask("/block", query=f"?until={GATE}.go&arrived={GATE}")

    def upgrade(self, path: str) -> Ask:
        key = base64.b64encode(self.rng.randbytes(16)).decode()
        fields = (
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key}",
        )
        denied = path.endswith("/reject")
        return self.ask(path, fields=fields, status=403 if denied else 101, plain=True, closes="")

    def judged(self) -> tuple[str, Ask, bytes]:
        """A name, the request that it is if the server accepts it, and its bytes."""
        ask = self.ask("/raw/judged", closes="close", plain=True)
        line, _, rest = ask.head.partition(b"\r\n")
        post = self.ask(
            "/echo/judged", method="POST", fields=("Transfer-Encoding: chunked",), closes="close", plain=True
        )
        head = self.ask("/raw/judged", method="HEAD", closes="close", plain=True)
        odd = self.ask("/raw/judged", method=self.rng.choice(ODD_METHODS), closes="close", plain=True)
        cases = {
            "garbage": (ask, b"\x00\x01\x02\r\n\r\n"),
            "no target": (ask, b"GET\r\n\r\n"),
            "nonsense": (ask, b"nonsense nonsense nonsense\r\n\r\n"),
            "version 9": (ask, b"GET /raw/judged HTTP/9\r\n\r\n"),
            "version 2.0": (ask, line.replace(b"1.1", b"2.0") + b"\r\n" + rest),
            "no Host": (ask, line + b"\r\nConnection: close\r\n\r\n"),
            "no Host, split": (ask, line + b"\r\nConnection: close\r\n\r\n"),
            "HEAD, no Host": (head, b"HEAD /raw/judged HTTP/1.1\r\nConnection: close\r\n\r\n"),
            "two Hosts": (ask, line + b"\r\nHost: y\r\n" + rest),
            "a leading CRLF": (ask, b"\r\n" + ask.head),
            "leading CRLFs, split": (ask, b"\r\n\r\n\r\n" + ask.head),
            "a space before the colon": (ask, line + b"\r\nX : y\r\n" + rest),
            "a field without a colon": (ask, line + b"\r\nnonsense\r\n" + rest),
            "a NUL in a field": (ask, line + b"\r\nX: a\0b\r\n" + rest),
            "a folded field": (ask, line + b"\r\nX: a\r\n b\r\n" + rest),
            "an odd method": (odd, odd.head),
            "an odd method, split": (odd, odd.head),
            "bare line feeds": (ask, ask.head.replace(b"\r\n", b"\n")),
            "Content-Length and chunked": (
                post,
                post.head.replace(b"\r\n", b"\r\nContent-Length: 5\r\n", 1) + b"0\r\n\r\n",
            ),
            "no Host, and more after it": (ask, line + b"\r\nConnection: close\r\n\r\n" + REQUEST_LIKE),
            "an odd method, and more after it": (odd, odd.head + REQUEST_LIKE),
            "Content-Length twice": (
                post,
                post.head.replace(b"Transfer-Encoding: chunked", b"Content-Length: 2\r\nContent-Length: 2") + b"ab",
            ),
            "obs-fold in Content-Length": (
                post,
                post.head.replace(b"Transfer-Encoding: chunked", b"Content-Length:\r\n 2") + b"ab",
            ),
            "gzip, chunked": (post, post.head.replace(b"chunked", b"gzip, chunked") + b"1\r\na\r\n0\r\n\r\n"),
            "a space after a chunk's size": (post, post.head + b"1 \r\na\r\n0\r\n\r\n"),
            "a bad chunk": (post, post.head + b"5\r\nhello\r\nzz\r\n"),
            "a bad chunk, split": (post, post.head + b"5\r\nhello\r\nzz\r\n"),
        }
        name = self.rng.choice(list(cases))
        ask, data = cases[name]
        return name, ask, data
