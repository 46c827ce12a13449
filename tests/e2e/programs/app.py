# SPDX-License-Identifier: Apache-2.0
"""The application under test: plain ASGI, so that the same file runs under every uvicorn.

It counts its requests (tally.py). A request can wait at a gate. The test opens a gate through a FIFO: the line
`name count` lets `count` requests through."""

import asyncio
import os
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from tally import TallyWriter

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

DIRECTORY = Path(os.environ["E2E_DIRECTORY"])
NOT_FOUND = "(not found)"
BIG = 8 << 20

# Set when a worker starts (serve_lifespan); each has its own.
tally: TallyWriter
gates: "Gates"


class Gates:
    """Named semaphores, closed at first. The test opens them through a FIFO, which causes no socket event."""

    def __init__(self, path: Path) -> None:
        self._semaphores: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(0))
        os.mkfifo(path)
        self._fifo = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self._unread = b""
        asyncio.get_running_loop().add_reader(self._fifo, self._read)

    def _read(self) -> None:
        *lines, self._unread = (self._unread + os.read(self._fifo, 65536)).split(b"\n")
        for line in lines:
            name, count = line.decode().split()
            for _ in range(int(count)):
                self._semaphores[name].release()

    async def wait(self, name: str) -> None:
        await self._semaphores[name].acquire()


class Request:
    """One request: what was asked, and a way to answer it that counts the answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # h11 passes on a target in absolute form unchanged.
        path = str(scope["path"])
        if path.startswith("http://"):
            path = "/" + path.removeprefix("http://").partition("/")[2].partition("?")[0]
        self.segments = path.split("/")[1:] or [""]  # "*" and an authority have no slash
        self.query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode("latin-1")).items()}
        self.receive = receive
        self._send = send
        route = "/" + "/".join(["{id}" if segment.isdecimal() else segment for segment in self.segments])
        if self.segments[0] == "users":
            route = "/users/{id}"
        self.key = f"{scope['method']} {route}" if self.segments[0] in HANDLERS else NOT_FOUND
        self.status: int | None = None

    async def start(self, status: int, headers: Headers) -> None:
        self.status = status
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def body(self, body: bytes, more: bool = False) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": more})

    async def answer(self, status: int, body: bytes) -> None:
        await self.start(status, [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))])
        await self.body(body)

    async def read_body(self) -> bytes:
        body = b""
        while True:
            message = await self.receive()
            body += bytes(message.get("body", b""))
            if message["type"] == "http.disconnect" or not message.get("more_body", False):
                return body

    def arrive(self) -> None:
        """Records for the test that this request has arrived: appends a byte to the file that the request names."""
        if "arrived" in self.query:
            with (DIRECTORY / self.query["arrived"]).open("ab") as file:
                file.write(b".")

    async def gate(self) -> None:
        tally.add(self.key, "waiting")
        self.arrive()
        try:
            await gates.wait(self.query["gate"])
        finally:
            tally.add(self.key, "waiting", -1)


async def ok(request: Request) -> None:
    await request.answer(200, b"ok")


async def echo(request: Request) -> None:
    await request.answer(200, await request.read_body())


async def sink(request: Request) -> None:
    """Responds with the length of the body."""
    length, more = 0, True
    while more:
        message = await request.receive()
        length += len(message.get("body", b""))
        more = message.get("more_body", False)
    await request.answer(200, b"%d" % length)


async def early(request: Request) -> None:
    """Responds before the body has been read, which still arrives."""
    await request.answer(200, b"early")


async def status(request: Request) -> None:
    code = int(request.segments[1])
    if code in (204, 304):
        await request.start(code, [])
        await request.body(b"")
    else:
        await request.answer(code, b"status")


async def fail(request: Request) -> None:
    raise RuntimeError("raised on purpose")


async def cut(request: Request) -> None:
    """Declares more bytes than it sends, so the server has to cut the connection."""
    await request.start(200, [(b"content-length", b"100")])
    await request.body(b"short", more=True)
    raise RuntimeError("raised in the middle of a response")


async def hold(request: Request) -> None:
    await request.gate()
    await request.answer(200, b"held")


async def hold_and_fail(request: Request) -> None:
    await request.gate()
    raise RuntimeError("raised on purpose")


async def stream(request: Request) -> None:
    """Sends chunks, each after its gate opens."""
    await request.start(200, [(b"content-type", b"text/event-stream")])
    count = int(request.query["n"])
    for index in range(count):
        await request.gate()
        await request.body(b"data: %d\n\n" % index, more=index < count - 1)


async def chunked(request: Request) -> None:
    await request.start(200, [(b"content-type", b"text/plain")])
    for index in range(int(request.query.get("n", 3))):
        await request.body(b"chunk %d\n" % index, more=True)
    await request.body(b"")


async def big(request: Request) -> None:
    await request.answer(200, b"x" * BIG)


async def download(request: Request) -> None:
    """Sends a body with Content-Length, a megabyte at a time. It can wait at a gate after the first."""
    count = int(request.query["mb"])
    await request.start(200, [(b"content-length", b"%d" % (count << 20))])
    for index in range(count):
        await request.body(b"x" * (1 << 20), more=index < count - 1)
        if not index and "gate" in request.query:
            await request.gate()


async def block(request: Request) -> None:
    """Blocks the event loop until the file exists."""
    tally.add(request.key, "waiting")
    request.arrive()
    while not (DIRECTORY / request.query["until"]).exists():
        time.sleep(0.001)
    tally.add(request.key, "waiting", -1)
    await request.answer(200, b"unblocked")


async def hang(request: Request) -> None:
    """Holds the interpreter for ever, so that the process can't answer its supervisor either."""
    import ctypes

    tally.add(request.key, "waiting")
    ctypes.PyDLL(None).pause()


