# SPDX-License-Identifier: Apache-2.0
"""docs/integrations.md: its commands run as written, and the programs that it configures accept the configuration.

Only ports and directories are replaced by the tests' own."""

import csv
import json
import math
import os
import re
import shutil
import subprocess
import urllib.error
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from urllib.parse import urlencode

import pytest

from harness import grafana
from harness.api_stub import datadog, grafana_api
from harness.attached_engine import Engine
from harness.client import Client, request
from harness.debian_daemons import Daemon, fetch, influxdb, open_metrics_families, program, promtool
from harness.monitor import BINARY
from harness.network import own_network
from harness.private_proc import OwnProc
from harness.server import ROOT, Server, tree
from harness.serving import OPEN_METRICS, Serving
from harness.statsd_server import StatsdServer
from harness.waiting import PATIENCE, stopped_by_sigterm, wait_until
from harness.websocket import CLOSE, WebSocket, frame

PAGE = (ROOT / "docs/integrations.md").read_text()
# The text before a block → the block.
COMMANDS: dict[str, str] = dict(re.findall(r"^([A-Z][^\n]*):\n\n```sh\n(.*?)\n```$", PAGE, re.MULTILINE | re.DOTALL))
FILES: dict[str, str] = dict(
    re.findall(r"`([^`\n]+)`:\n\n```(?:yaml|cron)\n(.*?\n)```$", PAGE, re.MULTILINE | re.DOTALL)
)
# Commands that run until they are stopped. Those for the service need a machine with systemd: scripts/boot-test.sh.
RUNNING = [
    line
    for language, block in re.findall(r"^```(\w*)\n(.*?)\n```$", PAGE, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
    if not language and not line.startswith(("systemctl ", "journalctl "))
]
QUERIES = re.findall(r"```promql\n(.*?)\n```", PAGE, re.DOTALL)[0].splitlines()


class Shell:
    """Runs commands in a directory of its own, beside a server with four ended requests, one of which failed, and one
    in flight."""

    def __init__(self, directory: Path, server: Server, pins: str) -> None:
        self.directory = directory
        self.server = server
        self.pins = pins
        (directory / "bin").mkdir()
        (directory / "bin/monitor").symlink_to(BINARY)
        # The commands must find no other server of this machine.
        (directory / "logs").mkdir()
        (directory / "logs/proxy.pid").write_text(f"{server.pid}\n")

        path = f"{directory}/bin:{os.environ['PATH']}"
        self._environment = os.environ | {"PATH": path, "MONITOR_PINS": pins}

    def type(self, command: str, shell: str = "bash", **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [shell, "-c", command],
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            env=self._environment | environment,
        )

    def running(self, command: str, under: tuple[str, ...] = ()) -> AbstractContextManager["subprocess.Popen[bytes]"]:
        process = subprocess.Popen(
            [*under, "bash", "-c", f"exec {command}"],
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            env=self._environment,
        )
        return stopped_by_sigterm(process)

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


def test_every_command_of_the_page_is_tested() -> None:
    source = Path(__file__).read_text()
    assert PAGE.count("```sh\n") == len(COMMANDS)
    assert PAGE.count("```yaml\n") + PAGE.count("```cron\n") == len(FILES)
    assert len(RUNNING) == 4
    assert [name for name in [*COMMANDS, *FILES] if f'"{name}"' not in source] == []


def test_every_metric_is_on_the_page(shell: Shell) -> None:
    printed = shell.said("monitor --prometheus")
    names = set(re.findall(r"^# TYPE (\S+)", printed, re.MULTILINE))
    assert (
        set(re.findall(r"`((?:uvicorn|http_server|target)_\w+)`(?=[^\n]*\| (?:gauge|counter|histogram) \|)", PAGE))
        == names
    )


def cron_command(name: str, here: Path) -> str:
    """The command of the file's last line, with our directory in place of the system's."""
    *settings, line = FILES[name].splitlines()
    assert [setting.partition("=")[0] for setting in settings] == ["PATH"]
    *when, user, command = line.split(" ", 6)
    assert (when, user) == (["*"] * 5, "root")
    assert "%" not in command  # cron would replace it by a newline
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
        assert shell.said(COMMANDS["One more line in a file whose first line is the header"]) == ""
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


def test_datadog(shell: Shell) -> None:
    command = COMMANDS["A sample to Datadog's API, without an agent"]
    with datadog("key") as api:
        ours = command.replace("https://api.${DD_SITE:-datadoghq.com}", api.url)
        assert ours != command
        assert shell.said(ours, DD_API_KEY="key") == '{"errors":[]}', api.wrong
    [body] = api.taken
    values = {series["metric"]: series["points"][0]["value"] for series in body["series"]}
    assert values["uvicorn.total_requests"] == 4
    assert values["uvicorn.active_concurrent"] == 1
    assert body["series"][0]["tags"] == [f"target:127.0.0.1:{shell.server.port}"]


def test_sending_the_dashboard_to_grafana(shell: Shell) -> None:
    command = COMMANDS["By Grafana's API, in this page's directory, with a service account's token"]
    (shell.directory / "grafana").symlink_to(grafana.FILE.parent)
    with grafana_api("token") as api:
        ours = command.replace("http://127.0.0.1:3000", api.url)
        assert ours != command
        assert '"status":"success"' in shell.said(ours, GRAFANA_TOKEN="token"), api.wrong
    assert api.taken == [{"dashboard": grafana.DASHBOARD, "overwrite": True}]


def test_grafana_finds_the_dashboard() -> None:
    """In the package's directory, which holds all of docs/ and nothing else that Grafana would take for a dashboard."""
    *_, last = FILES["/etc/grafana/provisioning/dashboards/uvicorn.yaml"].splitlines()
    path = last.strip().removeprefix("path: /usr/share/doc/uvicorn-monitor/")
    assert list((ROOT / path).iterdir()) == [grafana.FILE]


def test_commands_that_run_until_they_are_stopped(shell: Shell, tmp_path: Path) -> None:
    """As written, on the usual ports, which are free in a network of the test's own."""
    serve, serve_all, plain, tagged = RUNNING
    [url] = re.findall(r"# (\S+)", serve)
    proc = OwnProc(tmp_path)
    proc.show(*tree(shell.server.pid))
    ours = f'uvicorn_requests_total{{target="127.0.0.1:{shell.server.port}"}} 4\n'

    def serves(url: str) -> bool:
        with suppress(urllib.error.URLError):
            return ours in fetch(url)
        return False

    with Client(shell.server.port) as one, Client(shell.server.port) as two, own_network():
        with shell.running(serve):
            wait_until(lambda: serves(url), "it serves at the address that it prints")
        with shell.running(serve_all, under=proc.command()) as running:
            proc.show(running.pid)
            wait_until(lambda: serves(url.replace("127.0.0.1", "[::1]")), "it serves every server")
        with StatsdServer(tmp_path, 8125) as statsd:
            tags = f";target=127.0.0.1{shell.server.port};pid={shell.server.pid}"
            for command, form, client in ((plain, "", one), (tagged, tags, two)):
                total, failed, active = (
                    f"uvicorn.{name}{form}" for name in ("total_requests", "failed_requests", "active_concurrent")
                )
                with shell.running(command):
                    wait_until(lambda: statsd.gauges().get(active) == 1, "its first sample")
                    client.ask(request("/fail"))
                    wait_until(lambda: shell.said("monitor --json | jq .active_concurrent") == "1\n", "it has ended")
                # At SIGTERM it takes one more sample.
                wait_until(lambda: statsd.counters()[total] == 1, "the request counts")
                assert statsd.counters()[failed] == 1
            assert statsd.counters()["statsd.bad_lines_seen"] == 0


def test_alert_rules(tmp_path: Path) -> None:
    """Prometheus' own rule tests check what makes the alerts fire and what does not."""
    (tmp_path / "uvicorn.rules.yml").write_text(FILES["uvicorn.rules.yml"])
    shutil.copy(Path(__file__).with_name("alerts.yml"), tmp_path)
    assert set(re.findall(r"alert: (\w+)", FILES["uvicorn.rules.yml"])) == set(
        re.findall(r"alertname: (\w+)", (tmp_path / "alerts.yml").read_text())
    )
    promtool("test", "rules", str(tmp_path / "alerts.yml"))


def ask(daemon: Daemon, query: str) -> list[tuple[dict[str, str], float]]:
    answer = json.loads(fetch(daemon.url + "/api/v1/query?" + urlencode({"query": query})))
    return [(one["metric"], float(one["value"][1])) for one in answer["data"]["result"]]


def end_in_every_way(server: Server) -> None:
    """Sends requests of every class of status, requests without a response, and more statuses than an endpoint can
    hold. One request fails on an endpoint that has failed before, because to Prometheus a new series is not an
    increase."""
    with Client(server.port) as client:
        client.ask(request("/fail"))
    with Client(server.port) as client:
        for code in (201, 204, 302, 404, 410, 418, 500, 503):
            client.ask(request(f"/status/{code}"))
    with WebSocket(server.port) as socket:
        socket.send(frame(CLOSE, b"\x03\xe8"))
        socket.rest()
    waiting = server.tally().of("GET /hold", "waiting")
    with Client(server.port) as client:
        client.send(request("/hold?gate=never"))
        server.wait_at_gate("GET /hold", waiting + 1)
        client.reset()


def check_dashboard(daemon: Daemon, server: Server, instance: str) -> None:
    """Every query that Grafana would send for docs/grafana/uvicorn.json has data, for this server and for all
    servers."""
    target = f"127.0.0.1:{server.port}"

    def figures(query: grafana.Query, **chosen: str) -> list[float]:
        answer = ask(daemon, query.sent(**chosen))
        for labels, _ in answer:
            assert set(re.findall(r"{{(\w+)}}", query.legend)) <= set(labels), query.of
        return [value for _, value in answer if math.isfinite(value)]

    for chosen in ({}, {"instance": instance, "target": target}):
        left = list(grafana.queries())

        def all_have_figures(left: list[grafana.Query] = left, chosen: dict[str, str] = chosen) -> bool:
            left[:] = [query for query in left if not figures(query, **chosen)]
            return not left

        try:
            wait_until(all_have_figures, "every query has data")
        except AssertionError as error:
            raise AssertionError(f"{error}: {[query.of for query in left]}") from None
        now = {query.of: figures(query, **chosen) for query in grafana.queries()}
        assert [now[f"{panel} A"] for panel in ("Scrapes", "Servers observed", "Undercount", "In flight")] == [
            [1],
            [1],
            [0],
            [1],
        ]
        nowhere = {query.of: figures(query, **(chosen | {"target": target[:-1]})) for query in grafana.queries()}
        assert {of: values for of, values in nowhere.items() if values} == {"Servers observed A": [0]}
    for name, value in (("instance", instance), ("target", target), ("endpoint", "/users/{id}")):
        query, label = grafana.values_of_a_label(name)
        url = f"{daemon.url}/api/v1/label/{label}/values?" + urlencode({"match[]": query.sent()})
        assert value in json.loads(fetch(url))["data"]


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
        command = [
            program("prometheus"),
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
            "--web.listen-address=127.0.0.1:0",
        ]
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
        wait_until(lambda: ask(daemon, "uvicorn_requests_total")[0][1] == 24, "twenty more requests")
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
        end_in_every_way(shell.server)
        check_dashboard(daemon, shell.server, f"127.0.0.1:{serving.port}")
        open_metrics_families(serving.get("/metrics", Accept=OPEN_METRICS))
        promtool("check", "metrics", given=serving.get("/metrics"))
