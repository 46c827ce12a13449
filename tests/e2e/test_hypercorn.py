# SPDX-License-Identifier: Apache-2.0
"""Hypercorn, which speaks HTTP/1.1 by h11 without being uvicorn, in several processes and at several sockets."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from client import Client, request
from figures import Observation, endpoint_of
from load import wrk
from other_servers import SOMEWHERE, Hypercorn
from scripted import DRIVES, drive_early

Observe = Callable[..., Observation]


def test_counts(tmp_path: Path, observe: Observe) -> None:
    with Hypercorn(tmp_path) as server:
        observation = observe(server)
        for drive in DRIVES:
            if drive is drive_early:
                continue  # it closes instead of reading the rest of such a body
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


def test_what_it_turns_down(tmp_path: Path, observe: Observe) -> None:
    """Its own 400 has no body, so it can't be told from an application's: rejected is what was no request to our parser
    either; what was one counts as a request that got a 400."""
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
