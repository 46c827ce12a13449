# SPDX-License-Identifier: Apache-2.0
"""A uvicorn, on the port of its socket in --fd style, in a process that serves something else beside it:

    beside_http.py KIND [PORT]     KIND is metrics, lines or child

metrics: another HTTP server, in a thread. lines: a server that answers each line that begins with "ask". child: a
child process that serves HTTP. PORT is uvicorn's, by default a free one. Prints both ports."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import StreamRequestHandler, ThreadingTCPServer
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


class LineServer(ThreadingTCPServer):
    daemon_threads = True


def serve_in_thread(server: ThreadingHTTPServer | LineServer) -> int:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return int(server.server_address[1])


def start_child() -> int:
    child = subprocess.Popen([sys.executable, __file__, "the-child"], stdout=subprocess.PIPE)
    assert child.stdout
    return int(child.stdout.readline())


async def app(scope: dict[str, Any], _: object, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


def main() -> None:
    kind = sys.argv[1]
    loopback = ("127.0.0.1", 0)
    if kind == "the-child":
        server = ThreadingHTTPServer(loopback, Metrics)
        print(server.server_address[1], flush=True)
        server.serve_forever()
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", int(sys.argv[2]) if len(sys.argv) > 2 else 0))
    listener.listen()
    if kind == "child":
        other = start_child()
    elif kind == "metrics":
        other = serve_in_thread(ThreadingHTTPServer(loopback, Metrics))
    else:
        other = serve_in_thread(LineServer(loopback, Lines))
    print(json.dumps([listener.getsockname()[1], other]), flush=True)
    uvicorn.run(app, fd=listener.fileno(), lifespan="off", log_level="error")


main()
