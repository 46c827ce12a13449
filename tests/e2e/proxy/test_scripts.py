# SPDX-License-Identifier: Apache-2.0
"""run_proxy.sh counts a server from its first request, ends only what it started, and reports errors."""

import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.client import Client, request
from harness.proxy import DEBIAN, VENV, Hammer, ReservedPort, Tree, alive
from harness.server import PROGRAMS, Server, tree
from harness.waiting import PATIENCE, wait_until

RUN = "scripts/run_proxy.sh"


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Tree]:
    with Tree(tmp_path / "tree") as made:
        yield made


def arguments_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]


@pytest.mark.parametrize(
    ("python", "workers"), [(VENV, 1), (VENV, 2), (DEBIAN, 2)], ids=["current", "current-2", "debian-2"]
)
def test_every_request_since_the_first_is_counted(proxy: Tree, python: str, workers: int) -> None:
    with ReservedPort() as port, Hammer(port.number) as hammer:
        started = proxy.start(f"--python {python} --workers {workers} --port", str(port.number))
        assert started == port.number
        wait_until(lambda: hammer.answered >= 50, "fifty responses")
        assert proxy.type(f"{RUN} status").returncode == 0
    assert proxy.type(f"{RUN} stop").returncode == 0
    assert proxy.tally().total() >= hammer.answered >= 50
    last = proxy.last()
    assert (last["total"], last["active"], last["failed"]) == (proxy.tally().total(), 0, 0)
    assert 1 <= last["peak"] <= 4
    assert "has ended\n" in proxy.log()


def test_from_start_to_stop(proxy: Tree) -> None:
    before = proxy.type(f"{RUN} status")
    assert (before.returncode, before.stdout) == (3, "Proxy is not running (no PID file)\n")
    assert "run_proxy.sh start" in proxy.type(f"{RUN} logs").stderr
    port = proxy.start()
    pid = proxy.pid()
    assert (proxy.logs / "proxy.pid").read_text() == f"{pid}\n"
    with Client(port) as one, Client(port) as other:
        one.send(request("/hold?gate=held"))
        other.send(request("/hold?gate=held"))
        proxy.wait_for(active=2, peak=2)
        proxy.open_gates("held", 2)
        assert one.response().body == other.response().body == b"held"
    proxy.wait_for(active=0, peak=2, total=2)
    running = proxy.type(f"{RUN} status")
    assert running.returncode == 0
    assert re.match(rf"Proxy is running \(pid {pid}\), up \d+s, on 127\.0\.0\.1:{port}\n", running.stdout)
    assert "\n[CONCURRENCY] Active: 0/2 | Total: 2 | " in running.stdout
    assert "\n[ENDPOINTS] none\n[SYSTEM] CPU: " in running.stdout
    assert len(proxy.type(f"{RUN} logs -n 3").stdout.splitlines()) == 3
    with proxy.typed(f"{RUN} logs -f -n 1") as following:
        assert following.stdout
        assert all(following.stdout.readline() != "" for _ in range(5))
        os.killpg(following.pid, signal.SIGINT)

    stopped = proxy.type(f"{RUN} stop")
    assert (stopped.returncode, stopped.stdout) == (0, f"Proxy (pid {pid}) has ended\n")
    assert not alive(pid)
    assert proxy.processes() == []
    assert sorted(path.name for path in proxy.logs.iterdir()) == ["proxy.log", "proxy.state"]
    assert proxy.type(f"{RUN} status").returncode == 3
    again = proxy.type(f"{RUN} stop")
    assert (again.returncode, again.stdout) == (0, "Proxy is not running\n")


def test_two_starts_at_once_are_one_server(proxy: Tree) -> None:
    line = f"{RUN} start {proxy.app()}"
    both = [proxy.typed(line), proxy.typed(line)]
    said = [starting.communicate(timeout=PATIENCE) for starting in both]
    assert sorted(starting.returncode for starting in both) == [0, 1], said
    pid = proxy.pid()
    assert f"Proxy is already running (pid {pid})" in said[0][1] + said[1][1]
    assert f"Proxy is running (pid {pid})" in said[0][0] + said[1][0]
    assert len(list(proxy.counts.glob("*.tally"))) == 1


