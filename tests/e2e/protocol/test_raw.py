# SPDX-License-Identifier: Apache-2.0
"""The monitor agrees with the wire about odd requests, under every uvicorn.

A request that was answered counts. One that the server's parser rejected counts as rejected. Nothing stays in
flight."""

from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from harness.client import Client, Response, request
from harness.monitor import Snapshot
from harness.observation import CLASSES, Observation, endpoint_of
from harness.raw_cases import CASES, GOOD, RawCase
from harness.server import FLAVOURS, ZTTP, Server
from harness.waiting import PATIENCE

Observe = Callable[..., Observation]


@pytest.fixture(scope="module", params=[*FLAVOURS, ZTTP], ids=str)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    # A case ends when the server closes the connection. If it keeps the connection, it closes it soon.
    directory = tmp_path_factory.mktemp(str(request.param))
    with Server(directory, request.param, "--timeout-keep-alive", "1") as running:
        yield running


def send(server: Server, case: RawCase) -> list[Response]:
    with Client(server.port) as client:
        try:
            for piece in case.pieces:
                client.send(piece)
            if case.finish:
                client.finish()
        except (BrokenPipeError, ConnectionResetError, OSError):
            pass  # the server has rejected it already
        return client.responses(*case.methods)


def figures(snapshot: Snapshot) -> Counter[str]:
    statuses = [endpoint["status"] for endpoint in snapshot["endpoints"]]
    return Counter(
        {
            "answered": sum(status[name] for status in statuses for name in CLASSES),
            "rejected": snapshot["rejected_requests"],
            "active": snapshot["active_concurrent"],
            "undercount": snapshot["undercount"],
        }
    )


def expected_change(case: RawCase, responses: list[Response]) -> Counter[str]:
    rejected = sum(response.rejected for response in responses)
    answered = len(responses) - rejected
    return Counter({"answered": answered, "rejected": rejected})


def check(server: Server, observation: Observation, case: RawCase, before: Counter[str]) -> str:
    """Sends the case and adds the expected counts to `before`. Returns a sentence if the monitor does not agree with
    the wire in the end."""
    responses = send(server, case)
    expected = before + expected_change(case, responses)
    try:
        observation.monitor.wait_for(lambda snapshot: figures(snapshot) == expected, case.name, patience=PATIENCE / 6)
        complaint = ""
    except AssertionError:
        wire = [(response.status, response.body[:40]) for response in responses]
        now = figures(observation.monitor.next())
        change = {name: count - before[name] for name, count in now.items() if count != before[name]}
        complaint = f"{case.name}: on the wire {wire}, in the monitor {change}"
        expected = now
    before.clear()
    before.update(expected)
    return complaint


def test_the_monitor_agrees_with_the_wire(server: Server, observe: Observe) -> None:
    observation = observe(server, interval=0.02)
    before: Counter[str] = Counter()
    complaints = [complaint for case in CASES if (complaint := check(server, observation, case, before))]
    assert not complaints, "\n".join(complaints)
    assert figures(observation.monitor.stop()) == before


# The beginning of a TLS handshake (RFC 8446 §4.1.2), and of HTTP/2 with prior knowledge (RFC 9113 §3.4).
CLIENT_HELLO = bytes.fromhex("160301007a010000760303") + bytes(range(32)) + b"\x20" + bytes(80)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000")


@pytest.mark.parametrize("data", [CLIENT_HELLO, PREFACE], ids=["TLS", "HTTP/2"])
def test_other_protocols_are_not_requests(server: Server, observe: Observe, data: bytes) -> None:
    observation = observe(server)
    rejected = sum(response.rejected for response in send(server, RawCase("", (data,), finish=True)))
    snapshot = observation.monitor.wait_for(
        lambda snapshot: snapshot["rejected_requests"] + snapshot["undercount"] >= rejected,
        "it is classified",
    )
    assert snapshot["total_requests"] == snapshot["active_concurrent"] == 0
    assert set(snapshot["undercount_by_cause"]) <= {"tls", "http2"}


def test_bytes_after_an_upgrade(server: Server, observe: Observe) -> None:
    """httptools drops them, and h11 answers them. They are an undercount, and the next request counts again.

    Debian's uvicorn answers such an upgrade with its own 400 and closes."""
    observation = observe(server)
    closes = server.flavour.uvicorn == "debian"
    with Client(server.port) as client:
        client.send(b"GET /raw HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n" + GOOD)
        client.response()
        if not closes:
            if server.flavour.http != "httptools":
                client.response()
            assert client.ask(request("/ok")).status == 200
    snapshot = observation.monitor.wait_idle()
    assert snapshot["undercount_by_cause"] == {"protocol": 1}
    assert snapshot["aborted_requests"] == snapshot["failed_requests"] == 0
    assert closes or endpoint_of(snapshot, "/ok")["status"]["2xx"] == 1


def test_resets_in_the_middle(server: Server, observe: Observe) -> None:
    observation = observe(server)
    for case in CASES:
        with Client(server.port) as client:
            try:
                for piece in case.pieces:
                    client.send(piece[: len(piece) // 2 or 1])
            except OSError:
                pass  # the server has rejected it already
            client.reset()
    observation.monitor.wait_for(lambda snapshot: snapshot["open_connections"] == 0, "all connections are gone")
    snapshot = observation.monitor.wait_idle()
    assert snapshot["failed_requests"] == 0
    assert snapshot["undercount_by_cause"] == {}
