# SPDX-License-Identifier: Apache-2.0
"""The randomized client: runs many scripts (random_plan.py) at once and checks every response.

It records what the monitor and the application must have counted."""

import itertools
import os
import socket
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

from harness import random_plan as plan
from harness.client import Client, Response
from harness.random_requests import GATE, Ask
from harness.server import Server
from harness.waiting import wait_until

AT_ONCE = 32


@dataclass
class Books:
    """What must have been counted. For the endpoints in `vanished`, only the application knows which requests it
    got."""

    figures: Counter[tuple[str, str]] = field(default_factory=Counter)  # ("METHOD /path", figure) of the monitor
    ran: Counter[str] = field(default_factory=Counter)  # requests that reached the application
    answered: Counter[tuple[str, str]] = field(default_factory=Counter)  # of these, by status class
    vanished: dict[str, str] = field(default_factory=dict)  # "METHOD /path" in the monitor → in the application
    rejected: int = 0

    def end(self, ask: Ask, status: int | None, how: str = "", ran: bool = True) -> None:
        """Records that the request has ended with this status, by its response or by `how`: "failed" or "aborted"."""
        kind = f"{status // 100}xx" if status else "none"
        self.figures[ask.shown, "completed"] += 1
        self.figures[ask.shown, kind] += 1
        if how or kind == "5xx":
            self.figures[ask.shown, how or "failed"] += 1
        if ran:
            self.ran[ask.ran] += 1
            if status and not how and status != 101:
                self.answered[ask.ran, kind] += 1

    def respond(self, ask: Ask, response: Response) -> None:
        if response.rejected:
            self.rejected += 1
        else:
            # Debian's uvicorn sends this response itself, without the application.
            self.end(ask, response.status, ran=response.body != b"Unsupported upgrade request.")

    def add(self, other: "Books") -> None:
        self.figures += other.figures
        self.ran += other.ran
        self.answered += other.answered
        self.vanished |= other.vanished
        self.rejected += other.rejected


class ScriptFailed(AssertionError):
    """A client saw something other than what its script says."""


def websocket_frame(opcode: int, payload: bytes) -> bytes:
    """A masked frame (RFC 6455 §5.2)."""
    length = len(payload)
    if length < 126:
        head = bytes([0x80 | opcode, 0x80 | length])
    elif length < 1 << 16:
        head = bytes([0x80 | opcode, 0x80 | 126]) + length.to_bytes(2, "big")
    else:
        head = bytes([0x80 | opcode, 0x80 | 127]) + length.to_bytes(8, "big")
    mask = os.urandom(4)
    return head + mask + bytes(byte ^ mask[index & 3] for index, byte in enumerate(payload))


def read_frame(client: Client) -> tuple[int, bytes]:
    first, length = client.take(2)
    if length >= 126:
        length = int.from_bytes(client.take(2 if length == 126 else 8), "big")
    return first & 15, client.take(length)


def go(client: Client, going: str) -> None:
    if going == "reset":
        client.reset()
    elif going == "close":
        client.close()
    else:
        client.finish()
        client.rest()
        client.close()


