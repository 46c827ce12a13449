# SPDX-License-Identifier: Apache-2.0
"""Gunicorn behind a load balancer that speaks the PROXY protocol: the header is no request, and hides none."""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from harness.asgi_servers import CURRENT, Daphne, Granian, Gunicorn, Hypercorn
from harness.client import Client, request
from harness.monitor import Snapshot
from harness.observation import Observation
from harness.proxy_header import CLIENT, HEADERS
from harness.server import USUAL, AppServer, Server

Observe = Callable[..., Observation]

UNUSUAL = {
    "a wrong address": b"PROXY TCP4 999.0.2.1 192.0.2.2 1234 80\r\n",
    "without ports": b"PROXY TCP4 192.0.2.1 192.0.2.2\r\n",
    "a wrong family": b"PROXY TCP5 192.0.2.1 192.0.2.2 1234 80\r\n",
    "lower case": b"proxy TCP4 192.0.2.1 192.0.2.2 1234 80\r\n",
    "a wrong command": b"\r\n\r\n\0\r\nQUIT\n\x2f\x11\0\x0c" + bytes(12),
}

APPLICATIONS = {"gthread": "wsgi_app:app", "asgi": "app:app"}


def names(snapshot: Snapshot) -> set[str]:
    return {f"{endpoint['method']} {endpoint['path']}".strip() for endpoint in snapshot["endpoints"]}


@pytest.mark.parametrize("worker_class", APPLICATIONS)
@pytest.mark.parametrize("header", ["v1", "v1 TCP6", "v2", "v2 IPv6", "v2 LOCAL", "v2 with TLVs"])
def test_the_requests_after_the_header_count(worker_class: str, header: str, tmp_path: Path, observe: Observe) -> None:
    options = ("--threads", "2", "--proxy-protocol", header.partition(" ")[0], "--proxy-allow-from", "*")
    application = APPLICATIONS[worker_class]
    with Gunicorn(tmp_path, CURRENT, *options, worker_class=worker_class, application=application) as server:
        observation = observe(server)
        for requests in (1, 5):
            for apart in (False, True):
                with Client(server.port) as client:
                    if apart:
                        client.send(HEADERS[header])
                    first = b"" if apart else HEADERS[header]
                    for index in range(requests):
                        asked = request("/ok", "POST", body=b"body") if index % 2 else request("/ok")
                        answer = client.ask((b"" if index else first) + asked)
                        assert answer.status == 200
                        if worker_class == "gthread" and header in ("v1", "v2") and not index:
                            assert answer.body == CLIENT.encode()  # the server has read the header
        snapshot = observation.settle()
        assert observation.tally().total() == 12
        observation.assert_equal(snapshot)
    assert names(snapshot) == {"GET /ok", "POST /ok"}


SERVERS: dict[str, Callable[[Path], AppServer]] = {
    "gunicorn": lambda path: Gunicorn(
        path, CURRENT, "--threads", "2", worker_class="gthread", application="wsgi_app:app"
    ),
    "gunicorn, asgi": lambda path: Gunicorn(path, CURRENT, worker_class="asgi"),
    "gunicorn that takes headers": lambda path: Gunicorn(
        path,
        CURRENT,
        *("--threads", "2", "--proxy-protocol", "auto", "--proxy-allow-from", "*"),
        worker_class="gthread",
        application="wsgi_app:app",
    ),
    "hypercorn": Hypercorn,
    "granian": Granian,
    "daphne": Daphne,
    "uvicorn": lambda path: Server(path, USUAL),
}


@pytest.mark.parametrize("name", SERVERS)
def test_what_the_server_rejects_is_no_request(name: str, tmp_path: Path, observe: Observe) -> None:
    """A header that the server does not take, in one piece with a request, before it, or in pieces: its own answer to
    these bytes is a rejection at most, and the total is the application's."""
    with SERVERS[name](tmp_path) as server:
        observation = observe(server)
        for header in (HEADERS | UNUSUAL).values():
            for pieces in (
                [header + request("/ok")],
                [header, request("/ok")],
                [header[:9], header[9:] + request("/ok")],
            ):
                with Client(server.port) as client, suppress(OSError):
                    for piece in pieces:
                        client.send(piece)
                        time.sleep(0.02)  # so that the server reads them apart
                    client.finish()
                    client.rest()
        with Client(server.port) as client:
            assert client.ask(request("/ok")).status == 200
        snapshot = observation.settle()
        observation.assert_equal(snapshot)
