# SPDX-License-Identifier: Apache-2.0
"""Options that no other test covers: --no-system in every output, colours, --help.

It also runs the examples of --help and README.md."""

import csv
import json
import os
import pty
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.attached_engine import Engine
from harness.client import Client, request
from harness.monitor import BINARY, ROOT, run_monitor
from harness.private_proc import OwnProc
from harness.server import Server
from harness.serving import Serving
from harness.statsd_receiver import Received, sending
from harness.terminal import read_terminal
from harness.waiting import PATIENCE

Attached = tuple[Server, Engine]

COMMANDS = ("attach", "detach", "sessions", "ls", "serve")


@pytest.fixture
def attached(start_server: Callable[..., Server], engine: Engine) -> Attached:
    """An attached server, so that each command takes only a moment."""
    server = start_server()
    engine.attach(server.pid)
    return server, engine


def test_no_system(attached: Attached) -> None:
    server, engine = attached

    def said(*options: str) -> str:
        ended = run_monitor("--pid", str(server.pid), "--no-system", *options, env=engine.environment)
        assert (ended.returncode, ended.stderr) == (0, "")
        return ended.stdout

    assert not re.search("cpu|memory|threads|system", said(), re.IGNORECASE)
    snapshot = json.loads(said("--json"))
    assert not {"cpu_percent", "memory_mb", "threads"} & {*snapshot, *snapshot["workers"][0]}
    assert [line.split()[0] for line in said("--log", "-", "--count", "1").splitlines()] == [
        "[CONCURRENCY]",
        "[ENDPOINTS]",
    ]
    [row] = csv.DictReader(said("--csv").splitlines())  # the columns stay
    assert {row["cpu_percent"], row["memory_mb"], row["threads"]} == {""}
    for output in ("--influx", "--prometheus"):
        names = re.sub('"[^"]*"|^#.*', "", said(output), flags=re.MULTILINE)
        assert "undercount" in names
        assert not re.search("cpu|memory|threads", names), names


def test_no_system_over_the_network(start_server: Callable[..., Server], tmp_path: Path) -> None:
    server = start_server()
    with Received() as received, sending(server, f"127.0.0.1:{received.port}", "--no-system", "--count", "1"):
        received.wait_for(lambda: "uvicorn.uptime_seconds" in received.gauges, "a sample")
    assert not [name for name in received.gauges if re.search("cpu|memory_mb|threads", name)]
    (tmp_path / "its.pid").write_text(f"{server.pid}\n")
    serving = Serving(tmp_path, "--pid-file", str(tmp_path / "its.pid"), "--no-system", "--raw-paths", "--verbose")
    try:
        with Client(server.port) as client:
            client.ask(request("/users/1"))
        names = " ".join(serving.metrics())
        assert 'endpoint="/users/1"' in names
        assert not re.search("uvicorn_(cpu|memory|threads)", names)
        assert f"monitor: following pid {server.pid}: " in serving.said()
        assert f"monitor: it listens on 127.0.0.1:{server.port}\n" in serving.said()
    finally:
        serving.stop()


def on_a_terminal(arguments: list[str], **variables: str) -> bytes:
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(BINARY, ["monitor", *arguments], os.environ | {"LC_ALL": "C.UTF-8", "TERM": "xterm"} | variables)
    try:
        return read_terminal(terminal, lambda seen: "╚".encode() in seen)
    finally:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)
        os.close(terminal)


def test_colours(attached: Attached) -> None:
    server, engine = attached
    base = ["--pid", str(server.pid), "--pins", str(engine.pins)]
    bold = "\x1b[1mUvicorn Concurrency Monitor\x1b[0m"
    for options, variables, coloured in (
        ([], {}, True),
        (["--watch"], {}, True),
        ([], {"NO_COLOR": "1"}, False),
        ([], {"TERM": "dumb"}, False),
        (["--no-color"], {}, False),
        (["--color", "never"], {}, False),
        (["--color", "always"], {"NO_COLOR": "1"}, True),
    ):
        seen = on_a_terminal([*base, *options], **variables)
        assert b"Uvicorn Concurrency Monitor" in seen
        assert (bold.encode() in seen) == coloured, (options, variables)
    for choice, coloured in (("auto", False), ("always", True)):
        assert (bold in run_monitor(*base, "--color", choice).stdout) == coloured


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help(command: str) -> None:
    words = [command] if command else []
    helped = run_monitor(*words, "--help")
    assert (helped.returncode, helped.stderr) == (0, "")
    assert run_monitor(*words, "-h").stdout == helped.stdout
    assert f"Usage: monitor {command}" in helped.stdout
    assert max(map(len, helped.stdout.splitlines())) <= 100
    if not command:
        assert re.findall(
            r"^  (\w+) ", helped.stdout.partition("\nCommands:\n")[2].partition("\n\n")[0], re.MULTILINE
        ) == [*COMMANDS]


def test_verbose_describes_an_attached_server(attached: Attached) -> None:
    server, engine = attached
    verbose = run_monitor("--pid", str(server.pid), "--verbose", "--json", env=engine.environment)
    assert verbose.returncode == 0
    assert re.search(r"^monitor: found attached in \d+ ms, profile \w+$", verbose.stderr, re.MULTILINE), verbose.stderr


def examples() -> list[str]:
    """The commands of README.md's "Use" and of monitor --help, without their descriptions."""
    text = (ROOT / "README.md").read_text().partition("## Use\n")[2].partition("\n## ")[0]
    text += run_monitor("--help").stdout.partition("Examples:\n")[2].partition("\n\n")[0]
    lines = [line.strip() for line in text.splitlines() if line.strip().startswith("sudo ")]
    return [re.sub(r"   *[^ |].*$", "", line.replace("build/release/", "").removeprefix("sudo ")) for line in lines]


def test_examples(attached: Attached, tmp_path: Path) -> None:
    """Each runs as written, on a machine with one server. Those that do not end by themselves take one sample."""
    server, engine = attached
    proc = OwnProc(tmp_path)
    proc.show(server.pid)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/monitor").symlink_to(BINARY)
    environment = engine.environment | {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    commands = examples()
    assert len(commands) == 17
    for command in commands:
        if " serve" in command:  # outputs/test_serve.py
            continue
        ours = command.replace("1234", str(server.pid)).replace("/var/log/", f"{tmp_path}/")
        ours = re.sub("(--watch|--log [^ ]+)", r"\1 --count 1", ours)
        ended = subprocess.run(
            [*proc.command(), "bash", "-o", "pipefail", "-c", ours],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert (ended.returncode, ended.stderr) == (0, ""), command
        assert ended.stdout or "--log" in command
        if " detach" in command:
            engine.attach(server.pid)  # so that the next command need not load an engine of its own
    for name in ("uvicorn-concurrency.log", "monitor.log"):
        assert (tmp_path / name).read_text().startswith("[CONCURRENCY] Active: 0/0 |")
