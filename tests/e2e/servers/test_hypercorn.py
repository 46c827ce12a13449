# SPDX-License-Identifier: Apache-2.0
"""Hypercorn, which is not uvicorn and parses HTTP/1.1 with h11, with several processes and sockets."""

import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from harness.asgi_servers import SOMEWHERE, Hypercorn
from harness.client import Client, request
from harness.load import wrk
from harness.observation import Observation, endpoint_of
from harness.scripted_requests import DRIVES, drive_early
from harness.waiting import wait_until

Observe = Callable[..., Observation]


def connection_states(port: int) -> list[str]:
    """The states of the server's ends of its connections."""
    command = ["ss", "--no-header", "--tcp", "--numeric", f"sport = :{port}"]
    return [
        line.split()[0]
        for line in subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    ]


def test_counts(tmp_path: Path, observe: Observe) -> None:
    with Hypercorn(tmp_path) as server:
        observation = observe(server)
        for drive in DRIVES:
            if drive is drive_early:
                continue  # it closes before it has read the rest of such a body
            drive(server.port)
        wrk(server.port, "/users/1", 1, 16)
        snapshot = observation.settle()
        observation.assert_equal(snapshot, "1xx", "3xx", "4xx", "5xx")
        assert [worker["pid"] for worker in snapshot["workers"]] == server.workers()


def test_several_workers_at_several_sockets(tmp_path: Path, observe: Observe) -> None:
    held = 8
    with Hypercorn(tmp_path, workers=2, binds=(SOMEWHERE, SOMEWHERE)) as server, ExitStack() as stack:
        observation = observe(server)
        clients = [
            stack.enter_context(Client(port)).send(request("/hold?gate=both")) for port in server.ports * (held // 2)
        ]
        server.wait_at_gate("GET /hold", held)
        assert observation.monitor.next()["active_concurrent"] == held
        server.open_gate("both", held)
        assert [client.response().body for client in clients] == [b"held"] * held
        snapshot = observation.settle()
        observation.assert_equal(snapshot)
        assert snapshot["peak_concurrent"] == held
        assert sorted(int(address.rpartition(":")[2]) for address in snapshot["target"]["listen"]) == server.ports


def test_connections_without_a_request(tmp_path: Path, observe: Observe) -> None:
    """Hypercorn keeps a connection whose client has left until the idle timeout. From such a connection it has read a
    FIN and no request, before the attach and after it."""
    with Hypercorn(tmp_path) as server:
        Client(server.port).close()
        wait_until(lambda: connection_states(server.port) == ["CLOSE-WAIT"], "the FIN has arrived")
        with Client(server.port) as client:
            assert client.ask(request("/ok", "GET", "Connection: close")).status == 200
        observation = observe(server)
        Client(server.port).close()
        snapshot = observation.monitor.wait_for(lambda s: s["open_connections"] == 2, "both are open")
        assert (snapshot["active_concurrent"], snapshot["peak_concurrent"]) == (0, 0)
        for _ in range(3):
            snapshot = observation.monitor.next()
        assert snapshot["total_requests"] == snapshot["active_concurrent"] == 0
        assert snapshot["undercount_by_cause"] == {}


def test_rejected_requests(tmp_path: Path, observe: Observe) -> None:
    """Hypercorn's own 400 has no body and looks like one of the application. A request counts as rejected if our parser
    does not accept it either; otherwise it counts as a request with status 400."""
    with Hypercorn(tmp_path) as server:
        observation = observe(server)
        for data in (b"nonsense\r\n\r\n", b"GET /no-host HTTP/1.1\r\n\r\n"):
            with Client(server.port) as client:
                assert client.send(data).response().status == 400
        with Client(server.port) as client:
            assert client.ask(request("/ok")).status == 200
        snapshot = observation.monitor.wait_for(lambda s: s["total_requests"] == 2, "two requests")
        assert snapshot["rejected_requests"] == 1
        assert endpoint_of(snapshot, "/no-host")["status"]["4xx"] == 1
        assert endpoint_of(snapshot, "/ok")["status"]["2xx"] == 1
        assert snapshot["undercount_by_cause"] == {}
