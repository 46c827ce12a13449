# SPDX-License-Identifier: Apache-2.0
"""Requests in a fixed order with the responses that they must get, for any server of app.py.

They cover every way to delimit and to split a request and a response."""

from harness.client import Address, Client, chunked, request


def drive_keep_alive(address: Address) -> None:
    """One connection, with every way to delimit a request and a response."""
    with Client(address) as client:
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


def drive_not_found(address: Address) -> None:
    with Client(address) as client:
        for number in range(30):
            assert client.ask(request(f"/missing/{number:x}/page{number}")).status == 404


def drive_split(address: Address) -> None:
    """Heads in pieces, bodies in pieces, several requests in one piece."""
    with Client(address) as client:
        assert client.send_bytewise(request("/ok", "GET", "X-Long: " + "v" * 300)).response().status == 200
        asked = request("/echo", "POST", body=b"in pieces")
        for cut in range(1, len(asked), 7):
            assert client.send(asked[:cut]).ask(asked[cut:]).body == b"in pieces"
    with Client(address) as client:
        client.send(request("/ok") + request("/users/5") + request("/chunked"))
        assert [client.response().status for _ in range(3)] == [200, 200, 200]
        client.send(request("/echo", "POST", body=b"one") + request("/echo", "POST", body=b"two"))
        assert [client.response().body for _ in range(2)] == [b"one", b"two"]


def drive_expect(address: Address) -> None:
    with Client(address) as client:
        client.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        assert client.head()[0] == 100
        assert client.ask(b"body").body == b"body"


def drive_closing(address: Address) -> None:
    """Connections that the server closes: because of the request, because of the version, because the application
    raised."""
    for asked in (request("/ok", "GET", "Connection: close"), request("/ok", version="1.0")):
        with Client(address) as client:
            assert [response.body for response in client.send(asked).responses()] == [b"ok"]
    with Client(address) as client:
        statuses = [response.status for response in client.send(request("/fail")).responses()]
        assert statuses[0] == 500
    with Client(address) as client:
        assert client.send(request("/cut")).rest().endswith(b"short")


def drive_early(address: Address) -> None:
    """The response comes before the request's body, which is still sent."""
    with Client(address) as client:
        client.send(request("/early", "POST", "Content-Length: 100000") + b"e" * 50_000)
        assert client.response().body == b"early"
        assert client.send(b"e" * 50_000).ask(request("/ok")).body == b"ok"


DRIVES = (drive_keep_alive, drive_not_found, drive_split, drive_expect, drive_closing, drive_early)
