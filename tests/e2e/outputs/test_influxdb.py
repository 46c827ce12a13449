# SPDX-License-Identifier: Apache-2.0
"""The line protocol, written to a real InfluxDB and queried back."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from harness.attached_engine import Engine
from harness.client import Client, request
from harness.debian_daemons import Daemon, fetch, influxdb
from harness.server import Server

Start = Callable[..., Server]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Daemon]:
    with influxdb(tmp_path) as daemon:
        fetch(daemon.url + "/query", urlencode({"q": "CREATE DATABASE monitor"}).encode())
        yield daemon


def query(daemon: Daemon, text: str) -> list[dict[str, object]]:
    answer = json.loads(fetch(daemon.url + "/query?" + urlencode({"db": "monitor", "q": text})))
    series = answer["results"][0].get("series", [])
    return [dict(zip(one["columns"], row, strict=True)) for one in series for row in one["values"]]


HOSTILE = [b"/a,b=c", b'/"q"', b"/ends\\", b"/\\,", b"/=", "/日本語".encode(), b"/\xff"]


def test_stored_figures_equal_the_counts(database: Daemon, start_server: Start, engine: Engine) -> None:
    server = start_server()
    engine.attach(server.pid)
    with Client(server.port) as held, Client(server.port) as client:
        held.send(request("/hold?gate=influx"))
        server.wait_at_gate("GET /hold", 1)
        for target in ("/ok", "/ok", "/users/1", "/fail"):
            with Client(server.port) as one:
                one.ask(request(target))
        shown = {"/hold", "/ok", "/users/{id}", "/fail"}
        for path in HOSTILE:
            with Client(server.port) as other:
                other.ask(b"GET /ok" + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        client.ask(request("/ok"))
        printed = engine.run("--influx", "--pid", server.pid)
        snapshot = engine.snapshot(server.pid)
    assert (printed.returncode, printed.stderr) == (0, "")
    fetch(database.url + "/write?db=monitor", printed.stdout.encode())

    [point] = query(database, "SELECT * FROM uvicorn")
    assert point["target"] == f"127.0.0.1:{server.port}"
    assert point["pid"] == str(server.pid)
    same = [name for name, value in snapshot.items() if isinstance(value, int) and name in point and name != "threads"]
    assert len(same) > 8
    assert {name: point[name] for name in same} == {name: snapshot[name] for name in same}
    assert point["active_concurrent"] == 1
    assert point["failed_requests"] == 1
    assert isinstance(point["cpu_percent"], int | float)

    points = {str(one["endpoint"]): one for one in query(database, "SELECT * FROM uvicorn_endpoint")}
    assert shown <= set(points)
    assert set(points) == {
        entry["path"].removesuffix("\\\\") + ("\\x5c" if entry["path"].endswith("\\\\") else "")
        for entry in snapshot["endpoints"]
    }
    assert points["/ok"]["completed"] == points["/ok"]["duration_count"] == 3
    assert points["/hold"]["active"] == 1
    [mean] = query(database, "SELECT sum(completed) AS completed FROM uvicorn_endpoint WHERE \"method\" = 'GET'")
    assert mean["completed"] == snapshot["total_requests"]