class Connection:
    """Runs one script."""

    _names = itertools.count()

    def __init__(self, server: Server, script: plan.Script) -> None:
        self.server = server
        self.script = script
        self.books = Books()
        self.client = Client(server.port)
        self.name = ""  # of the gate of the newest request

    def run(self) -> None:
        """Runs all steps. What the script keeps open ends in finish()."""
        for number, step in enumerate(self.script.steps):
            try:
                self.step(step)
            except (AssertionError, OSError, EOFError, ValueError) as error:
                self.client.close()
                raise ScriptFailed(f"{self.script}: step {number}, {describe(step)}: {error!r}") from error
        if not self.kept:
            self.client.close()

    @property
    def last(self) -> plan.Step:
        return self.script.steps[-1]

    @property
    def kept(self) -> bool:
        return isinstance(self.last, plan.KeepHeld) or getattr(self.last, "going", "") == "keep"

    @property
    def left(self) -> bool:
        """Whether one of its requests still waits at a gate although the client has left."""
        return isinstance(self.last, plan.LeaveHeld | plan.Streamed)

    @property
    def in_flight(self) -> int:
        """Requests in flight on a connection that was kept open."""
        return int(self.kept and not isinstance(self.last, plan.Leave))

    def finish(self) -> None:
        """Ends a connection that was kept open."""
        if isinstance(self.last, plan.KeepHeld):
            self.server.open_gate(self.name)
            self.answer(self.last.ask)
        elif isinstance(self.last, plan.WebSocket):
            self.close_websocket()
        self.client.close()

    # ---- parts of steps ----

    def fill_in(self, data: bytes) -> bytes:
        return data.replace(GATE.encode(), self.name.encode())

    def send(self, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            self.client.send(piece)

    def send_held(self, ask: Ask, pieces: Iterable[bytes] = ()) -> None:
        """Sends a request with a gate of a new name, and waits until the application has reached that gate."""
        self.name = f"{next(self._names):0{len(GATE)}x}"
        data = self.fill_in(ask.data)
        at = 0
        for piece in pieces or (data,):
            self.client.send(data[at : at + len(piece)])
            at += len(piece)
        self.wait_arrived(1)

    def wait_arrived(self, times: int) -> None:
        file = self.server.directory / self.name
        wait_until(lambda: file.exists() and file.stat().st_size >= times, f"arrival {times} at gate {self.name}")

    def answer(self, ask: Ask) -> None:
        """Reads the response, and checks that nothing follows if the server closes."""
        response = self.client.response(ask.method)
        self.books.respond(ask, response)
        assert response.status == ask.status, f"{ask.shown}: {response}"[:2000]
        if ask.closes:
            left = self.client.rest()
            assert not left, f"after the last response: {left[:200]!r}"

    def judge(self, ask: Ask, how: str) -> None:
        """Reads until the server closes: the request got its response, or has ended by `how`."""
        responses = self.client.responses(ask.method)
        assert len(responses) <= 1, responses
        if responses:
            self.books.respond(ask, responses[0])
        else:
            self.books.end(ask, None, how)

    # ---- steps ----

    def step(self, step: plan.Step) -> None:
        match step:
            case plan.Exchange(asks, pieces):
                self.send(pieces)
                for ask in asks:
                    self.answer(ask)
            case plan.Continue(ask, head, body):
                self.send(head)
                status, _ = self.client.head()
                assert status == 100, status
                self.send(body)
                self.answer(ask)
            case plan.Early(ask, first, rest, going):
                self.send(first)
                self.answer(ask)
                self.send(rest)
                if going:
                    go(self.client, going)
            case plan.Held(ask, pieces):
                self.send_held(ask, pieces)
                self.server.open_gate(self.name)
                self.answer(ask)
            case plan.KeepHeld(ask):
                self.send_held(ask)
            case plan.LeaveHeld(ask, going):
                self.send_held(ask)
                go(self.client, going)
                self.books.end(ask, None, "aborted")
            case plan.Streamed():
                self.stream(step)
            case plan.WebSocket():
                self.websocket(step)
            case plan.Leave(going, unfinished):
                self.client.send(unfinished)
                if going != "keep":
                    go(self.client, going)
            case plan.Judged(_, ask, pieces):
                with suppress(ConnectionError):  # rejected before the last piece
                    self.send(pieces)
                responses = self.client.responses(ask.method)
                assert len(responses) == 1, responses
                self.books.respond(ask, responses[0])
            case plan.Cut(ask):
                self.client.send(ask.data)
                left = self.client.rest()
                assert left.endswith(b"\r\n\r\nshort"), left
                self.books.end(ask, 200, "failed")
            case plan.HalfCloseAfter(ask):
                self.client.send(ask.data).finish()
                self.judge(ask, "aborted")
            case plan.LeaveUpload(ask, first, going):
                self.client.send(ask.head)
                assert self.client.head()[0] == 100
                self.send(first)
                if going == "half-close":
                    self.client.finish()
                    self.judge(ask, "aborted")
                else:
                    go(self.client, going)
                    self.books.end(ask, None, "aborted")
            case plan.LeaveDownload(ask):
                self.leave_download(ask)
            case plan.Vanish():
                self.vanish(step)

    def stream(self, step: plan.Streamed) -> None:
        self.send_held(step.ask)
        status, _ = self.client.head()
        assert status == step.ask.status
        for index in range(step.chunks):
            self.wait_arrived(index + 1)
            if index == step.leave_at:
                go(self.client, step.going)
                self.books.end(step.ask, status, "aborted")
                return
            self.server.open_gate(self.name)
            piece = self.client.chunk()
            assert piece == b"data: %d\n\n" % index, piece
        assert self.client.chunk() == b""
        self.books.end(step.ask, status)

    def leave_download(self, ask: Ask) -> None:
        """On a connection with small buffers, so that the server's kernel cannot take the whole response."""
        self.client.close()
        with socket.socket() as small:
            small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 << 10)
            small.connect(("127.0.0.1", self.server.port))
            small.sendall(ask.data)
            assert small.recv(100).startswith(b"HTTP/1.1 200")
        self.books.end(ask, 200, "aborted")

    def websocket(self, step: plan.WebSocket) -> None:
        response = self.client.ask(step.ask.data)
        self.books.respond(step.ask, response)
        assert response.status == step.ask.status
        for text in step.texts:
            self.client.send(websocket_frame(1, text))
            opcode, payload = read_frame(self.client)
            assert (opcode, payload) == (1, text), (opcode, payload[:100])
        if step.going == "close frame":
            self.close_websocket()
        elif step.going != "keep":
            go(self.client, step.going)

    def close_websocket(self) -> None:
        self.client.send(websocket_frame(8, b"\x03\xe8"))
        assert read_frame(self.client)[0] == 8
        self.client.rest()

    def vanish(self, step: plan.Vanish) -> None:
        self.books.vanished[step.ask.shown] = step.ask.ran
        if step.blocker:
            self.send_held(step.blocker)
        clients = [Client(self.server.port).send(step.ask.data) for _ in step.goings]
        for client, going in zip(clients, step.goings, strict=True):
            go(client, going)
        if step.blocker:
            self.server.unblock(f"{self.name}.go")
            self.answer(step.blocker)


