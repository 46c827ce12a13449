# SPDX-License-Identifier: Apache-2.0
"""A uvicorn, on the port of its socket in --fd style, in a process that serves something else beside it:

    beside_http.py KIND [PORT]

metrics: another HTTP server, in a thread. exporter: that of prometheus_client. lines: a server that answers each line
that begins with "ask". child: a child process that serves HTTP. manager, manager-tcp: a manager of multiprocessing, a
child process that the application asks at /shared. websockets: a server of these alone. scripts:FILE: a server for each
[greeting, answer] of the JSON in the file, in hexadecimal digits. It sends the greeting at once, and the answer, unless
it is empty, to whatever it reads.

PORT is uvicorn's, by default a free one. Prints its port and the others."""

import asyncio
import json
import multiprocessing
import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.managers import SyncManager
from pathlib import Path
from socketserver import BaseRequestHandler, StreamRequestHandler, ThreadingTCPServer
from typing import Any

import uvicorn


class Metrics(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"up")

    def log_message(self, *_: object) -> None:
        pass


class Lines(StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            if line.startswith(b"ask"):
                self.wfile.write(b"+answer\r\n")


class Script(BaseRequestHandler):
    greeting = b""
    answer = b""

    def handle(self) -> None:
        self.request.sendall(self.greeting)
        while self.request.recv(1 << 16):
            if self.answer:
                self.request.sendall(self.answer)


class Threads(ThreadingTCPServer):
    daemon_threads = True


def scripted(greeting: str, answer: str) -> type[Script]:
    return type("Scripted", (Script,), {"greeting": bytes.fromhex(greeting), "answer": bytes.fromhex(answer)})


def serve_in_thread(server: ThreadingHTTPServer | Threads) -> int:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return int(server.server_address[1])


def start_child() -> int:
    child = subprocess.Popen([sys.executable, __file__, "the-child"], stdout=subprocess.PIPE)
    assert child.stdout
    return int(child.stdout.readline())


def start_exporter() -> int:
    """start_http_server returns neither its server nor its port."""
    from prometheus_client import start_http_server

    port = free_port()
    start_http_server(port, addr="127.0.0.1")
    return port


def start_websockets() -> int:
    """An event loop of its own, in a thread."""
    started: queue.Queue[int] = queue.Queue()

    async def echo(connection: Any) -> None:
        async for message in connection:
            await connection.send(message)

    async def serve() -> None:
        import websockets

        async with websockets.serve(echo, "127.0.0.1", 0, compression=None) as server:
            started.put(int(next(iter(server.sockets)).getsockname()[1]))
            await asyncio.Future()

    threading.Thread(target=asyncio.run, args=(serve(),), daemon=True).start()
    return started.get()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def start_manager(kind: str) -> list[int]:
    """Its port, if it has one: else it listens on a Unix socket."""
    global shared
    port = free_port()
    manager = SyncManager(("127.0.0.1", port)) if kind == "manager-tcp" else multiprocessing.Manager()
    if kind == "manager-tcp":
        manager.start()
    shared = manager.list([0])
    managers.append(manager)
    return [port] if kind == "manager-tcp" else []


managers: list[SyncManager] = []
shared: Any = None


async def app(scope: dict[str, Any], _: object, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    if scope["type"] == "http":
        if scope["path"] == "/shared":
            shared[0] += 1  # one question and one answer for each of read and write
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


def start_others(kind: str) -> list[int]:
    loopback = ("127.0.0.1", 0)
    if kind == "child":
        return [start_child()]
    if kind == "metrics":
        return [serve_in_thread(ThreadingHTTPServer(loopback, Metrics))]
    if kind == "exporter":
        return [start_exporter()]
    if kind == "websockets":
        return [start_websockets()]
    if kind.startswith("manager"):
        return start_manager(kind)
    if kind.startswith("scripts:"):
        scripts = json.loads(Path(kind.partition(":")[2]).read_text())
        return [serve_in_thread(Threads(loopback, scripted(*script))) for script in scripts]
    return [serve_in_thread(Threads(loopback, Lines))]


def main() -> None:
    kind = sys.argv[1]
    if kind == "the-child":
        server = ThreadingHTTPServer(("127.0.0.1", 0), Metrics)
        print(server.server_address[1], flush=True)
        server.serve_forever()
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", int(sys.argv[2]) if len(sys.argv) > 2 else 0))
    listener.listen()
    print(json.dumps([listener.getsockname()[1], *start_others(kind)]), flush=True)
    uvicorn.run(app, fd=listener.fileno(), lifespan="off", log_level="error")


if __name__ == "__main__":
    main()
