# SPDX-License-Identifier: Apache-2.0
"""docs/integrations.md: its commands run as they stand there, its configuration by the programs that it is for. Only
ports and directories are replaced by the tests' own."""

import csv
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from attached import Engine
from client import Client, request
from debian import Daemon, fetch, influxdb, program, promtool
from monitor import BINARY
from server import ROOT, Server
from test_serve import Serving
from waiting import PATIENCE, wait_until

PAGE = (ROOT / "docs/integrations.md").read_text()
# What is said before a block → the block.
COMMANDS: dict[str, str] = dict(re.findall(r"^([A-Z][^\n]*):\n\n```sh\n(.*?)\n```$", PAGE, re.MULTILINE | re.DOTALL))
FILES: dict[str, str] = dict(
    re.findall(r"`([^`\n]+)`:\n\n```(?:yaml|cron)\n(.*?\n)```$", PAGE, re.MULTILINE | re.DOTALL)
)
QUERIES = re.findall(r"```promql\n(.*?)\n```", PAGE, re.DOTALL)[0].splitlines()


class Shell:
    """Types commands in a directory of its own, beside a server of which four requests have ended, one of these failed,
    and one is in flight."""

    def __init__(self, directory: Path, server: Server, pins: str) -> None:
        self.directory = directory
        self.server = server
        self.pins = pins
        (directory / "bin").mkdir()
        (directory / "bin/monitor").symlink_to(BINARY)
        # No other server of this machine is to be found.
        (directory / "logs").mkdir()
        (directory / "logs/proxy.pid").write_text(f"{server.pid}\n")

    def type(self, command: str, shell: str = "bash", **environment: str) -> subprocess.CompletedProcess[str]:
        path = f"{self.directory}/bin:{os.environ['PATH']}"
        return subprocess.run(
            [shell, "-c", command], cwd=self.directory, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=PATIENCE, env=os.environ | {"PATH": path, "MONITOR_PINS": self.pins} | environment,
        )  # fmt: skip

    def said(self, command: str, **environment: str) -> str:
        ended = self.type(command, **environment)
        assert (ended.returncode, ended.stderr) == (0, ""), ended
        return ended.stdout


@pytest.fixture
def shell(tmp_path: Path, start_server: Callable[..., Server], engine: Engine) -> Iterator[Shell]:
    server = start_server()
    directory = tmp_path / "here"
    directory.mkdir()
    shell = Shell(directory, server, str(engine.pins))
    assert f"pid {server.pid}" in shell.said(COMMANDS["First, the server is attached"])
    with Client(server.port) as held:
        for target in ("/ok", "/users/1", "/users/2", "/fail"):
            with Client(server.port) as client:
                client.ask(request(target))
        held.send(request("/hold?gate=never"))
        server.wait_at_gate("GET /hold", 1)
        yield shell


def test_all_of_the_page_is_here() -> None:
    source = Path(__file__).read_text()
    assert PAGE.count("```sh\n") == len(COMMANDS)
    assert PAGE.count("```yaml\n") + PAGE.count("```cron\n") == len(FILES)
    assert [name for name in [*COMMANDS, *FILES] if f'"{name}"' not in source] == []


def test_every_metric_is_on_the_page(shell: Shell) -> None:
    printed = shell.said("monitor --prometheus")
    names = set(re.findall(r"^# TYPE (\S+)", printed, re.MULTILINE))
    assert (
        set(re.findall(r"`((?:uvicorn|http_server|target)_\w+)`(?=[^\n]*\| (?:gauge|counter|histogram) \|)", PAGE))
        == names
    )


def cron_command(name: str, here: Path) -> str:
    """What cron runs of the file's last line, in our directory instead of the system's."""
    *settings, line = FILES[name].splitlines()
    assert [setting.partition("=")[0] for setting in settings] == ["PATH"]
    *when, user, command = line.split(" ", 6)
    assert (when, user) == (["*"] * 5, "root")
    assert "%" not in command  # cron's newline
    return re.sub(r"^cd \S+", f"cd {here}", command)


def test_cron(shell: Shell) -> None:
    for name, made in (("/etc/cron.d/uvicorn-metrics", "uvicorn.prom"), ("/etc/cron.d/uvicorn-history", "uvicorn.csv")):
        for _ in range(2):
            ended = shell.type(cron_command(name, shell.directory), shell="sh")
            assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
        assert (shell.directory / made).stat().st_size
    promtool("check", "metrics", given=(shell.directory / "uvicorn.prom").read_text())
    with (shell.directory / "uvicorn.csv").open(newline="") as file:
        assert [row["total_requests"] for row in csv.DictReader(file)] == ["4", "4"]


def test_csv(shell: Shell) -> None:
    for _ in range(3):
        assert shell.said(COMMANDS["A line more in a file, whose first one is the header"]) == ""
    with (shell.directory / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["failed_requests"] for row in rows] == ["1", "1", "1"]


def test_jq(shell: Shell) -> None:
    assert shell.said(COMMANDS["Endpoints by failures, most first"]) == "1 GET /fail\n"
    assert shell.said(COMMANDS["The share of requests that failed, in percent"]) == "25\n"
    assert shell.type(COMMANDS["A check that fails when something waits or anything failed"]).returncode == 1


def test_influxdb(shell: Shell) -> None:
    with influxdb(shell.directory) as daemon:
        ours = {name: command.replace("http://127.0.0.1:8086", daemon.url) for name, command in COMMANDS.items()}
        assert "error" not in shell.said(ours["A database for it"])
        assert shell.said(ours["A sample into it"]) == ""
        assert json.loads(shell.said(ours["What it holds"]))[1:] == [4, 1]


