# SPDX-License-Identifier: Apache-2.0
"""The application that receives the requests of the case files.

It reads the body and answers 200 for any path. It appends to a file what was asked and from which port, one line for
each request. The test reads that file."""

import json
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tally import TallyWriter

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

# Set when a worker starts (serve_lifespan); each has its own.
tally: TallyWriter
asked: int  # the file that records what was asked

# h11 passes on an absolute-form target as received, with its fragment (RFC 9112 §3.2.2); other parsers split it up.
AUTHORITY = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")


def path_of(target: bytes) -> bytes:
    """The path as it was sent, without scheme, authority, query or fragment."""
    absolute = AUTHORITY.match(target)
    path = re.split(rb"[?#]", target[absolute.end() if absolute else 0 :])[0]
    return path or b"/" if absolute else path


def note(scope: Scope, target: bytes) -> bytes:
    """Records what was asked, and returns its path."""
    path = path_of(target)
    line = json.dumps([scope["client"][1], scope.get("method", "GET"), path.decode("latin-1")])
    os.write(asked, line.encode() + b"\n")
    return path


async def serve_http(scope: Scope, receive: Receive, send: Send) -> None:
    path = note(scope, scope["raw_path"])
    while path != b"/early" and (await receive()).get("more_body", False):
        pass
    if path == b"/fail":
        raise RuntimeError("raised on purpose")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def serve_websocket(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuses the WebSocket."""
    note(scope, scope["path"].encode())  # in some versions raw_path is not bytes
    await receive()
    await send({"type": "websocket.close"})


async def serve_lifespan(receive: Receive, send: Send) -> None:
    global asked, tally
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            directory = Path(os.environ["E2E_DIRECTORY"])
            asked = os.open(directory / "asked", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            tally = TallyWriter(directory / f"{os.getpid()}.tally")  # the new file shows that the worker has started
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
