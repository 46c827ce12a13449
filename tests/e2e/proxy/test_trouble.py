# SPDX-License-Identifier: Apache-2.0
"""run_proxy.sh in trouble: applications that do not load, interrupts, odd names, monitors that misbehave."""

import os
import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness.monitor import BINARY
from harness.proxy import CONCURRENCY, DEBIAN, VENV, Tree, alive
from harness.server import PROGRAMS, ROOT, tree
from harness.waiting import PATIENCE, wait_until

RUN = "scripts/run_proxy.sh"
SHOW = "scripts/monitor_uvicorn.sh"


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Tree]:
    with Tree(tmp_path / "tree") as made:
        yield made


def test_workers_that_die_while_starting(tmp_path: Path) -> None:
    """The current uvicorn replaces them without end, and Debian's waits for them without end."""
    with ExitStack() as stack:
        places = [stack.enter_context(Tree(tmp_path / name)) for name in ("current", "debian")]
        starting = []
        for proxy, python in zip(places, (VENV, DEBIAN), strict=True):
            (proxy.directory / "broken.py").write_text("raise RuntimeError('raised while loading')\n")
            starting.append(proxy.typed(f"{RUN} start --app broken:app --port 0 --workers 2 --python {python}"))
        for proxy, process in zip(places, starting, strict=True):
            output, errors = process.communicate(timeout=PATIENCE)
            assert process.returncode == 1, output + errors
            assert "RuntimeError: raised while loading" in errors
            assert "the workers of the server ended while they were starting" in errors
            assert re.search(r"^Stopping the server \(pid (\d+)\)\nProxy \(pid \1\) has ended$", output, re.MULTILINE)
            assert not (proxy.logs / "proxy.pid").exists()
            wait_until(lambda: proxy.processes() == [], "every process has ended")
            assert not proxy.pins.exists()


SLOW = "import time\nprint('loading', flush=True)\ntime.sleep(1000)\n"


def test_a_start_that_takes_long(proxy: Tree) -> None:
    (proxy.directory / "slow.py").write_text(SLOW)
    started = proxy.type(f"{RUN} start --app slow:app --port 0", PROXY_START_TIMEOUT="1")
    pid = proxy.pid()
    assert started.returncode == 0
    assert started.stdout.endswith(
        f"Proxy is starting (pid {pid}): after 1 s it does not listen yet. Its log says:\nloading\n"
    )
    status = proxy.type(f"{RUN} status")
    assert status.returncode == 0
    assert status.stdout.endswith("s, but does not listen yet: it is starting\n")
    assert proxy.type(f"{RUN} stop").returncode == 0
    wrong = proxy.type(f"{RUN} start", PROXY_START_TIMEOUT="0")
    assert wrong.returncode == 2
    assert "PROXY_START_TIMEOUT: '0' is not a number from 1" in wrong.stderr


def test_an_interrupt_ends_what_was_started(proxy: Tree) -> None:
    (proxy.directory / "slow.py").write_text(SLOW)
    with proxy.typed(f"exec {RUN} start --app slow:app --port 0") as starting:
        wait_until(lambda: "loading\n" in proxy.log(), "the server's start")
        pid = proxy.pid()
        os.killpg(starting.pid, signal.SIGINT)
        output, _ = starting.communicate(timeout=PATIENCE)
    assert starting.returncode == 130
    assert output.endswith(f"Stopping the server (pid {pid})\nProxy (pid {pid}) has ended\n")
    assert not alive(pid)
    assert proxy.processes() == []
    assert not (proxy.logs / "proxy.pid").exists()


@pytest.mark.parametrize("then", ["exec sleep 1000", f"trap '' INT; exec {BINARY} \"$@\""], ids=["stuck", "attached"])
def test_an_interrupt_during_the_attach(then: str, proxy: Tree) -> None:
    """It ends a monitor that hangs; one that attaches finishes, and what it attached is removed."""
    monitor = proxy.directory / "own-monitor"
    monitor.write_text(f"#!/bin/sh\ntouch attaching\n{then}\n")
    monitor.chmod(0o755)
    with proxy.typed(f"exec {RUN} start {proxy.app()}", MONITOR_BINARY=str(monitor)) as starting:
        wait_until((proxy.directory / "attaching").exists, "the attach")
        pid = proxy.pid()
        os.killpg(starting.pid, signal.SIGINT)
        starting.communicate(timeout=PATIENCE)
    assert starting.returncode == -signal.SIGINT
    assert not alive(pid)
    assert not (proxy.logs / "proxy.pid").exists()
    wait_until(lambda: proxy.processes() == [], "every process has ended")
    assert not proxy.pins.exists()


def test_spaces_in_every_name(tmp_path: Path) -> None:
    with Tree(tmp_path / "a tree") as proxy:
        proxy.logs = proxy.directory / "lo gs/deep er"
        here = proxy.directory / "my app"
        shutil.copytree(PROGRAMS, here, ignore=shutil.ignore_patterns("__pycache__"))
        (proxy.directory / "my monitor").symlink_to(BINARY)
        environment = {"PROXY_LOG_DIR": "lo gs/deep er", "MONITOR_BINARY": "./my monitor"}
        (proxy.directory / "started from").mkdir()
        started = proxy.type(
            f"cd 'started from' && PROXY_LOG_DIR=\"$OLDPWD/$PROXY_LOG_DIR\" MONITOR_BINARY='../my monitor'"
            f" ../{RUN} start --app app:app --app-dir '../my app' --port 0",
            **environment,
        )
        assert (started.returncode, started.stderr) == (0, "")
        status = proxy.type(f"{RUN} status", **environment)
        assert "\nSince its start:\n[CONCURRENCY] " in status.stdout
        blind = proxy.type(f"{RUN} status", **environment | {"MONITOR_BINARY": "/no/such"})
        assert "\nSince its start, from lo gs/deep er/proxy.log:\n[CONCURRENCY] " in blind.stdout
        shown = proxy.type(f"{SHOW} --interval 0.05", **environment)
        assert shown.returncode == 0
        assert "since the server's start: [CONCURRENCY] Active: 0/0" in shown.stderr
        assert CONCURRENCY.search(proxy.type(f"{RUN} logs -n9", **environment).stdout)
        assert proxy.type(f"{RUN} stop", **environment).returncode == 0
        (proxy.directory / "started from").rmdir()
        gone = proxy.type(f"{RUN} restart", **environment)
        assert gone.returncode == 1
        assert "started from, where the server was started, is not a directory any more" in gone.stderr