def test_restart_keeps_the_options_or_takes_others(proxy: Tree) -> None:
    with ReservedPort() as port:
        proxy.start("--port", str(port.number), "--debug -- --timeout-keep-alive 77 --header 'X-Two: two words'")
        first = proxy.pid()
        asked = arguments_of(first)
        assert {"debug", "77", "X-Two: two words", str(port.number)} <= set(asked)
        assert proxy.type(f"{RUN} stop").returncode == 0
        elsewhere = proxy.type(f"cd / && DEBUG=false {proxy.directory}/{RUN} restart")
        assert elsewhere.returncode == 0, elsewhere.stderr
        second = proxy.pid()
        assert second != first
        assert arguments_of(second) == [word for word in asked if word not in ("--log-level", "debug")]
        assert Path(f"/proc/{second}/cwd").resolve() == proxy.directory
        with Client(port.number) as client:
            assert client.ask(request("/ok")).headers[b"x-two"] == b"two words"
    others = proxy.type(f"{RUN} restart {proxy.app('-- --no-access-log')}")
    assert others.returncode == 0, others.stderr
    assert not alive(second)
    assert arguments_of(proxy.pid())[4:] == [
        str(PROGRAMS),
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        "--no-access-log",
        "app:app",
    ]


def test_stale_pid_files(proxy: Tree) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    sleeping = subprocess.Popen(["sleep", "infinity"])
    try:
        proxy.logs.mkdir()
        for content, why in (
            (f"{ended.pid}\n", f"names process {ended.pid}, which has ended"),
            (f"{sleeping.pid}\n", f"names process {sleeping.pid}, which is not a server: sleep infinity"),
            ("nonsense\n", "holds no pid"),
            ("-1\n", "holds no pid"),
            ("99999999999\n", "holds no pid"),
        ):
            (proxy.logs / "proxy.pid").write_text(content)
            status = proxy.type(f"{RUN} status")
            assert status.returncode == 3
            assert f"Proxy is not running (stale PID file: logs/proxy.pid {why}" in status.stdout
            stopped = proxy.type(f"{RUN} stop")
            assert stopped.returncode == 0
            assert "removed a stale PID file" in stopped.stdout
        (proxy.logs / "proxy.pid").write_text(f"{sleeping.pid}\n")
        started = proxy.type(f"{RUN} start {proxy.app()}")
        assert f"Removing a stale PID file: logs/proxy.pid names process {sleeping.pid}" in started.stdout
        assert sleeping.poll() is None
        assert proxy.pid() != sleeping.pid
    finally:
        sleeping.kill()
        sleeping.wait()


def test_a_reused_pid_is_not_killed(proxy: Tree) -> None:
    proxy.start()
    pid = proxy.pid()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not alive(pid), "the server's end")
    # The record of a server that has ended. Its pid and session now belong to a process that the script did not start.
    sleeping = subprocess.Popen(["sleep", "infinity"], start_new_session=True)
    try:
        state = (proxy.logs / "proxy.state").read_bytes()
        (proxy.logs / "proxy.state").write_bytes(state.replace(b"\0%d\0" % pid, b"\0%d\0" % sleeping.pid))
        (proxy.logs / "proxy.pid").write_text(f"{sleeping.pid}\n")
        stopped = proxy.type(f"{RUN} stop")
        assert stopped.returncode == 0
        assert "its pid now belongs to another process" in stopped.stdout
        assert sleeping.poll() is None
    finally:
        sleeping.kill()
        sleeping.wait()


def test_a_server_started_elsewhere_is_left_alone(proxy: Tree, start_server: Callable[..., Server]) -> None:
    server = start_server()
    proxy.logs.mkdir()
    (proxy.logs / "proxy.pid").write_text(f"{server.pid}\n")
    status = proxy.type(f"{RUN} status")
    assert status.returncode == 0
    assert f"Proxy is running (pid {server.pid})" in status.stdout
    assert "It was not started here" in status.stdout
    assert "[CONCURRENCY] Active: 0/0 | Total: 0 |" in status.stdout
    for command in ("stop", "start", "restart"):
        refused = proxy.type(f"{RUN} {command}")
        assert refused.returncode == 1
        assert f"{server.pid}" in refused.stderr
        assert "not started here" in refused.stderr
    assert server.alive()
    assert proxy.pid() == server.pid


