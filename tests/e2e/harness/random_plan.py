# SPDX-License-Identifier: Apache-2.0
"""What each connection of the randomized client does, derived from a seed: its steps, and each request's result.

A plan holds only what a client can know, and says so where it leaves something out."""

import random
import re
from dataclasses import dataclass, field

from harness.random_requests import Ask, RequestWriter, cut
from harness.server import Flavour

# How a client leaves. "close" sends a FIN, or a reset if it has not read everything that it received.
GOING = ("close", "half-close", "reset")


@dataclass(frozen=True)
class Exchange:
    """Requests, split into these pieces anywhere; then all their responses. The last response may end the
    connection."""

    asks: tuple[Ask, ...]
    pieces: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True)
class Continue:
    """Sends the head, and the body after 100 Continue."""

    ask: Ask
    head: tuple[bytes, ...] = field(repr=False)
    body: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True)
class Early:
    """The response comes before the whole body is sent. Then the rest follows, or the client leaves as `going` says."""

    ask: Ask
    first: tuple[bytes, ...] = field(repr=False)
    rest: tuple[bytes, ...] = field(repr=False)
    going: str = ""


@dataclass(frozen=True)
class Held:
    """The application holds the request until its gate opens."""

    ask: Ask
    pieces: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True)
class Streamed:
    """The response is sent in chunks, each after its gate opens. At chunk `leave_at` the client leaves meanwhile."""

    ask: Ask
    chunks: int
    leave_at: int | None = None
    going: str = ""


@dataclass(frozen=True)
class WebSocket:
    """Upgrades, then each frame is echoed. `going` may also be "close frame" or "keep"."""

    ask: Ask
    texts: tuple[bytes, ...]
    going: str


# The steps below are the last ones of a connection.


@dataclass(frozen=True)
class Leave:
    """Leaves with nothing in flight; with "keep" it stays until all scripts are done.

    Before that it sends `unfinished`, which is not a complete head."""

    going: str
    unfinished: bytes = b""


@dataclass(frozen=True)
class Judged:
    """A request that the server may reject; the response shows whether it did. Closes if the request is accepted."""

    name: str
    ask: Ask
    pieces: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True)
class Cut:
    """The server breaks off in the middle of its response."""

    ask: Ask


@dataclass(frozen=True)
class HalfCloseAfter:
    """Half-closes right after the request. The server decides whether to respond, and the client sees what it did."""

    ask: Ask


@dataclass(frozen=True)
class LeaveHeld:
    ask: Ask
    going: str


@dataclass(frozen=True)
class LeaveUpload:
    """Leaves in the middle of a body that the application reads."""

    ask: Ask
    first: tuple[bytes, ...] = field(repr=False)
    going: str


@dataclass(frozen=True)
class LeaveDownload:
    """Leaves in the middle of a response that is larger than all buffers on the way."""

    ask: Ask


@dataclass(frozen=True)
class KeepHeld:
    """Held until all scripts are done, so that these requests are in flight at the same time."""

    ask: Ask


@dataclass(frozen=True)
class Vanish:
    """Clients that leave right after a request, some of them while the event loop is blocked. Only the application
    knows whether the server read the request, and nothing shows whether it could still respond. So the requests of this
    endpoint are compared with the application's count, but not their outcomes."""

    ask: Ask
    blocker: Ask | None
    goings: tuple[str, ...]


Step = (
    Exchange
    | Continue
    | Early
    | Held
    | Streamed
    | WebSocket
    | Leave
    | Judged
    | Cut
    | HalfCloseAfter
    | LeaveHeld
    | LeaveUpload
    | LeaveDownload
    | KeepHeld
    | Vanish
)


@dataclass(frozen=True)
class Script:
    index: int
    steps: tuple[Step, ...] = field(repr=False)

    def __str__(self) -> str:
        return f"connection {self.index}: {', '.join(type(step).__name__ for step in self.steps)}"