def test_log_directories_that_cannot_be_used(proxy: Tree) -> None:
    (proxy.directory / "file").touch()
    refused = proxy.type(f"{RUN} start", PROXY_LOG_DIR="file")
    assert refused.returncode == 1
    assert "cannot create the directory file\n  set PROXY_LOG_DIR to another directory" in refused.stderr
    proxy.logs.mkdir()
    os.mkfifo(proxy.logs / "proxy.pid")
    status = proxy.type(f"{RUN} status")
    assert (status.returncode, status.stdout) == (
        3,
        "Proxy is not running (stale PID file: logs/proxy.pid holds no pid)\n",
    )


def test_monitor_binaries_that_do_not_work(proxy: Tree) -> None:
    for binary, said in (
        ("/tmp", "MONITOR_BINARY is not a program: /tmp"),
        ("false", "/bin/false ended without a message"),
    ):
        environment = {"MONITOR_BINARY": binary, "PATH": f"/bin:{os.environ['PATH']}"}
        started = proxy.type(f"{RUN} start {proxy.app()}", **environment)
        assert started.returncode == 0
        assert f"the server starts, but without concurrency lines in logs/proxy.log: {said}\n" in started.stderr
        assert f"\nNo figures: {said}\n" in proxy.type(f"{RUN} status", **environment).stdout
        assert proxy.type(f"{RUN} stop").returncode == 0


def test_no_monitor_anywhere(proxy: Tree) -> None:
    """monitor is neither built nor installed."""
    (proxy.directory / "build").unlink()
    tools = proxy.directory / "tools"
    tools.mkdir()
    for tool in Path("/usr/bin").iterdir():
        if tool.name != "monitor":
            (tools / tool.name).symlink_to(tool)
    started = proxy.type(f"{RUN} start {proxy.app('--python', VENV)}", MONITOR_BINARY="", PATH=str(tools))
    assert started.returncode == 0
    assert "there is no monitor: neither build/release/monitor nor an installed one" in started.stderr
    assert "cmake --build build/release" in started.stderr


def cut_patience_short(proxy: Tree, *places: tuple[str, str, str]) -> None:
    """Gives the tree its own copy of the scripts, with one text replaced in each of these places: file, before,
    after."""
    (proxy.directory / "scripts").unlink()
    shutil.copytree(ROOT / "scripts", proxy.directory / "scripts")
    for name, long, short in places:
        text = (proxy.directory / name).read_text()
        assert text.count(long) == 1
        (proxy.directory / name).write_text(text.replace(long, short))


def test_monitors_that_do_not_attach_or_do_not_end(tmp_path: Path) -> None:
    with Tree(tmp_path / "tree") as proxy:
        cut_patience_short(
            proxy,
            ("scripts/proxy/launch.sh", "patience_to_attach=30 ", "patience_to_attach=1 "),
            ("scripts/run_proxy.sh", "tries < 100;", "tries < 10;"),
        )
        deaf = proxy.directory / "deaf"
        deaf.write_text("#!/bin/sh\nexec sleep infinity\n")
        deaf.chmod(0o755)
        started = proxy.type(f"{RUN} start {proxy.app()}", MONITOR_BINARY=str(deaf))
        assert started.returncode == 0
        assert "without concurrency lines in logs/proxy.log: monitor did not attach within 1 s" in started.stderr
        assert "it keeps trying; requests until then are not counted" in started.stderr
        [monitor] = [pid for pid in proxy.processes() if pid not in tree(proxy.pid())]
        stopped = proxy.type(f"{RUN} stop")
        assert stopped.returncode == 0
        assert f"The monitor (pid {monitor}) of the ended server is still running" in stopped.stderr
        os.kill(monitor, signal.SIGKILL)


def test_a_server_that_no_signal_ends(proxy: Tree) -> None:
    """Like a server that hangs in the kernel: in the script that stops it, kill does nothing and prints nothing."""
    cut_patience_short(proxy, ("scripts/run_proxy.sh", "await_end 10 ||", "await_end 1 ||"))
    proxy.start()
    pid = proxy.pid()
    stopped = proxy.type(f"{RUN} stop --timeout 1", **{"BASH_FUNC_kill%%": "() { :; }"})
    assert (stopped.returncode, stopped.stdout) == (1, "")
    said = stopped.stderr.splitlines()
    assert said[0] == f"Proxy (pid {pid}) has not ended within 1 s after SIGTERM: SIGKILL"
    assert said[1] == f"run_proxy.sh: processes of the server are still running: {pid}"
    assert proxy.pid() == pid
    assert f"Proxy is running (pid {pid})" in proxy.type(f"{RUN} status").stdout
    assert proxy.type(f"{RUN} stop").stdout == f"Proxy (pid {pid}) has ended\n"