def test_a_port_in_use(proxy: Tree) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = proxy.type(f"{RUN} start {proxy.app('--port', str(port))}")
        assert refused.returncode == 1
        assert f"port {port} of 127.0.0.1 is in use by process {os.getpid()}" in refused.stderr
        refused = proxy.type(f"{RUN} run {proxy.app('--port', str(port))}")
        assert refused.returncode == 1
        assert f"port {port} of 127.0.0.1 is in use" in refused.stderr
    assert proxy.processes() == []
    assert not (proxy.logs / "proxy.pid").exists()
    assert not proxy.pins.exists()


def test_a_server_that_dies_while_starting(proxy: Tree) -> None:
    (proxy.directory / "broken.py").write_text("raise RuntimeError('raised while loading')\n")
    ended = proxy.type(f"{RUN} start --app broken:app --port 0")
    assert ended.returncode == 1
    assert "RuntimeError: raised while loading" in ended.stderr
    assert "the server ended while it was starting" in ended.stderr
    assert "[CONCURRENCY]" not in ended.stderr
    assert not (proxy.logs / "proxy.pid").exists()
    assert proxy.processes() == []
    assert not proxy.pins.exists()


def test_stop_kills_processes_that_do_not_end(proxy: Tree) -> None:
    port = proxy.start("--workers 2")
    pid = proxy.pid()
    family = tree(pid)
    assert len(family) >= 3
    with Client(port) as client:
        client.send(request("/hold?gate=never"))  # uvicorn waits for it for ever
        proxy.wait_for(active=1)
        stopped = proxy.type(f"{RUN} stop --timeout 1")
    assert stopped.returncode == 0
    assert f"Proxy (pid {pid}) has not ended within 1 s after SIGTERM: SIGKILL" in stopped.stderr
    assert not any(alive(member) for member in family)
    wait_until(lambda: proxy.processes() == [], "every process has ended")
    assert proxy.last() | {"uptime": ""} == {
        "active": 0,
        "peak": 1,
        "total": 1,
        "failed": 1,
        "queue": 0,
        "uptime": "",
    }


def test_workers_that_outlive_their_supervisor(proxy: Tree) -> None:
    proxy.start("--workers 2", f"--python {DEBIAN}")  # Debian's workers do not watch their supervisor
    pid = proxy.pid()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not alive(pid), "the supervisor's end")
    status = proxy.type(f"{RUN} status")
    assert status.returncode == 3
    assert "But some of its processes still run; stop ends them: " in status.stdout
    refused = proxy.type(f"{RUN} start")
    assert refused.returncode == 1
    assert f"these processes of the previous server (pid {pid}) still run: " in refused.stderr
    assert proxy.type(f"{RUN} stop").returncode == 0
    wait_until(lambda: proxy.processes() == [], "every process has ended")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_in_the_foreground(proxy: Tree, number: signal.Signals) -> None:
    with proxy.typed(f"exec {RUN} run {proxy.app()}") as running:
        port = 0
        assert running.stderr
        for line in running.stderr:
            if found := re.search(r"running on http://127\.0\.0\.1:(\d+)", line):
                port = int(found[1])
                break
        assert proxy.pid() != running.pid
        assert running.stdout
        assert running.stdout.readline() == "Concurrency lines go to logs/proxy.log every 5 s\n"
        assert running.stdout.readline() == f"Proxy is pid {proxy.pid()}\n"
        with Client(port) as client:
            assert client.ask(request("/ok")).body == b"ok"
        os.kill(running.pid, number)
        output, errors = running.communicate(timeout=PATIENCE)
    assert "GET /ok" in output
    assert "Finished server process" in errors
    assert running.returncode in (0, 130, 143)
    assert not (proxy.logs / "proxy.pid").exists()
    assert proxy.processes() == []
    assert not proxy.pins.exists()
    assert proxy.last()["total"] == 1


