# SPDX-License-Identifier: Apache-2.0
"""docs/metrics.md: its commands run as written against the demo. Only ports and durations differ."""

import csv
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from harness.attached_engine import Engine
from harness.bpffs import BPFFS
from harness.client import Client, request
from harness.monitor import BINARY
from harness.proxy import CONCURRENCY, ReservedPort, Tree
from harness.server import ROOT
from harness.waiting import wait_until

PAGE = (ROOT / "docs/metrics.md").read_text()
SCHEMA = json.loads((ROOT / "docs/schema/snapshot.schema.json").read_text())
# The text before a block → the block.
COMMANDS: dict[str, str] = dict(re.findall(r"^([A-Z][^\n]*):\n\n```sh\n(.*?)\n```$", PAGE, re.MULTILINE | re.DOTALL))
# The same text → the output that the page shows.
SHOWN: dict[str, str] = dict(
    re.findall(r"^([A-Z][^\n]*):\n\n```sh\n[^`]*\n```\n\n```\n([^`]*)\n```$", PAGE, re.MULTILINE)
)
SHORTER = (
    ("--interval 10", "--interval 0.3"),
    ("--interval 60", "--interval 0.05"),
    ("--interval 5", "--interval 0.1"),
    ("--interval 1", "--interval 0.2"),
    ("--duration 30", "--duration 1.5"),
    ("--duration 20", "--duration 1"),
    ("in 1 2 4", "in 2"),
)


def shapes(text: str) -> list[str]:
    """The lines, with every number replaced."""
    return [re.sub(r"\d+(\.\d+)?", "N", line) for line in text.splitlines()]