class ScriptWriter:
    """Writes one connection's script, which depends on the seed, the flavour and the index alone."""

    def __init__(self, seed: int, flavour: Flavour, index: int) -> None:
        self.rng = random.Random(f"{seed}:{flavour}:{index}")
        self.requests = RequestWriter(self.rng, flavour)
        self.flavour = flavour
        self.index = index

    def write(self) -> Script:
        middle = (self.exchange, self.exchange, self.exchange, self.go_on, self.early, self.held, self.streamed)
        steps = [self.rng.choice(middle)() for _ in range(self.rng.choice((0, 1, 1, 2, 3, 5)))]
        ends = {
            self.leave: 6,
            self.last_exchange: 4,
            self.judged: 4,
            self.failed: 2,
            self.cut_off: 2,
            self.half_close_after: 2,
            self.leave_held: 2,
            self.leave_upload: 2,
            self.leave_stream: 2,
            self.leave_early: 1,
            self.leave_download: 1,
            self.keep_held: 1,
            self.vanish: 1,
            self.websocket: 3,
            self.denied: 1,
        }
        end = self.rng.choices(list(ends), list(ends.values()))[0]
        return Script(self.index, (*steps, end()))

    def go(self) -> str:
        return self.rng.choice(GOING)

    def pieces(self, data: bytes) -> tuple[bytes, ...]:
        return cut(self.rng, data)

    def exchange(self) -> Step:
        depth = self.rng.choice((1, 1, 1, 1, 2, 3, 8, 9, 30))
        if depth == 1 and self.rng.random() < 0.05:
            asks = [self.requests.big()]
        else:
            asks = [self.requests.ordinary(small=depth > 1) for _ in range(depth)]
        return Exchange(tuple(asks), self.pieces(b"".join(ask.data for ask in asks)))

    def last_exchange(self) -> Step:
        """The last request asks for the close, or has a version that implies it."""
        asks = [self.requests.ordinary(small=True) for _ in range(self.rng.choice((0, 0, 1, 4, 12)))]
        asks.append(self.requests.ordinary(small=True, closes=self.rng.choice(("close", "1.0", "1.0 keep-alive"))))
        return Exchange(tuple(asks), self.pieces(b"".join(ask.data for ask in asks)))

    def failed(self) -> Step:
        """No request follows: after its own 500, uvicorn runs no pipelined request."""
        asks = [self.requests.ordinary(small=True) for _ in range(self.rng.choice((0, 0, 3)))]
        asks.append(self.requests.failing())
        return Exchange(tuple(asks), self.pieces(b"".join(ask.data for ask in asks)))

    def go_on(self) -> Step:
        ask = self.requests.expecting()
        return Continue(ask, self.pieces(ask.head), self.pieces(ask.body))

    def _early(self) -> tuple[Ask, int]:
        ask = self.requests.upload("early")
        return ask, len(ask.head) + self.rng.randrange(len(ask.body))

    def early(self) -> Step:
        ask, at = self._early()
        return Early(ask, self.pieces(ask.data[:at]), self.pieces(ask.data[at:]))

    def leave_early(self) -> Step:
        ask, at = self._early()
        return Early(ask, self.pieces(ask.data[:at]), (), self.go())

    def held(self) -> Step:
        ask = self.requests.held("hold")
        return Held(ask, self.pieces(ask.data))

    def streamed(self) -> Step:
        chunks = self.rng.choice((1, 2, 5))
        return Streamed(self.requests.held("stream", f"&n={chunks}"), chunks)

    def leave_stream(self) -> Step:
        return Streamed(self.requests.held("stream/left", "&n=4"), 4, self.rng.randrange(4), self.go())

    def leave_held(self) -> Step:
        return LeaveHeld(self.requests.held("hold/left"), self.go())

    def leave_upload(self) -> Step:
        ask = self.requests.upload("echo/left", expects=True)
        return LeaveUpload(ask, self.pieces(ask.body[: self.rng.randrange(len(ask.body))]), self.go())

    def leave_download(self) -> Step:
        return LeaveDownload(self.requests.plain("big/left"))

    def leave(self) -> Step:
        whole = self.requests.plain("raw/unfinished").head
        unfinished = whole[: self.rng.randrange(len(whole) - 2)] if self.rng.random() < 0.25 else b""
        return Leave(self.rng.choice((*GOING, "keep")), unfinished)

    def half_close_after(self) -> Step:
        return HalfCloseAfter(self.requests.plain("ok/left"))

    def keep_held(self) -> Step:
        return KeepHeld(self.requests.held("hold"))

    def cut_off(self) -> Step:
        return Cut(self.requests.plain("cut"))

    def judged(self) -> Step:
        name, ask, data = self.requests.judged()
        # A server that closes with unread bytes sends a reset, and the client might lose the response. So the request
        # is sent at once, or in two pieces.
        at = self.rng.randrange(len(data)) if re.search("split", name) else 0
        return Judged(name, ask, tuple(piece for piece in (data[:at], data[at:]) if piece))

    def vanish(self) -> Step:
        blocker = self.requests.blocker() if self.rng.random() < 0.5 else None
        goings = [self.rng.choice(("close", "reset")) for _ in range(self.rng.choice((1, 2, 12)))]
        return Vanish(self.requests.plain("raw/vanished"), blocker, tuple(goings))

    def websocket(self) -> Step:
        texts = [self.requests.text() for _ in range(self.rng.choice((0, 1, 3, 10)))]
        going = self.rng.choice(("close frame", "close frame", "keep", *GOING))
        return WebSocket(self.requests.upgrade("/ws"), tuple(texts), going)

    def denied(self) -> Step:
        ask = self.requests.upgrade("/ws/reject")
        return Exchange((ask,), self.pieces(ask.data))


def write_plan(seed: int, flavour: Flavour, count: int) -> list[Script]:
    return [ScriptWriter(seed, flavour, index).write() for index in range(count)]