def test_the_variables(proxy: Tree) -> None:
    proxy.start(DEBUG="true", ENABLE_CONCURRENCY_MONITOR="false")
    assert "debug" in arguments_of(proxy.pid())
    assert "[CONCURRENCY]" not in proxy.log()
    assert len(proxy.processes()) == 1
    assert not proxy.pins.exists()
    status = proxy.type(f"{RUN} status")
    assert "[CONCURRENCY] Active: 0/0 | Total: 0 |" in status.stdout
    restarted = proxy.type(
        f"{RUN} restart", ENABLE_CONCURRENCY_MONITOR="true", MONITOR_UPDATE_INTERVAL="0.05", DEBUG="false"
    )
    assert "Concurrency lines go to logs/proxy.log every 0.05 s" in restarted.stdout
    wait_until(lambda: proxy.log().count("[CONCURRENCY]") >= 3, "three samples")


def test_without_cpu_memory_and_threads(proxy: Tree) -> None:
    two = r"(?s).*:\n\[CONCURRENCY\] Active: 0/0 [^\n]*\n\[ENDPOINTS\] none\n"
    proxy.start(MONITOR_NO_SYSTEM="true")
    assert re.fullmatch(two, proxy.type(f"{RUN} status").stdout)
    uncounted = proxy.type(f"{RUN} restart", ENABLE_CONCURRENCY_MONITOR="false")
    assert uncounted.returncode == 0, uncounted.stderr
    status = proxy.type(f"{RUN} status").stdout
    assert "Within half a second:" in status
    assert re.fullmatch(two, status)
    assert "[SYSTEM]" not in proxy.log()
    everything = proxy.type(f"{RUN} restart", ENABLE_CONCURRENCY_MONITOR="true", MONITOR_NO_SYSTEM="false")
    assert everything.returncode == 0, everything.stderr
    wait_until(lambda: "[SYSTEM]" in proxy.log(), "all three lines")


def test_options_as_one_word_and_the_log_level(proxy: Tree) -> None:
    started = proxy.type(
        f"{RUN} start --app=app:app --app-dir={PROGRAMS} --host=localhost --port=0 --workers=1 --python={VENV}"
        " --log-level=warning --monitor-interval=.05",
        DEBUG="true",
        MONITOR_PROFILE="syscall",
        MONITOR_UPDATE_INTERVAL="60",
    )
    assert started.returncode == 0, started.stderr
    assert " every .05 s\n" in started.stdout
    words = arguments_of(proxy.pid())
    assert [words[words.index(name) + 1] for name in ("--host", "--log-level")] == ["localhost", "warning"]
    [monitor] = [pid for pid in proxy.processes() if pid != proxy.pid()]
    assert "--profile\0syscall\0" in Path(f"/proc/{monitor}/cmdline").read_text()
    proxy.wait_for(active=0)
    assert "INFO" not in proxy.log()


def test_which_uvicorn_runs(proxy: Tree) -> None:
    """That of an active venv before that of build/venv. test_users.py starts the system's."""
    venv = proxy.directory / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin/python").symlink_to(DEBIAN)
    for environment, python in (({}, VENV), ({"VIRTUAL_ENV": str(venv)}, f"{venv}/bin/python")):
        started = proxy.type(f"{RUN} start {proxy.app()}", ENABLE_CONCURRENCY_MONITOR="false", **environment)
        assert started.returncode == 0, started.stderr
        assert Path(arguments_of(proxy.pid())[0]).parts[-4:] == Path(python).parts[-4:]
        assert proxy.type(f"{RUN} stop").returncode == 0
    none = proxy.type(f"{RUN} start", PYTHONHOME="/no/such")  # no Python runs
    assert none.returncode == 1
    assert "no uvicorn was found" in none.stderr