class Api(BaseHTTPRequestHandler):
    """Takes what Datadog's /api/v2/series takes, by its reference."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        right = self.path == "/api/v2/series" and self.headers["DD-API-KEY"] == "key"
        for series in body["series"]:
            [point] = series["points"]
            right = (
                right
                and series["type"] in (0, 1, 2, 3)
                and re.fullmatch(r"[a-zA-Z][\w.]*", series["metric"]) is not None
            )
            right = right and isinstance(point["timestamp"], int) and isinstance(point["value"], int | float)
            right = right and all(isinstance(tag, str) for tag in series["tags"])
        if right:
            self.server.taken.append(body)  # type: ignore[attr-defined]
        self.send_response(202 if right else 400)
        self.end_headers()
        self.wfile.write(b'{"errors":[]}')

    def log_message(self, *_: object) -> None:
        pass


def test_datadog(shell: Shell) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as api:
        taken: list[dict[str, Any]] = []
        api.taken = taken  # type: ignore[attr-defined]
        thread = threading.Thread(target=api.serve_forever)
        thread.start()
        try:
            command = COMMANDS["A sample to Datadog's API, without an agent"]
            ours = command.replace("https://api.${DD_SITE:-datadoghq.com}", f"http://127.0.0.1:{api.server_port}")
            assert ours != command
            assert shell.said(ours, DD_API_KEY="key") == '{"errors":[]}'
        finally:
            api.shutdown()
            thread.join()
    [body] = taken
    values = {series["metric"]: series["points"][0]["value"] for series in body["series"]}
    assert values["uvicorn.total_requests"] == 4
    assert values["uvicorn.active_concurrent"] == 1
    assert body["series"][0]["tags"] == [f"target:127.0.0.1:{shell.server.port}"]


def test_alert_rules(tmp_path: Path) -> None:
    """What makes them fire, and what does not: by Prometheus' own tests for them."""
    (tmp_path / "uvicorn.rules.yml").write_text(FILES["uvicorn.rules.yml"])
    shutil.copy(Path(__file__).with_name("alerts.yml"), tmp_path)
    assert set(re.findall(r"alert: (\w+)", FILES["uvicorn.rules.yml"])) == set(
        re.findall(r"alertname: (\w+)", (tmp_path / "alerts.yml").read_text())
    )
    promtool("test", "rules", str(tmp_path / "alerts.yml"))


def ask(daemon: Daemon, query: str) -> list[tuple[dict[str, str], float]]:
    answer = json.loads(fetch(daemon.url + "/api/v1/query?" + urlencode({"query": query})))
    return [(one["metric"], float(one["value"][1])) for one in answer["data"]["result"]]


def test_prometheus(shell: Shell, tmp_path: Path) -> None:
    directory = tmp_path / "prometheus"
    directory.mkdir()
    configuration, rules = FILES["prometheus.yml"], FILES["uvicorn.rules.yml"]
    with ExitStack() as stack:
        serving = Serving(tmp_path, "--pid", str(shell.server.pid), "--pins", shell.pins)
        stack.callback(serving.stop)
        ours = configuration.replace("127.0.0.1:9464", f"127.0.0.1:{serving.port}")
        assert ours != configuration
        (directory / "prometheus.yml").write_text(
            "global: {scrape_interval: 200ms, evaluation_interval: 200ms}\n" + ours
        )
        (directory / "uvicorn.rules.yml").write_text(rules)
        promtool("check", "rules", str(directory / "uvicorn.rules.yml"))
        promtool("check", "config", str(directory / "prometheus.yml"))
        command = [program("prometheus"), "--config.file=prometheus.yml", "--storage.tsdb.path=data",
                   "--web.listen-address=127.0.0.1:0"]  # fmt: skip
        daemon = stack.enter_context(Daemon(directory, command, "/-/ready"))

        wait_until(lambda: ask(daemon, "uvicorn_requests_total"), "the first scrape")
        assert [value for _, value in ask(daemon, 'up{job="uvicorn"}')] == [1]
        [(labels, value)] = ask(daemon, "uvicorn_requests_total")
        assert (labels["target"], value) == (f"127.0.0.1:{shell.server.port}", 4)
        by_endpoint = ask(daemon, "sum by (endpoint) (http_server_request_duration_seconds_count)")
        assert {one["endpoint"]: value for one, value in by_endpoint} == {"/ok": 1, "/users/{id}": 2, "/fail": 1}
        by_status = ask(daemon, "sum by (http_response_status_code) (http_server_request_duration_seconds_count)")
        assert {one["http_response_status_code"]: value for one, value in by_status} == {"200": 3, "500": 1}
        assert [value for _, value in ask(daemon, "sum(http_server_active_requests)")] == [1]
        with Client(shell.server.port) as client:
            for _ in range(20):
                client.ask(request("/ok"))
        wait_until(lambda: ask(daemon, "uvicorn_requests_total")[0][1] == 24, "twenty more")
        [rates, quantiles] = QUERIES
        wait_until(lambda: {one["endpoint"]: value for one, value in ask(daemon, rates)}.get("/ok", 0) > 0, "a rate")
        wait_until(lambda: any(0 < value < 10 for _, value in ask(daemon, quantiles)), "a quantile")
        alerts = json.loads(fetch(daemon.url + "/api/v1/rules"))["data"]["groups"][0]["rules"]
        assert len(alerts) == rules.count("- alert:")
        wait_until(
            lambda: all(
                rule["health"] == "ok"
                for rule in json.loads(fetch(daemon.url + "/api/v1/rules"))["data"]["groups"][0]["rules"]
            ),
            "every rule was evaluated",
        )
