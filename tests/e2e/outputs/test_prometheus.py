# SPDX-License-Identifier: Apache-2.0
"""Prometheus' own linter checks its text format, and the strictest parser available checks OpenMetrics."""

import urllib.request
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from harness.attached_engine import Engine
from harness.client import Client, request
from harness.debian_daemons import open_metrics_families, promtool
from harness.flavours import usual_flavour
from harness.monitor import run_monitor
from harness.server import USUAL, Server
from harness.serving import OPEN_METRICS, Serving
from harness.waiting import PATIENCE

Start = Callable[..., Server]


def samples(text: str) -> dict[str, float]:
    """Series as written → value."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


HOSTILE = [b'/"quoted"\\', b"/\xff\xfe", b'/{id}",endpoint="x', "/日本語".encode(), b"/\\n", b"/\xe2\x80\xa8"]


# These may differ between two snapshots although no request comes.
MOVING = {
    "uvicorn_cpu_seconds_total",
    "uvicorn_memory_bytes",
    "uvicorn_threads",
    "uvicorn_uptime_seconds",
    "uvicorn_observed_seconds",
    "uvicorn_open_connections",
}


def settled(text: str) -> dict[str, float]:
    return {series: value for series, value in samples(text).items() if series.partition("{")[0] not in MOVING}


def scraped(serving: Serving, accept: str) -> tuple[str, str]:
    """The content type and the text of the response to this Accept header."""
    asked = urllib.request.Request(serving.url + "/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(asked, timeout=PATIENCE) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def test_the_textfile_equals_what_is_served(start_server: Start, engine: Engine, tmp_path: Path) -> None:
    server = start_server(USUAL, workers=2)
    engine.attach(server.pid)
    with Client(server.port) as held, Client(server.port) as client:
        held.send(request("/hold?gate=file"))
        server.wait_at_gate("GET /hold", 1)
        for target in ("/ok", "/ok", "/users/1", "/users/2", "/status/404", "/status/201"):
            client.ask(request(target))
        client.ask(request("/ok", "PROPFIND"))
        for path in HOSTILE:
            with Client(server.port) as other:
                other.send(b"GET /status/200" + path + b" HTTP/1.1\r\nHost: x\r\n\r\n").response()
        engine.wait_for(server.pid, lambda s: s["active_concurrent"] == 1, "all but one have ended")
        printed = engine.run("--prometheus", "--pid", server.pid)
        with closing(Serving(tmp_path, "--pid", str(server.pid), "--pins", str(engine.pins))) as serving:
            plain = scraped(serving, "text/plain")
            open_metrics = scraped(serving, OPEN_METRICS)
    assert (printed.returncode, printed.stderr) == (0, "")
    promtool("check", "metrics", given=printed.stdout)
    promtool("check", "metrics", given=plain[1])
    assert {"http_server_active_requests", "uvicorn_requests", "target"} <= set(open_metrics_families(open_metrics[1]))
    assert plain[0] == "text/plain; version=0.0.4; charset=utf-8"
    assert open_metrics[0] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert settled(printed.stdout) == settled(plain[1]) == settled(open_metrics[1])
    found = samples(printed.stdout)
    of = f'target="127.0.0.1:{server.port}"'

    def series(name: str, endpoint: str, *more: str, method: str = "GET") -> float:
        labels = [of, f'http_request_method="{method}"', f'endpoint="{endpoint}"', *more]
        return found[f"{name}{{{','.join(labels)}}}"]

    count = "http_server_request_duration_seconds_count"
    assert series("http_server_active_requests", "/hold") == 1
    assert series("http_server_active_requests", "/ok") == 0
    assert series(count, "/ok", 'http_response_status_code="200"') == 2
    assert series(count, "/ok", 'http_response_status_code="200"', method="_OTHER") == 1
    assert series(count, "/users/{id}", 'http_response_status_code="200"') == 2
    assert (
        series("http_server_request_duration_seconds_bucket", "/ok", 'http_response_status_code="200"', 'le="+Inf"')
        == 2
    )
    assert found[f"uvicorn_requests_total{{{of}}}"] >= 7
    assert found[f"uvicorn_cpu_seconds_total{{{of}}}"] > 0
    assert found[f'uvicorn_undercount_total{{{of},cause="gap"}}'] == 0
    assert found[f"uvicorn_active_requests_peak{{{of}}}"] >= 1


@usual_flavour
def test_once_without_an_attach(shared_server: Server) -> None:
    printed = run_monitor("--pid", str(shared_server.pid), "--interval", "0.1", "--prometheus")
    assert (printed.returncode, printed.stderr) == (0, "")
    promtool("check", "metrics", given=printed.stdout)
    assert f'uvicorn_requests_total{{target="127.0.0.1:{shared_server.port}"}} 0' in printed.stdout.splitlines()
