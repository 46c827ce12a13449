# SPDX-License-Identifier: Apache-2.0
"""The recipes of docs/CONCURRENCY_MONITOR_DEBUG.md run as written, with the two scripts that they use."""

import csv
import json
import os
import pty
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from harness.client import Client, request
from harness.proxy import CONCURRENCY, Tree, port_in
from harness.server import ROOT, Server
from harness.terminal import read_terminal
from harness.waiting import PATIENCE, wait_until

SHOW = "scripts/monitor_uvicorn.sh"
LOAD = "scripts/load_test.sh"

# Title → command. A recipe is a paragraph of one line that ends in a colon, and the block after it.
RECIPES: dict[str, str] = dict(
    re.findall(
        r"^([A-Z][^\n]*):\n\n```sh\n(.*?)\n```$",
        (ROOT / "docs/CONCURRENCY_MONITOR_DEBUG.md").read_text(),
        re.MULTILINE | re.DOTALL,
    )
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Tree, int]]:
    """A server with three ended requests, one of which failed, and two in flight, all of them in its log."""
    with Tree(tmp_path_factory.mktemp("recipes") / "tree") as proxy, ExitStack() as stack:
        port = proxy.start()
        for target in ("/ok", "/users/7", "/fail"):
            with Client(port) as client:
                client.ask(request(target))
        for _ in range(2):
            stack.enter_context(Client(port)).send(request("/hold?gate=never"))
        proxy.wait_for(active=2, peak=2, total=3, failed=1)
        wait_until(lambda: "[ENDPOINTS] /hold: 2\n[SYSTEM]" in proxy.log(), "both requests are in the log")
        yield proxy, port


def lines_of(served: tuple[Tree, int], title: str) -> list[str]:
    ended = served[0].type(RECIPES[title])
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.splitlines()


def test_every_recipe_is_tested() -> None:
    blocks = (ROOT / "docs/CONCURRENCY_MONITOR_DEBUG.md").read_text().count("```sh\n")
    assert len(RECIPES) == blocks
    assert [title for title in RECIPES if f'"{title}"' not in Path(__file__).read_text()] == []


def test_recipes_for_the_log(served: tuple[Tree, int]) -> None:
    proxy, _ = served
    lines = lines_of(served, "The concurrency lines")
    assert len(lines) > 3
    assert all(CONCURRENCY.fullmatch(line) for line in lines)
    assert lines[0].startswith("[CONCURRENCY] Active: 0/0 | Total: 0 | Failed: 0 | Queue: 0 | Uptime: ")
    assert lines[-1].startswith("[CONCURRENCY] Active: 2/2 | Total: 3 | Failed: 1 | Queue: 0 | Uptime: ")
    newest = lines_of(served, "The newest of each kind")
    assert newest[0].startswith(f"Proxy is running (pid {proxy.pid()})")
    assert newest[-3].startswith("[CONCURRENCY] Active: 2/2 | Total: 3 | Failed: 1 |")
    assert newest[-2] == "[ENDPOINTS] /hold: 2"
    assert lines_of(served, "The highest peak") == ["2"]
    assert all("Queue: 0 " not in line for line in lines_of(served, "Lines with something waiting"))
    counted = [line.split() for line in lines_of(served, "How often each path was seen in flight")]
    assert "/hold" in [path for _, path in counted]
    assert all(int(count) > 0 and path.startswith("/") for count, path in counted)


def test_the_log_as_it_comes(served: tuple[Tree, int]) -> None:
    assert CONCURRENCY.fullmatch(first_lines(served[0], RECIPES["As they come"], 3)[2])


