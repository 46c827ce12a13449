# SPDX-License-Identifier: Apache-2.0
"""Totals, counts per endpoint, failures and status classes equal the application's, under every uvicorn."""

from collections.abc import Callable

import pytest

from harness.client import Client, request
from harness.flavours import every_flavour
from harness.load import wrk
from harness.observation import Observation, endpoint_of, figure_by_key
from harness.scripted_requests import DRIVES
from harness.server import Server

Observe = Callable[..., Observation]


@every_flavour
def test_scripted_sockets(shared_server: Server, observe: Observe) -> None:
    observation = observe(shared_server)
    for drive in DRIVES:
        drive(shared_server.port)
    snapshot = observation.settle()
    observation.assert_equal(snapshot)
    tally = observation.tally()
    assert snapshot["failed_requests"] == tally.total("5xx") + tally.of("GET /cut")
    assert endpoint_of(snapshot, "/cut")["failed"] == 1
    assert endpoint_of(snapshot, "/users/{id}", "PUT")["completed"] == 4
    assert snapshot["aborted_requests"] == 0
    assert snapshot["rejected_requests"] == snapshot["refused_requests"] == 0


@every_flavour
def test_wrk(shared_server: Server, observe: Observe) -> None:
    observation = observe(shared_server)
    wrk(shared_server.port, "/ok", 1)
    wrk(shared_server.port, "/users/12345?verbose=1", 1, 3)
    snapshot = observation.settle()
    observation.assert_equal(snapshot, "1xx", "3xx", "4xx", "5xx")
    assert snapshot["total_requests"] > 500
    # wrk leaves with requests in flight, so the application believes that it answered requests that got no response.
    started = observation.tally().by_key()
    answered = figure_by_key(snapshot, "2xx", set(started))
    unanswered = figure_by_key(snapshot, "none", set(started))
    aborted = figure_by_key(snapshot, "aborted", set(started))
    for key, count in started.items():
        assert answered[key] + unanswered.get(key, 0) == count
        assert unanswered.get(key, 0) <= aborted.get(key, 0) <= 16
    assert snapshot["failed_requests"] == 0
    assert snapshot["peak_concurrent"] <= 16


@every_flavour
def test_one_connection_after_another(shared_server: Server, observe: Observe) -> None:
    observation = observe(shared_server)
    for _ in range(300):
        with Client(shared_server.port) as client:
            assert client.ask(request("/ok", "GET", "Connection: close")).status == 200
    snapshot = observation.settle()
    observation.assert_equal(snapshot)
    assert snapshot["peak_concurrent"] == 1
    assert snapshot["aborted_requests"] == snapshot["failed_requests"] == 0


@pytest.mark.parametrize("host", ["::1", "::"])
def test_ipv6(host: str, start_server: Callable[..., Server], observe: Observe) -> None:
    server = start_server(host=host)
    observation = observe(server)
    for _ in range(10):
        with Client(server.port, "::1") as client:
            assert client.ask(request("/users/6")).status == 200
    snapshot = observation.settle()
    observation.assert_equal(snapshot)
    assert snapshot["target"]["listen"] == [f"[{host}]:{server.port}"]
