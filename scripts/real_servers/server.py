# SPDX-License-Identifier: Apache-2.0
"""What the script has to know of a server: one Server is one row of servers.py."""

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from harness.client import Client

SERIAL = itertools.count(1)

# Values that a server chose at its start, for "{name}" in the paths below.
Values = dict[str, str]


@dataclass(frozen=True)
class Request:
    path: str
    method: str = "GET"
    body: Any = None  # sent as JSON, in which "<serial>" is a number that no other request has
    fields: tuple[str, ...] = ()

    def data(self, values: Values, *fields: str) -> bytes:
        """The bytes of the request."""
        text = "" if self.body is None else json.dumps(self.body).replace('"<serial>"', str(next(SERIAL)))
        body = text.replace("<turn>", values.get("turn", "")).encode()
        lines = [
            f"{self.method} {self.path.format(**values)} HTTP/1.1",
            f"Host: 127.0.0.1:{values['port']}",
            "Accept: application/json, text/event-stream, */*",
            *(line.format(**values) for line in self.fields),
            *fields,
        ]
        if self.method == "POST":
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        return "\r\n".join([*lines, "", ""]).encode() + body

    def ask(self, values: Values) -> Any:
        """Sends the request on a connection of its own. Returns the answer's JSON, or its text."""
        with Client(int(values["port"])) as client:
            answer = client.ask(self.data(values, "Connection: close"), self.method)
        if answer.status >= 400:
            raise OSError(f"{self.method} {self.path} was answered with {answer.status}: {answer.body[:200]!r}")
        try:
            return json.loads(answer.body)
        except ValueError:
            return answer.body.decode(errors="replace")


def post(path: str, body: Any, *fields: str) -> Request:
    return Request(path, "POST", body, fields)


@dataclass(frozen=True)
class Server:
    name: str
    requirements: tuple[str, ...]  # of pip; the first is the server, whose version is shown
    command: str  # as its users start it, by a shell's rules; {port} is free, {second} and {third} are too
    requests: tuple[Request, ...]  # ordinary ones
    files: dict[str, str] = field(default_factory=dict)  # in the directory where it runs; <port> is its port
    environment: dict[str, str] = field(default_factory=dict)
    log: str | None = "log"  # where its access log is: its output, or a file; None: the wrapper's count
    ready: str = "/"  # a path that is answered once the server has started, with whatever status
    start_before: Callable[[Values], None] | None = None  # what it needs, before it starts: adds values
    prepare: Callable[[Values], None] | None = None  # before the monitor, once it has started: adds values
    slow: Request | None = None  # takes about a second; several are in flight at the same time
    stream: Request | None = None  # its response comes in pieces
    before_stream: Request | None = None  # with the same {turn}
    websocket: str | None = None
    greeting: str | None = None  # what a client sends first on a WebSocket
