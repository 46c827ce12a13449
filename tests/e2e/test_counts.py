# SPDX-License-Identifier: Apache-2.0
"""Totals, counts of each endpoint, failures and classes of status equal the application's own, under every uvicorn."""

from collections.abc import Callable

import pytest
from client import Client, chunked, request
from conftest import every_flavour
from figures import Observation, endpoint_of, figure_by_key
from load import wrk
from server import Server

Observe = Callable[..., Observation]


def drive_keep_alive(port: int) -> None:
    """One connection, every way in which a request and a response can be delimited."""
    with Client(port) as client:
        assert client.ask(request("/ok")).body == b"ok"
        assert client.ask(request("/ok?a=1&b=/x")).body == b"ok"
        assert client.ask(request("/echo", "POST", body=b"hello")).body == b"hello"
        large = b"G" * 300_000
        assert client.ask(request("/echo", "POST", body=large)).body == large
        head = request("/echo", "POST", "Transfer-Encoding: chunked")
        assert client.ask(head + chunked(b"GET / HTTP/1.1\r\n\r\n", b"y" * 70_000, b"z")).body[-1:] == b"z"
        assert client.ask(request("/ok", "HEAD"), "HEAD").headers[b"content-length"] == b"2"
        for code in (204, 304, 200, 201, 301, 403, 500, 503):
            assert client.ask(request(f"/status/{code}")).status == code
        assert client.ask(request("/chunked?n=500")).body.count(b"\n") == 500
        assert len(client.ask(request("/big")).body) == 8 << 20
        for number in (1, 22, 333):
            assert client.ask(request(f"/users/{number}", "PUT", body=b"{}")).status == 200
        assert client.ask(request("/users/8b0f7d6e-1b0a-4c56-9a0e-2f5a5f0b8a11", "PUT", body=b"{}")).status == 200


def drive_not_found(port: int) -> None:
    with Client(port) as client:
        for number in range(30):
            assert client.ask(request(f"/missing/{number:x}/page{number}")).status == 404


def drive_split(port: int) -> None:
    """Heads in pieces, bodies in pieces, several requests in one piece."""
    with Client(port) as client:
        assert client.send_bytewise(request("/ok", "GET", "X-Long: " + "v" * 300)).response().status == 200
        asked = request("/echo", "POST", body=b"in pieces")
        for cut in range(1, len(asked), 7):
            assert client.send(asked[:cut]).ask(asked[cut:]).body == b"in pieces"
    with Client(port) as client:
        client.send(request("/ok") + request("/users/5") + request("/chunked"))
        assert [client.response().status for _ in range(3)] == [200, 200, 200]
        client.send(request("/echo", "POST", body=b"one") + request("/echo", "POST", body=b"two"))
        assert [client.response().body for _ in range(2)] == [b"one", b"two"]


def drive_expect(port: int) -> None:
    with Client(port) as client:
        client.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        assert client.head()[0] == 100
        assert client.ask(b"body").body == b"body"


def drive_closing(port: int) -> None:
    """Connections that the server closes: because it is asked to, because of the version, because the app raised."""
    for asked in (request("/ok", "GET", "Connection: close"), request("/ok", version="1.0")):
        with Client(port) as client:
            assert [response.body for response in client.send(asked).responses()] == [b"ok"]
    with Client(port) as client:
        assert [response.status for response in client.send(request("/fail")).responses()][0] == 500
    with Client(port) as client:
        assert client.send(request("/cut")).rest().endswith(b"short")
    with Client(port) as client:
        client.send(request("/early", "POST", "Content-Length: 100000") + b"e" * 50_000)
        assert client.response().body == b"early"
        assert client.send(b"e" * 50_000).ask(request("/ok")).body == b"ok"


@every_flavour
def test_scripted_sockets(shared_server: Server, observe: Observe) -> None:
    observation = observe(shared_server)
    for drive in (drive_keep_alive, drive_not_found, drive_split, drive_expect, drive_closing):
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
    # wrk goes away with requests in flight: the application believes to have answered what nobody received.
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
