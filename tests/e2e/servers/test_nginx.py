# SPDX-License-Identifier: Apache-2.0
"""nginx as the server under observation.

The monitor counts as many responses as nginx's access log and stub_status report."""

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from harness.client import Client, request
from harness.load import wrk
from harness.monitor import Monitor, Snapshot
from harness.nginx import Nginx
from harness.observation import responses_by_kind
from harness.waiting import wait_until

Attach = Callable[..., Monitor]

LOCATIONS = """
    location = /ok { return 200 "ok"; }
    location = /empty { return 204; }
    location = /error { return 503; }
    location = /moved { return 301 /ok; }
    location /files/ { root %s; gzip on; gzip_types *; gzip_min_length 1; }
    location = /status { stub_status; }
"""


def drive(port: int) -> None:
    with Client(port) as client:
        for path, status in {"/ok": 200, "/empty": 204, "/error": 503, "/moved": 301, "/missing": 404}.items():
            for method in ("GET", "HEAD"):
                assert client.ask(request(path, method), method).status == status
        assert len(client.ask(request("/files/large")).body) == 3_000_000  # sendfile
        compressed = client.ask(request("/files/large", "GET", "Accept-Encoding: gzip"))
        assert compressed.headers[b"transfer-encoding"] == b"chunked"
        assert client.ask(request("/files/large", "GET", "Range: bytes=5-9")).status == 206
        several = client.ask(request("/files/large", "GET", "Range: bytes=0-0,1000000-2000000"))
        assert several.headers[b"content-type"].startswith(b"multipart/")
        changed = client.ask(request("/files/large", "HEAD"), "HEAD").headers[b"last-modified"].decode()
        assert client.ask(request("/files/large", "GET", f"If-Modified-Since: {changed}")).status == 304
        assert client.ask(request("/files/large", "POST", body=b"b" * 300_000)).status == 405
        client.send(request("/ok") * 50)
        assert [client.response().status for _ in range(50)] == [200] * 50
    with Client(port) as client:
        assert client.ask(request("/ok", version="1.0")).body == b"ok"


def requests_by_its_own_count(port: int) -> int:
    """Includes the request that asks for the count."""
    with Client(port) as client:
        found = re.search(rb"requests\n \d+ \d+ (\d+)", client.ask(request("/status")).body)
        assert found
        return int(found[1])


def by_kind(responses: Counter[str]) -> Counter[str]:
    """The logged responses, by the monitor's keys."""
    counts: Counter[str] = Counter()
    for key, count in responses.items():
        counts["(not found) 4xx" if key.endswith("404") else f"{key[:-2]}xx"] += count
    return counts


def settled(monitor: Monitor, total: int) -> Snapshot:
    monitor.wait_for(lambda s: (s["active_concurrent"], s["total_requests"]) == (0, total), f"a total of {total}")
    last = monitor.stop()
    assert (last["active_concurrent"], last["total_requests"]) == (0, total)
    assert last["undercount_by_cause"] == {}
    assert last["rejected_requests"] == 0
    return last


def test_every_kind_of_response(tmp_path: Path, attach: Attach) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files/large").write_bytes(bytes(range(100)) * 30_000)
    with Nginx(tmp_path / "nginx", LOCATIONS % tmp_path) as server:
        monitor = attach(server.pid)
        drive(server.port)
        total = requests_by_its_own_count(server.port)
        wait_until(lambda: server.answered().total() == total, "all responses are logged")
        last = settled(monitor, total)
        assert responses_by_kind(last) == by_kind(server.answered())
    assert last["failed_requests"] == 2
    assert last["aborted_requests"] == 0


def test_wrk(tmp_path: Path, attach: Attach) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files/small").write_bytes(b"small" * 100)
    with Nginx(tmp_path / "nginx", LOCATIONS % tmp_path, workers=2) as server:
        monitor = attach(server.pid)
        wrk(server.port, "/ok", 1, 32)
        wrk(server.port, "/files/small", 1, 32)

        def all_read() -> bool:
            # nginx sometimes sleeps while connections wait to be accepted. A new connection wakes it up.
            requests_by_its_own_count(server.port)
            return bool(monitor.next()["open_connections"] == 0)

        wait_until(all_read, "wrk's last requests have been read")
        last = settled(monitor, requests_by_its_own_count(server.port))
    assert last["total_requests"] > 2000
    assert last["peak_concurrent"] <= 32
