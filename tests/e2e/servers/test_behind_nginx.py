# SPDX-License-Identifier: Apache-2.0
"""Uvicorn behind nginx, over TCP and a Unix socket.

By default nginx uses HTTP/1.0 and a new connection for each request; it can also keep its connections."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness.client import Client, request
from harness.load import wrk
from harness.monitor import Monitor
from harness.nginx import Nginx
from harness.observation import Observation, endpoint_of, figure_by_key
from harness.scripted_requests import drive_keep_alive, drive_not_found, drive_split
from harness.server import FASTEST, Flavour, Server
from harness.waiting import wait_until
from harness.websocket import TEXT, WebSocket

Start = Callable[..., Server]
Observe = Callable[..., Observation]
Attach = Callable[..., Monitor]

UPSTREAM = """
    location / { proxy_pass http://%s; }
    location /kept/ {
      rewrite ^/kept(/.*) $1 break;
      proxy_pass http://kept; proxy_http_version 1.1; proxy_set_header Connection "";
    }
    location /ws {
      proxy_pass http://%s; proxy_http_version 1.1;
      proxy_set_header Connection $http_connection; proxy_set_header Upgrade $http_upgrade;
    }
"""


@pytest.fixture(params=["tcp", "unix"])
def server(request: pytest.FixtureRequest, flavour: Flavour, short_directory: Path, start_server: Start) -> Server:
    if request.param == "tcp":
        return start_server(flavour)
    return start_server(flavour, unix=short_directory / "server.sock")


def nginx_before(server: Server, directory: Path) -> Nginx:
    upstream = f"127.0.0.1:{server.address}" if isinstance(server.address, int) else f"unix:{server.address}"
    kept = f"upstream kept {{ server {upstream}; keepalive 16; keepalive_requests 100000; }}"
    place = upstream if isinstance(server.address, int) else f"{upstream}:"
    return Nginx(directory / "nginx", UPSTREAM % (place, place), http=kept)


@pytest.mark.parametrize("flavour", FASTEST, ids=str)
def test_counts(server: Server, tmp_path: Path, observe: Observe, attach: Attach) -> None:
    """nginx is observed too: its requests to uvicorn do not count as requests to nginx."""
    observation = observe(server)
    with nginx_before(server, tmp_path) as nginx:
        in_front = attach(nginx.pid)
        for drive in (drive_keep_alive, drive_not_found, drive_split):
            drive(nginx.port)
        for target in ("/users/1", "/kept/users/1"):
            wrk(nginx.port, target, 1, 8)
        with WebSocket(nginx.port) as client:
            assert client.echoes(TEXT, request("/ok"))
            assert observation.monitor.next()["active_concurrent"] == 1
        wait_until(lambda: server.tally().total("running") == 0, "the application is done")
        snapshot = observation.settle()
        in_front.wait_for(lambda s: s["open_connections"] == 0, "all clients of nginx have left")
        before_it = in_front.stop()
        assert before_it["total_requests"] == nginx.answered().total()
        assert before_it["active_concurrent"] == 0
        assert before_it["undercount_by_cause"] == {}
    # wrk leaves with requests in flight. nginx then leaves uvicorn, which believes that it has answered.
    observation.assert_equal(snapshot, "3xx", "4xx", "5xx")
    status = endpoint_of(snapshot, "/users/{id}")["status"]
    assert status["2xx"] + status["none"] == observation.tally().of("GET /users/{id}")
    assert status["none"] <= 16
    assert snapshot["failed_requests"] == observation.tally().total("5xx")


@pytest.mark.parametrize("flavour", FASTEST[1:], ids=str)
def test_clients_that_leave(server: Server, tmp_path: Path, observe: Observe) -> None:
    """nginx closes its connection to uvicorn when the client of a waiting request has left."""
    held, leaving = 8, 5
    observation = observe(server)
    with nginx_before(server, tmp_path) as nginx, ExitStack() as stack:
        clients = [
            stack.enter_context(Client(nginx.port)).send(request(f"{prefix}/hold?gate=nginx"))
            for prefix in ("", "/kept") * (held // 2)
        ]
        server.wait_at_gate("GET /hold", held)
        for client in clients[:leaving]:
            client.close()
        snapshot = observation.monitor.wait_for(lambda s: s["active_concurrent"] == held - leaving, "they left")
        assert (snapshot["aborted_requests"], snapshot["failed_requests"]) == (leaving, 0)
        server.open_gate("nginx", held)
        assert [client.response().body for client in clients[leaving:]] == [b"held"] * (held - leaving)
        wait_until(lambda: server.tally().total("running") == 0, "the application is done")
        snapshot = observation.settle()
    assert figure_by_key(snapshot, "2xx", {"GET /hold"}) == {"GET /hold": held - leaving}
    assert snapshot["undercount_by_cause"] == {}