class Shell:
    """Runs the page's commands for the demo's server."""

    def __init__(self, proxy: Tree, port: int) -> None:
        self.proxy = proxy
        self.port = port
        self.chats = ExitStack()

    def ours(self, title: str) -> str:
        command = COMMANDS[title]
        for long, short in SHORTER:
            command = command.replace(long, short)
        command = command.replace("run_proxy.sh restart", f"run_proxy.sh restart --port {self.port}")
        return command.replace("load_test.sh", f"load_test.sh --url http://127.0.0.1:{self.port}")

    def said(self, title: str) -> str:
        ended = self.proxy.type(self.ours(title))
        assert (ended.returncode, ended.stderr) == (0, ""), ended
        return ended.stdout

    @contextmanager
    def going_on(self, title: str) -> Iterator[subprocess.Popen[str]]:
        """Runs the command during the block, then interrupts it if it has not ended."""
        with self.proxy.typed(self.ours(title)) as process:
            try:
                yield process
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGINT)

    def same_shape(self, title: str) -> str:
        """The output, whose lines must have the same shapes as those on the page."""
        said = self.said(title)
        assert set(shapes(said)) == set(shapes(SHOWN[title])), said
        return said


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """The demo, attached, with two workers and two chats in flight that last for a minute."""
    with ExitStack() as stack:
        engine = Engine(BPFFS / f"monitor-test-{os.getpid()}")
        engine.remove()
        stack.callback(engine.remove)
        proxy = stack.enter_context(Tree(tmp_path_factory.mktemp("metrics") / "tree"))
        (proxy.directory / "bin").mkdir()
        (proxy.directory / "bin/monitor").symlink_to(BINARY)
        proxy.environment |= {
            "PATH": f"{proxy.directory}/bin:{os.environ['PATH']}",
            "MONITOR_PINS": str(engine.pins),
            "MONITOR_UPDATE_INTERVAL": "0.1",
        }
        port = stack.enter_context(ReservedPort()).number
        shell = Shell(proxy, port)
        stack.push(shell.chats)
        started = proxy.type(f"scripts/run_proxy.sh start --port {port} --workers 2")
        assert started.returncode == 0, started.stderr
        # run_proxy.sh has attached it since its start
        assert f"pid {proxy.pid()} is attached already" in shell.said("First, count from now on")
        for _ in range(2):
            client = shell.chats.enter_context(Client(port))
            body = b'{"stream": true, "max_tokens": 1000}'
            head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            client.send(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        for target in ("/health", "/users/1", "/users/2", "/fail"):
            with Client(port) as client:
                client.ask(request(target))
        wait_until(lambda: "/v1/chat/completions: 2\n" in proxy.log(), "both chats are in flight")
        yield shell


def test_every_command_of_the_page_is_tested() -> None:
    source = Path(__file__).read_text()
    assert PAGE.count("```sh\n") == len(COMMANDS)
    assert PAGE.count("\n```\n") == len(COMMANDS) + 2 * len(SHOWN)
    assert [title for title in COMMANDS if f'"{title}"' not in source] == []


def test_every_figure_is_defined_and_judged() -> None:
    definitions, _, rest = PAGE.partition("## Healthy figures, and others")
    judged = re.findall(r"^- \*\*(.+?)\*\*\. Healthy: ", rest.partition("## Use cases")[0], re.MULTILINE)
    rows = {
        "active_concurrent": "active",
        "peak_concurrent": "peak",
        "total_requests": "total",
        "failed_requests": "failed",
        "aborted_requests": "aborted",
        "refused_requests": "refused",
        "rejected_requests": "rejected",
        "queue_depth": "queue depth",
        "websockets_active": "websockets",
        "open_connections": "connections",
        "peak_connections": "connections",
        "cpu_percent": "CPU",
        "memory_mb": "memory",
        "threads": "threads",
        "uptime_seconds": "uptime",
        "undercount": "undercount",
        "workers": "workers",
        "endpoints": "endpoints",
        "other_requests": "endpoints",
        "queue_wait": "queue wait",
        "time_to_first_byte": "time to first byte",
        "duration": "durations",
    }
    assert set(judged) >= {*rows.values(), "durations"}
    told_otherwise = {"observed_seconds", "not_seen_seconds", "undercount_by_cause", "warnings", "listeners"}
    about_the_target = {"profile", "schema_version", "target"}
    assert set(SCHEMA["properties"]) == {*rows, *told_otherwise, *about_the_target}
    assert [name for name in {*rows, *told_otherwise} if f"`{name}`" not in definitions] == []


def test_how_many_workers(shell: Shell) -> None:
    title = "Each worker over five seconds of the usual load, with its pid, CPU, requests in flight, total and memory"
    lines = [line.split("\t") for line in shell.same_shape(title).splitlines()]
    assert len(lines) == 2
    assert (sum(int(line[2]) for line in lines), sum(int(line[3]) for line in lines)) == (2, 4)
    assert all(0 <= float(line[1]) < 100 < 10 * float(line[4]) for line in lines)


def test_slow_at_three_in_the_morning(shell: Shell) -> None:
    title = "Five samples, one a second; figures that the lines do not have; what is in flight, most first"
    *lines, others, in_flight = shell.said(title).splitlines()
    assert [found["total"] for found in CONCURRENCY.finditer("\n".join(lines))] == ["4"] * 5
    assert json.loads(others) == {"open_connections": 2, "refused_requests": 0, "aborted_requests": 0, "undercount": 0}
    assert in_flight == "2 POST /v1/chat/completions"
    *_, others_shown, in_flight_shown = SHOWN[title].splitlines()
    assert shapes(others) == shapes(others_shown)
    assert re.fullmatch(r"\d+ GET /\w+", in_flight_shown)


def test_documents_show_what_is_printed(shell: Shell) -> None:
    """Boxes and log lines, apart from which endpoints are in flight."""
    # The server has seen the end of the other connections: the box shows more than the active ones.
    wait_until(lambda: '"open_connections":2,' in shell.proxy.type("monitor --json").stdout, "both chats are open")
    printed = shell.proxy.type("monitor").stdout
    assert re.fullmatch(r"pid \d+ on [0-9.:]+: uvicorn app:app\n", printed[: printed.index("╔")])
    box = shapes(printed[printed.index("╔") :])
    assert box.count("║    • /vN/chat/completions: N") == 1
    boxes = lines = 0
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for block in re.findall(r"(?<=\n\n)```\n(.*?\n)```$", page.read_text(), re.MULTILINE | re.DOTALL):
            if "╔" in block:
                boxes += 1
                shown = shapes(block[block.index("╔") :])
                assert [row for row in shown if "• /" not in row] == [row for row in box if "• /" not in row]
            elif block.startswith("[CONCURRENCY]"):
                lines += 1
                concurrency, endpoints, system = block.splitlines()[:3]
                assert CONCURRENCY.fullmatch(concurrency)
                assert re.fullmatch(r"\[ENDPOINTS\] /\S+: \d+( \| /\S+: \d+)*", endpoints)
                logged = [row for row in shapes(shell.proxy.log()) if row.startswith("[SYSTEM]")]  # the server logs too
                assert shapes(system) == logged[-1:]
    assert (boxes, lines) == (1, 3)


def test_a_stuck_endpoint(shell: Shell) -> None:
    title = "Endpoints in flight in the first and the last of three samples, with no request that ended between them"
    assert shell.said(title) == "2 POST /v1/chat/completions\n"
    # Another endpoint is in flight in each sample, and its request ends before the next one.
    samples = shell.proxy.directory / "samples"
    body = b'{"max_tokens": 1}'

    def sample() -> str:
        line = shell.proxy.type("monitor --json").stdout
        return line if '"path":"/v1/completions","active":1,' in line else ""

    with samples.open("w") as file, Client(shell.port) as client:
        for _ in range(3):
            asked = request("/v1/completions", "POST", "Content-Type: application/json", body=body)
            client.send(asked.removesuffix(body))
            file.write(wait_until(sample, "the request is in flight"))
            assert client.ask(body).status == 200
    _, _, judge = shell.ours(title).partition(" | ")
    ended = shell.proxy.type(f"cat {samples} | {judge}")
    assert (ended.stdout, ended.stderr) == ("2 POST /v1/chat/completions\n", "")


def test_the_mean_of_an_endpoint(shell: Shell) -> None:
    said = shell.said("The mean duration of each endpoint, longest first").splitlines()
    means = [(float(mean), name) for mean, _, name in (line.split(" ", 2) for line in said)]
    assert means == sorted(means, reverse=True)
    assert {"GET /health", "GET /users/{id}", "GET /fail"} <= {name for _, name in means}
    [metrics] = [name for name in means if name[1] == "GET /users/{id}"]
    assert 0 < metrics[0] < 1000


def test_slow_requests(shell: Shell) -> None:
    with Client(shell.port) as client:
        client.ask(request("/block?seconds=1.1"))
    said = shell.said("Requests that took over a second, by endpoint and status")
    # A request of the stuck endpoint's test can be another one.
    lines = [line for line in said.splitlines() if not line.endswith(" POST /v1/completions 200")]
    assert len(lines) == 1
    assert re.fullmatch(r"1 of \d+ GET /block 200", lines[0])


def test_memory(shell: Shell) -> None:
    record = shell.proxy.directory / "memory.csv"

    def rows() -> list[dict[str, str]]:
        with suppress(FileNotFoundError), record.open(newline="") as file:
            return list(csv.DictReader(line for line in file if line.endswith("\n")))
        return []

    def requests_since_the_first_line() -> int:
        totals = [int(row["total_requests"]) for row in rows()]
        return totals[-1] - totals[0] if totals else -1

    with shell.going_on("A record of each minute; or permanently, by [cron](integrations.md#csv)"):
        wait_until(lambda: requests_since_the_first_line() == 0, "the first line")
        with Client(shell.port) as client:
            for _ in range(3):
                client.ask(request("/health"))
        wait_until(lambda: requests_since_the_first_line() == 3, "three more requests")
    grown = float(rows()[-1]["memory_mb"]) - float(rows()[0]["memory_mb"])
    assert shell.said("The growth from its first line to its last") == f"{grown:+.1f} MB, 3 requests\n"


# Last, because it restarts the server.
def test_loads(shell: Shell) -> None:
    shell.chats.close()
    loaded = shell.said(
        "Load for the demo (for another application, run `wrk` with one of its URLs), and a record of each second"
    )
    sent = sum(int(number) for number in re.findall(r"^  (?:answered|cut off) +(\d+)", loaded, re.MULTILINE))
    seconds = [line.split() for line in shell.same_shape(BY_SECOND).splitlines()]
    assert max(int(second[1]) for second in seconds) > 10
    # The other requests came before the first snapshot or after the last one.
    assert 0 < sum(int(second[0]) for second in seconds) <= sent
    compared = shell.said("The same load at one, two and four")
    assert compared.count("Proxy is running (pid ") == compared.count("  answered ") == 1
    assert [int(found["active"]) > 0 for found in CONCURRENCY.finditer(compared)] == [True]
    limited = shell.said("Workers that end after ten thousand requests, and not all at once")
    assert f"Proxy is running (pid {shell.proxy.pid()}) on 127.0.0.1:{shell.port}\n" in limited


BY_SECOND = "Requests a second, in flight, waiting, and CPU, second by second"
