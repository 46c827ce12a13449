# SPDX-License-Identifier: Apache-2.0
"""What a server counted by itself: its access log, whatever the format, or the wrapper's file."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

# Methods, so that text in quotes is not taken for a request.
METHOD = r"(?P<method>GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS)"
FORMATS = [
    re.compile(text)
    for text in (
        # uvicorn, gunicorn, granian, hypercorn, daphne: "GET /a HTTP/1.1" 200; 1.1 alone and no version too
        rf'"{METHOD} (?P<path>/\S*?)(?: (?:HTTP/)?1\.[01])?" (?P<status>\d{{3}})',
        # uvicorn's WebSockets: "WebSocket /a" [accepted]
        r'"WebSocket (?P<path>/\S*)" (?:\[accepted\]|(?P<status>\d{3}))',
        # daphne's: "WSCONNECTING /a"
        r'"WSCONNECTING (?P<path>/\S*)"',
        # tornado: 200 GET /a (127.0.0.1) 1.23ms
        rf"(?P<status>\d{{3}}) {METHOD} (?P<path>/\S*) \(",
        # chromadb's server in Rust, which logs no status
        rf"HTTP request with http\.method: {METHOD}, http\.uri: (?P<path>/[^\s,]*), "
        r"http\.route: (?P<unknown>.\(unknown)?",
    )
]
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Counted:
    method: str
    path: str
    status: int


def read_log(path: Path) -> "Counter[Counted]":
    """The requests of the log."""
    found: Counter[Counted] = Counter()
    for line in COLOURS.sub("", path.read_text(errors="replace")).splitlines():
        for match in filter(None, (pattern.search(line) for pattern in FORMATS)):
            named = match.groupdict()
            status = int(named.get("status") or (404 if named.get("unknown") else 101))
            key = Counted(named.get("method") or "GET", named["path"].partition("?")[0], status)
            found[key] += 1
            break
    return found


def pattern_of(template: str) -> re.Pattern[str]:
    """An endpoint's name as a pattern: /users/{id} stands for each user, (any) text for itself."""
    parts = re.split(r"(\{[^}]*\})", template)
    return re.compile("".join("[^/]+" if part.startswith("{") else re.escape(part) for part in parts))


def differences(own: "Counter[Counted]", endpoints: list[dict[str, object]]) -> list[str]:
    """What the endpoints' completed requests differ in from the server's own count.

    A path that got only 404 has no name, so that strangers' paths do not fill the table."""
    named: Counter[tuple[str, str]] = Counter()
    answered = {(entry.method, entry.path) for entry in own if entry.status != 404}
    for entry, count in own.items():
        if (entry.method, entry.path) in answered:
            named[entry.method, entry.path] += count
    expected: Counter[tuple[str, str]] = Counter()
    templates = [(str(endpoint["method"]), str(endpoint["path"])) for endpoint in endpoints]
    for (method, path), count in named.items():
        exact = (method, path)
        fitting = [one for one in templates if one[0] == method and pattern_of(one[1]).fullmatch(path)]
        expected[exact if exact in templates or not fitting else fitting[0]] += count
    actual = {
        (str(endpoint["method"]), str(endpoint["path"])): endpoint["completed"]
        for endpoint in endpoints
        if endpoint["path"] != "(not found)"
    }
    return [
        f"{method} {path}: {expected[method, path]} by the server's count, {actual.get((method, path), 0)} by monitor"
        for method, path in sorted({*expected, *actual})
        if expected[method, path] != actual.get((method, path), 0)
    ]
