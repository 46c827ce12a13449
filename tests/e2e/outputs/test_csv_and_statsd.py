# SPDX-License-Identifier: Apache-2.0
"""CSV and StatsD, read and added up as their consumers do."""

import csv
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

from harness.client import Client, request
from harness.flavours import usual_flavour
from harness.monitor import BINARY, run_monitor
from harness.server import Server
from harness.statsd_receiver import Received, sending
from harness.statsd_server import StatsdServer
from harness.waiting import PATIENCE, wait_until

Start = Callable[..., Server]


@usual_flavour
def test_csv_is_a_history(shared_server: Server, tmp_path: Path) -> None:
    history = tmp_path / "history.csv"
    watch = [BINARY, "--pid", str(shared_server.pid), "--csv", "--watch", "--interval", "0.05"]
    for header in ([], ["--no-header"]):
        with history.open("a") as file:
            assert subprocess.run([*watch, "--count", "2", *header], stdout=file, timeout=PATIENCE).returncode == 0
    with history.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    assert history.read_text().count("time,pid,target,") == 1
    for row in rows:
        assert (row["pid"], row["target"]) == (str(shared_server.pid), f"127.0.0.1:{shared_server.port}")
        assert row["undercount"] == "0"
        assert float(row["memory_mb"]) > 1
    assert [row["time"] for row in rows] == sorted(row["time"] for row in rows)


def test_statsd(start_server: Start) -> None:
    server = start_server()
    with Received() as received, sending(server, f"127.0.0.1:{received.port}"), Client(server.port) as held:
        received.wait_for(lambda: "uvicorn.total_requests" in received.counters, "the first difference")
        held.send(request("/hold?gate=statsd"))
        server.wait_at_gate("GET /hold", 1)
        for target in ("/ok", "/users/1", "/fail"):
            with Client(server.port) as client:
                client.ask(request(target))
        received.wait_for(
            lambda: (
                received.counters["uvicorn.total_requests"] == 3
                and received.counters["uvicorn.failed_requests"] == 1
                and received.gauges["uvicorn.active_concurrent"] == 1
            ),
            "three requests, one failed, one in flight",
        )
        assert received.gauges["uvicorn.memory_mb"] > 1
        assert not [name for name in [*received.gauges, *received.counters] if "#" in name or "endpoint" in name]


def test_dogstatsd(start_server: Start) -> None:
    server = start_server()
    tags = f"#target:127.0.0.1:{server.port},pid:{server.pid}"
    with Received(socket.AF_INET6) as received, sending(server, f"[::1]:{received.port}", "--dogstatsd"):
        received.wait_for(lambda: f"uvicorn.total_requests{tags}" in received.counters, "the first difference")
        for target in ("/users/1", "/users/2", "/ok/a|b,c"):
            with Client(server.port) as client:
                client.ask(request(target))
        received.wait_for(
            lambda: received.counters[f"uvicorn.endpoint.completed{tags},method:GET,endpoint:/users/{{id}}"] == 2,
            "two requests of one endpoint",
        )
        received.wait_for(
            lambda: received.counters[f"uvicorn.endpoint.completed{tags},method:GET,endpoint:/ok/a\\x7cb\\x2cc"] == 1,
            "one request with separators in its path",
        )


def test_a_real_statsd_server(start_server: Start, tmp_path: Path) -> None:
    """In both forms at once, over many intervals: nothing is lost or counted twice, and the server accepts every
    line."""
    server = start_server()
    # statsd's names can't contain the colon before the port.
    tags = f";target=127.0.0.1{server.port};pid={server.pid}"
    with StatsdServer(tmp_path) as statsd, Client(server.port) as held:
        to = f"127.0.0.1:{statsd.port}"
        with sending(server, to), sending(server, to, "--dogstatsd"):

            def wait_for(total: int, failed: int, active: int) -> None:
                def met() -> bool:
                    counters, gauges = statsd.counters(), statsd.gauges()
                    return all(
                        counters["uvicorn.total_requests" + form] == total
                        and counters["uvicorn.failed_requests" + form] == failed
                        and gauges["uvicorn.active_concurrent" + form] == active
                        for form in ("", tags)
                    )

                wait_until(met, f"{total} requests, {failed} failed, {active} in flight")

            wait_until(
                lambda: {"uvicorn.total_requests", "uvicorn.total_requests" + tags} <= set(statsd.counters()),
                "the first differences",
            )
            held.send(request("/hold?gate=statsd"))
            server.wait_at_gate("GET /hold", 1)
            for target in ("/users/1", "/fail", "/users/2"):
                with Client(server.port) as client:
                    client.ask(request(target))
            wait_for(total=3, failed=1, active=1)
            server.open_gate("statsd")
            held.response()
            wait_for(total=4, failed=1, active=0)
        statsd.stop()
        counters, gauges = statsd.counters(), statsd.gauges()
    assert counters["statsd.bad_lines_seen"] == 0
    for form in ("", tags):
        assert counters["uvicorn.total_requests" + form] == 4
        assert counters["uvicorn.failed_requests" + form] == 1
        assert gauges["uvicorn.active_concurrent" + form] == 0
        assert gauges["uvicorn.memory_mb" + form] > 1
    assert counters[f"uvicorn.endpoint.completed{tags};method=GET;endpoint=-users-id"] == 2
    assert counters[f"uvicorn.endpoint.failed{tags};method=GET;endpoint=-fail"] == 1
    assert gauges[f"uvicorn.endpoint.active{tags};method=GET;endpoint=-hold"] == 0


def test_a_missing_statsd_server_is_reported_once(start_server: Start) -> None:
    server = start_server()
    with Received() as received:
        port = received.port
    with sending(server, f"127.0.0.1:{port}", "--count", "5") as process:
        assert process.wait(PATIENCE) == 0
        assert process.stderr
        assert process.stderr.read() == f"monitor: send to 127.0.0.1:{port}: Connection refused\n"


@usual_flavour
def test_statsd_with_an_unknown_host(shared_server: Server) -> None:
    ended = run_monitor("--pid", str(shared_server.pid), "--statsd", "nowhere.invalid:8125")
    assert ended.returncode == 1
    assert "look up nowhere.invalid" in ended.stderr