def describe(step: plan.Step) -> str:
    """A step in a failure message, short but recognisable."""
    text = repr(step)
    return text if len(text) < 1500 else text[:1500] + " …"


class Run:
    """Runs many scripts at once against one server."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.kept: list[Connection] = []
        self.left: list[str] = []  # gates at which requests wait whose clients have left
        self.books = Books()

    def run(self, scripts: list[plan.Script], at_once: int = AT_ONCE) -> None:
        """Runs all scripts. Connections that stay open are in `kept` afterwards."""
        connections = []

        def work(script: plan.Script) -> None:
            connection = Connection(self.server, script)
            connection.run()
            connections.append(connection)

        with ThreadPoolExecutor(at_once) as pool:
            futures = [pool.submit(work, script) for script in scripts]
            failures = [error for future in futures if (error := future.exception())]
        if failures:
            raise failures[0]
        for connection in connections:
            self.books.add(connection.books)
            connection.books = Books()
            if connection.left:
                self.left.append(connection.name)
            if connection.kept:
                self.kept.append(connection)

    def open_left(self) -> None:
        """Lets the application answer clients that have left, after the server has noticed."""
        for name in self.left:
            self.server.open_gate(name, 9)
        self.left.clear()

    def finish(self) -> None:
        """Ends the connections that were kept open."""
        for connection in self.kept:
            connection.finish()
            self.books.add(connection.books)
        self.kept.clear()