async def orphan(request: Request) -> None:
    """Starts a process whose parent has ended. It ends with this process, which holds the other end of its pipe."""
    import subprocess

    read, write = os.pipe()
    orphans.append(write)
    shell = "exec 3<&0; cat <&3 >/dev/null & echo $!"
    made = subprocess.run(["/bin/sh", "-c", shell], stdin=read, stdout=subprocess.PIPE, check=True)
    os.close(read)
    await request.answer(200, made.stdout)


orphans: list[int] = []


async def child(request: Request) -> None:
    """Runs a process that uses this many seconds of CPU, and reaps it."""
    spin = f"import time\nwhile time.process_time() < {float(request.query['cpu'])}: pass"
    await (await asyncio.create_subprocess_exec(sys.executable, "-ISc", spin)).wait()
    await request.answer(200, b"reaped")


async def fetch(request: Request) -> None:
    """Is itself a client, of the server at a port or at a path: on the event loop, with connections that are kept for
    the next time, and with blocking calls in another thread, with a new connection each time."""
    address = request.query["to"]
    protocol = int(request.query.get("protocol", 0))
    answer = await fetch_pooled(address, protocol)
    answer += await asyncio.to_thread(fetch_blocking, address, protocol)
    await request.answer(200, answer)


async def fetch_pooled(address: str, protocol: int = 0) -> bytes:
    import socket

    if address not in pooled:
        connection = socket.socket(socket.AF_INET if address.isdecimal() else socket.AF_UNIX, proto=protocol)
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, target_of(address))
        pooled[address] = await asyncio.open_connection(sock=connection)
    reader, writer = pooled.pop(address)
    writer.write(ASKED % b"keep-alive")
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    answer = await reader.readexactly(length)
    pooled[address] = reader, writer
    return answer


pooled: dict[str, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}
ASKED = b"GET /from-the-app HTTP/1.1\r\nHost: x\r\nConnection: %s\r\n\r\n"


def target_of(address: str) -> Any:
    return ("127.0.0.1", int(address)) if address.isdecimal() else address


def fetch_blocking(address: str, protocol: int) -> bytes:
    import socket

    with socket.socket(socket.AF_INET if address.isdecimal() else socket.AF_UNIX, proto=protocol) as connection:
        connection.connect(target_of(address))
        connection.sendall(ASKED % b"close")
        answer = b""
        while piece := connection.recv(4096):
            answer += piece
        return answer


HANDLERS: dict[str, Callable[[Request], Awaitable[None]]] = {
    "ok": ok,
    "users": ok,
    "raw": ok,
    "echo": echo,
    "early": early,
    "status": status,
    "fail": fail,
    "cut": cut,
    "hold": hold,
    "stream": stream,
    "chunked": chunked,
    "big": big,
    "block": block,
    "hang": hang,
    "fetch": fetch,
    "orphan": orphan,
    "child": child,
    "sink": sink,
    "download": download,
    "hold-and-fail": hold_and_fail,
}


async def not_found(request: Request) -> None:
    await request.answer(404, b"not found")


async def serve_http(scope: Scope, receive: Receive, send: Send) -> None:
    request = Request(scope, receive, send)
    tally.add(request.key, "started")
    tally.add(request.key, "running")
    try:
        await HANDLERS.get(request.segments[0], not_found)(request)
    except Exception:
        request.status = request.status or 500
        raise
    finally:
        tally.add(request.key, "running", -1)
        if request.status is not None:
            tally.add(request.key, f"{request.status // 100}xx")


async def serve_websocket(scope: Scope, receive: Receive, send: Send) -> None:
    """Echoes until the client closes, or asks for the close with the text "close". /ws/reject is refused."""
    key = f"GET {scope['path']}"
    tally.add(key, "started")
    await receive()
    if scope["path"] == "/ws/reject":
        tally.add(key, "4xx")
        await send({"type": "websocket.close"})
        return
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        if message.get("text") == "close":
            await send({"type": "websocket.close", "code": 1000})
            return
        content = {name: message[name] for name in ("text", "bytes") if message.get(name) is not None}
        await send({"type": "websocket.send", **content})


async def serve_lifespan(receive: Receive, send: Send) -> None:
    global gates, tally
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            gates = Gates(DIRECTORY / f"{os.getpid()}.gates")
            for address in os.environ.get("E2E_POOLED", "").split():  # before it listens
                await fetch_pooled(address)
            tally = TallyWriter(DIRECTORY / f"{os.getpid()}.tally")
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await serve_http(scope, receive, send)
    elif scope["type"] == "websocket":
        await serve_websocket(scope, receive, send)
    else:
        await serve_lifespan(receive, send)