def test_csv(served: tuple[Tree, int]) -> None:
    proxy, _ = served
    assert lines_of(served, "To CSV") == []
    with (proxy.directory / "concurrency.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["active", "peak", "total", "failed", "queue", "uptime"]
    assert len(rows) > 3
    last = rows[-1]
    assert (last["active"], last["peak"], last["total"], last["failed"]) == ("2", "2", "3", "1")
    assert re.fullmatch(r"(\d+m )?\d+s", last["uptime"])
    assert lines_of(served, "The processes' figures to CSV") == []
    with (proxy.directory / "system.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["cpu_percent", "memory_mb", "threads"]
    assert float(rows[-1]["cpu_percent"]) >= 0
    assert float(rows[-1]["memory_mb"]) > 10
    assert int(rows[-1]["threads"]) >= 1


def interrupt(process: subprocess.Popen[str]) -> None:
    """Does what Ctrl-C does."""
    os.killpg(process.pid, signal.SIGINT)


def interrupt_until_it_ends(process: subprocess.Popen[str]) -> None:
    """A shell loop ends only if the interrupt comes between two commands, because an interrupted command succeeds."""

    def has_ended() -> bool:
        interrupt(process)
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.2)
        return process.poll() is not None

    wait_until(has_ended, "the end of the loop")


def first_lines(proxy: Tree, command: str, count: int) -> list[str]:
    with proxy.typed(command) as process:
        try:
            assert process.stdout
            return [process.stdout.readline().rstrip("\n") for _ in range(count)]
        finally:
            interrupt(process)


def on_a_terminal(proxy: Tree, command: str, **variables: str) -> bytes:
    """The terminal's output up to the lower end of the box; then the command is interrupted, because a watch does not
    end."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(proxy.directory)
        os.execvpe("bash", ["bash", "-c", f"exec {command}"], proxy.environment | variables)
    try:
        seen = read_terminal(terminal, lambda seen: "╚".encode() in seen)
        os.write(terminal, b"\x03")
        return seen + read_terminal(terminal, lambda _: False)
    finally:
        os.close(terminal)
        os.waitpid(pid, 0)


def test_recipes_for_snapshots(served: tuple[Tree, int]) -> None:
    """Each takes seconds, so they all run at once."""
    proxy, _ = served
    titles = ["One figure", "Several", "Without CPU, memory and threads", "The box in a file"]
    endless = ["JSON, an object a line, until Ctrl-C"]
    running = {title: proxy.typed(RECIPES[title]) for title in titles + endless}
    said = {title: running[title].communicate(timeout=PATIENCE) for title in titles}
    assert said["One figure"][0] == said["Without CPU, memory and threads"][0] == "2\n"
    assert re.fullmatch(r"2,0,\d+(\.\d+)?\n", said["Several"][0])
    box = (proxy.directory / "metrics.txt").read_text()
    assert "║  Active Concurrent:  2\n" in box
    assert "\x1b" not in box
    assert all(running[title].returncode == 0 for title in titles)
    objects = proxy.directory / "metrics.jsonl"
    wait_until(lambda: objects.read_text().endswith("}\n"), "an object")
    interrupt_until_it_ends(running[endless[0]])
    running[endless[0]].communicate(timeout=PATIENCE)
    assert json.loads(objects.read_text().splitlines()[0])["active_concurrent"] == 2


def test_one_attach_for_all_samples(served: tuple[Tree, int]) -> None:
    proxy, _ = served
    objects = proxy.directory / "metrics.jsonl"
    objects.unlink(missing_ok=True)
    command = RECIPES["The same with one attach for all samples, so that nothing between two samples is missed"]
    with proxy.typed(command) as process:
        wait_until(lambda: objects.exists() and objects.read_text().endswith("}\n"), "an object")
        interrupt(process)
    assert process.returncode == 0
    assert all(json.loads(line)["active_concurrent"] == 2 for line in objects.read_text().splitlines())


def test_nothing_was_counted(tmp_path: Path, start_server: Callable[..., Server]) -> None:
    server = start_server()
    with Tree(tmp_path / "tree") as proxy:
        (tmp_path / "tree/logs").mkdir()
        (tmp_path / "tree/logs/proxy.pid").write_text(f"{server.pid}\n")
        for options in ("--json", "--no-color", ""):
            ended = proxy.type(f"{SHOW} --interval 0.1 {options}")
            assert ended.returncode == 0
            assert ended.stderr.startswith(
                "monitor_uvicorn.sh: No concurrency metrics found: no request within 0.1 s\n"
            )
            assert "scripts/load_test.sh" in ended.stderr
            assert ended.stdout.count("\n") > 1 or json.loads(ended.stdout)["total_requests"] == 0


def test_nothing_was_counted_since_the_attach(tmp_path: Path) -> None:
    with Tree(tmp_path / "tree") as proxy:
        proxy.start()
        ended = proxy.type(f"{SHOW} --json")
        assert (ended.returncode, json.loads(ended.stdout)["total_requests"]) == (0, 0)
        assert re.match(
            r"monitor_uvicorn\.sh: No concurrency metrics found: no request since the attach, [-0-9]+ [0-9:]+\n",
            ended.stderr,
        )
        assert "scripts/load_test.sh" in ended.stderr


def test_no_server(tmp_path: Path) -> None:
    with Tree(tmp_path / "tree") as proxy:
        missing = proxy.type(SHOW)
        assert (missing.returncode, missing.stdout) == (3, "")
        assert "Proxy is not running (no PID file)" in missing.stderr
        assert "scripts/run_proxy.sh start" in missing.stderr
        ended = subprocess.Popen(["true"])
        ended.wait()
        proxy.logs.mkdir()
        (proxy.logs / "proxy.pid").write_text(f"{ended.pid}\n")
        stale = proxy.type(f"{SHOW} --json")
        assert (stale.returncode, stale.stdout) == (3, "")
        assert f"stale PID file: logs/proxy.pid names process {ended.pid}, which has ended" in stale.stderr
        named = proxy.type(f"{SHOW} --pid {ended.pid}")
        assert named.returncode == 3
        assert str(ended.pid) in named.stderr


def test_a_named_server_and_no_binary(served: tuple[Tree, int], tmp_path: Path) -> None:
    pid = served[0].pid()
    with Tree(tmp_path / "tree") as proxy:
        named = proxy.type(f"{SHOW} --pid={pid} --interval=0.1 --json")
        assert json.loads(named.stdout)["target"]["pid"] == pid
        nothing = proxy.type(f"{SHOW} --pid {pid}", MONITOR_BINARY="/no/such/monitor")
        assert nothing.returncode == 1
        assert "cmake --build build/release" in nothing.stderr
        for options in ("--nonsense", "--interval", f"--pid {pid} --interval soon", "--pid 0"):
            assert proxy.type(f"{SHOW} {options}").returncode == 2


def test_what_monitor_uvicorn_shows(served: tuple[Tree, int]) -> None:
    show = f"{SHOW} --interval 0.05"
    proxy, _ = served
    assert "║  System Metrics:\n" in proxy.type(show).stdout
    assert "System" not in proxy.type(f"{show} --no-system").stdout
    assert "cpu_percent" not in proxy.type(f"{show} --no-system --json").stdout
    assert json.loads(proxy.type(f"{show} --json", MONITOR_PROFILE="syscall").stdout)["profile"] == "syscall"
    watching = first_lines(proxy, f"{show} --watch --no-system", 13 + 1 + 13)
    assert watching[0] == watching[14]
    assert watching[1] == watching[15]
    assert "║  Active Concurrent:  2" in watching


def test_colours_of_monitor_uvicorn(served: tuple[Tree, int]) -> None:
    """Only on a terminal, although the script reads the box through a pipe."""
    show, bold = f"{SHOW} --interval 0.05", b"\x1b[1mUvicorn Concurrency Monitor\x1b[0m"
    for options, variables, coloured in (
        ("", {}, True),
        ("--no-color", {}, False),
        ("--watch", {"NO_COLOR": "1"}, False),
        ("", {"TERM": "dumb"}, False),
    ):
        seen = on_a_terminal(served[0], f"{show} {options}", **{"TERM": "xterm"} | variables)
        assert b"Uvicorn Concurrency Monitor" in seen
        assert (bold in seen) == coloured, (options, variables)
    assert "\x1b" not in served[0].type(show, TERM="xterm").stdout


def test_load(tmp_path: Path) -> None:
    with Tree(tmp_path / "tree") as proxy:
        started = proxy.type("scripts/run_proxy.sh start --port 0 --monitor-interval 0.05")
        port = port_in(started.stdout)
        loaded = proxy.type(f"{LOAD} --url http://127.0.0.1:{port} --requests 60 --concurrency 20")
        assert loaded.returncode == 0, loaded.stderr
        assert "  answered     60 in " in loaded.stdout
        assert "  cut off      0\n" in loaded.stdout
        assert sum(int(count) for count in re.findall(r"^ +(\d+)  (?:GET|POST) /", loaded.stdout, re.MULTILINE)) == 60
        failed = re.findall(r" 5xx +(\d+)", loaded.stdout) or ["0"]
        proxy.wait_for(active=0, total=60, failed=int(failed[0]))
        assert 1 <= proxy.last()["peak"] <= 20
        bounded = proxy.type(f"{LOAD} --url=http://127.0.0.1:{port}/ --duration=1s --concurrency=4")
        assert bounded.returncode == 0
        assert bounded.stdout.startswith(
            f"Load for http://127.0.0.1:{port}/: at most 4 requests at once, 1 s at most\n"
        )
        assert re.search(r"answered +\d+ in \d+\.\d s", bounded.stdout)
        late = proxy.type(f"{LOAD} --url http://127.0.0.1:{port} --requests 99999 --duration 1 --concurrency 9")
        assert late.returncode == 1
        assert re.search(r"only \d+ of 99999 requests were answered within 1 s\n", late.stderr)
        assert proxy.type("scripts/run_proxy.sh stop").returncode == 0
        gone = proxy.type(f"{LOAD} --url http://127.0.0.1:{port} --duration 1")
        assert gone.returncode == 1
        assert f"wrk could not send to http://127.0.0.1:{port}: is the server running?" in gone.stderr
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        ended = subprocess.run([ROOT / LOAD, "--url", url, "--duration", "1"], capture_output=True, text=True)
        assert ended.returncode == 1
        assert f"load_test.sh: {url} did not answer\n" in ended.stderr


def test_load_test_with_wrong_options(tmp_path: Path) -> None:
    for options in ("--nonsense", "--requests", "--requests 0", "--duration soon", "--concurrency 1001", "--url host"):
        ended = subprocess.run([ROOT / LOAD, *options.split()], capture_output=True, text=True)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert ended.stderr.startswith("load_test.sh: ")
    for name in ("bash", "dirname", "basename", "env"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    ended = subprocess.run([ROOT / LOAD], env={"PATH": str(tmp_path)}, capture_output=True, text=True)
    assert ended.returncode == 1
    assert "there is no wrk: scripts/setup.sh installs it" in ended.stderr