def test_unix_sockets(proxy: Tree, short_directory: Path) -> None:
    path = short_directory / "s"
    started = proxy.type(f"{RUN} start {proxy.app('--monitor-interval 0.05', '--', '--uds', str(path))}")
    assert started.returncode == 0, started.stderr
    assert f" on unix:{path}\n" in started.stdout
    for _ in range(3):
        with Client(path) as client:
            assert client.ask(request("/ok")).body == b"ok"
    proxy.wait_for(total=3)


def test_the_monitor_ends_with_the_server(proxy: Tree) -> None:
    proxy.start()
    os.kill(proxy.pid(), signal.SIGKILL)
    wait_until(lambda: proxy.processes() == [], "both have ended")
    status = proxy.type(f"{RUN} status")
    assert (status.returncode, status.stdout.split(":")[0]) == (3, "Proxy is not running (stale PID file")


def test_a_start_that_is_killed_leaves_no_server(proxy: Tree) -> None:
    stuck = proxy.directory / "stuck-monitor"
    stuck.write_text(f"#!/bin/sh\ntouch {proxy.directory}/attaching\nexec sleep infinity\n")
    stuck.chmod(0o755)
    with proxy.typed(f"exec {RUN} start {proxy.app()}", MONITOR_BINARY=str(stuck)) as starting:
        wait_until((proxy.directory / "attaching").exists, "the monitor's start")
        pid = proxy.pid()
        starting.kill()
        starting.wait()
        wait_until(lambda: not alive(pid), "the unfinished server has ended")
    assert proxy.type(f"{RUN} status").returncode == 3


def test_without_a_monitor_the_server_starts(proxy: Tree) -> None:
    started = proxy.type(f"{RUN} start {proxy.app()}", MONITOR_BINARY="/no/such/monitor")
    assert started.returncode == 0
    assert "the server starts, but without concurrency lines in logs/proxy.log" in started.stderr
    assert "/no/such/monitor" in started.stderr
    assert "No figures: MONITOR_BINARY is not a program" in proxy.type(f"{RUN} status", MONITOR_BINARY="/no").stdout


@pytest.mark.parametrize(
    "line",
    [
        "",
        "nonsense",
        "start --no-such",
        "start --port",
        "start --port 70000",
        "start --workers 0",
        "start app:app",
        "start -- --port 3",
        "start -- --fd 3",
        "start --monitor-interval often",
        "start --monitor-interval 0",
        "start --app=",
        "start --host ''",
        "start --log-level loud",
        "stop --timeout soon",
        "stop --timeout",
        "status now",
        "logs -n x",
        "logs -n",
    ],
)
def test_wrong_usage_is_exit_2(proxy: Tree, line: str) -> None:
    ended = proxy.type(f"{RUN} {line}")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("run_proxy.sh: ")
    assert not proxy.logs.exists()


@pytest.mark.parametrize("script", ["run_proxy.sh", "monitor_uvicorn.sh", "load_test.sh"])
def test_help(proxy: Tree, script: str) -> None:
    helped = proxy.type(f"scripts/{script} --help")
    assert (helped.returncode, helped.stderr) == (0, "")
    assert f"Usage: {script} " in helped.stdout
    assert max(map(len, helped.stdout.splitlines())) <= 120


def test_reports_why_it_cannot_start(proxy: Tree) -> None:
    unfit = proxy.directory / "unfit"
    unfit.write_text('#!/bin/sh\n[ "$1" = -c ]\n')  # it passes the check for uvicorn, but runs nothing
    unfit.chmod(0o755)
    for options, said in (
        ("--python /bin/cat", "--python /bin/cat has no uvicorn"),
        ("--python no-such-python", "there is no such program"),
        ("--app-dir /no/such", "--app-dir /no/such is not a directory"),
        ("--host no.such.host.invalid", "--host no.such.host.invalid: "),
        ("--host 203.0.113.1", "cannot listen on port 0 of 203.0.113.1: "),
        (f"--python {unfit}", f"{unfit} did not start"),
    ):
        ended = proxy.type(f"{RUN} start --port 0 {options}")
        assert ended.returncode == 1
        assert said in ended.stderr
    assert proxy.processes() == []
    assert not list(proxy.logs.glob(".*"))
