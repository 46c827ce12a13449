# SPDX-License-Identifier: Apache-2.0
"""One monitor for several servers: each has its own figures, and each comes and goes independently."""

import json
import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from harness.asgi_servers import DEBIAN, Gunicorn
from harness.bpffs import pin_directory
from harness.client import Client, request
from harness.load import keep_alive
from harness.monitor import BINARY, PROFILE, Monitor, Snapshot, run_monitor
from harness.observation import Observation
from harness.private_proc import OwnProc
from harness.server import PROGRAMS, USUAL, AppServer, Server
from harness.terminal import read_terminal
from harness.waiting import PATIENCE, wait_until
from tally import Tally

Start = Callable[..., Server]
Attach = Callable[..., Monitor]

NOBODY = 65534


@contextmanager
def on_a_terminal(*command: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """Runs the command on a terminal of its own. Its output can be read until after it has ended."""
    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (60, 100))
    process = subprocess.Popen(
        command,
        stdin=its,
        stdout=its,
        stderr=its,
        env=os.environ | {"TERM": "xterm", "LC_ALL": "C.UTF-8"},
        start_new_session=True,
        preexec_fn=lambda: os.close(os.open(os.ttyname(1), os.O_RDWR)),
    )
    os.close(its)
    try:
        yield ours, process
    finally:
        process.kill()
        process.wait()
        os.close(ours)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    """Two servers for tests that leave them running."""
    with Server(tmp_path_factory.mktemp("one")) as one, Server(tmp_path_factory.mktemp("two")) as two:
        yield [one, two]


def pids_of(servers: Sequence[AppServer]) -> list[str]:
    return [word for server in servers for word in ("--pid", str(server.pid))]


def watch(attach: Attach, *servers: AppServer) -> Monitor:
    return attach(servers[0].pid, *pids_of(servers[1:]))


def is_complete(snapshot: Snapshot, server: AppServer) -> bool:
    return (snapshot["active_concurrent"], snapshot["total_requests"]) == (0, server.tally().total())


def settled(monitor: Monitor, server: AppServer) -> Snapshot:
    """Its snapshot with nothing in flight and a total equal to the application's, which has counted from its start."""
    return monitor.wait_for(
        lambda snapshot: is_complete(snapshot, server), f"the application's total of {server.tally()}", pid=server.pid
    )


def assert_exact(monitor: Monitor, server: AppServer) -> None:
    Observation(server, monitor, Tally({})).assert_equal(settled(monitor, server))


def use(server: AppServer, count: int) -> None:
    keep_alive(server.address, count, 8)
    with Client(server.address) as client:
        assert client.ask(request("/status/403")).status == 403


def test_each_of_three_has_its_own_totals(
    start_server: Start, attach: Attach, short_directory: Path, tmp_path: Path
) -> None:
    """uvicorn with workers, at a Unix socket, and gunicorn; used one after another and then all at once."""
    with Gunicorn(tmp_path, DEBIAN) as gunicorn:
        servers = [start_server(USUAL, workers=2), start_server(unix=short_directory / "server.sock"), gunicorn]
        monitor = watch(attach, *servers)
        for number, server in enumerate(servers, 1):
            use(server, 200 * number)
        with ExitStack() as stack:
            clients = [stack.enter_context(Client(server.address)) for server in servers]
            for _ in range(100):
                for client in clients:
                    client.send(request("/users/1"))
                for client in clients:
                    assert client.response().status == 200
        for number, server in enumerate(servers, 1):
            assert_exact(monitor, server)
            assert server.tally().total() == 200 * number + 1 + 100
            workers = monitor.shown(server.pid)["workers"]
            assert {worker["pid"] for worker in workers} == set(server.workers())
        monitor.stop()
    pids = [server.pid for server in servers]
    assert monitor.printed == pids * (len(monitor.printed) // len(pids))


def test_requests_in_flight_count_for_their_own_server_only(pair: list[Server], attach: Attach) -> None:
    busy, idle = pair
    monitor = watch(attach, busy, idle)
    with Client(busy.port) as client:
        client.send(request("/hold?gate=busy"))
        busy.wait_at_gate("GET /hold", 1)
        snapshot = monitor.next()
        assert (snapshot["active_concurrent"], snapshot["open_connections"]) == (1, 1)
        other = monitor.wait_for(lambda _: True, "a snapshot of the idle server", pid=idle.pid)
        assert (other["active_concurrent"], other["peak_concurrent"], other["open_connections"]) == (0, 0, 0)
        busy.open_gate("busy")
        assert client.response().body == b"held"
    assert monitor.wait_idle()["total_requests"] == 1


def test_boxes_have_headings_and_an_empty_line_between_them(pair: list[Server]) -> None:
    arguments = ["--profile", PROFILE, "--interval", "0.05", "--watch", "--count", "2"]
    ended = run_monitor(*pids_of(pair), *arguments, env=os.environ | {"LC_ALL": "C.UTF-8"})
    assert (ended.returncode, ended.stderr) == (0, "")
    boxes = ended.stdout.split("\n\n")
    assert len(boxes) == 4
    for box, server in zip(boxes, [*pair, *pair], strict=True):
        heading, rest = box.split("\n", 1)
        assert heading.startswith(f"pid {server.pid} on 127.0.0.1:{server.port}: ")
        assert len(heading) <= 58
        assert rest.startswith("╔")
        assert rest.strip().endswith("╝")


def test_one_object_each_without_watching(pair: list[Server]) -> None:
    ended = run_monitor(*pids_of(pair), "--profile", PROFILE, "--interval", "0.05", "--json")
    assert (ended.returncode, ended.stderr) == (0, "")
    targets = [json.loads(line)["target"] for line in ended.stdout.splitlines()]
    assert [target["pid"] for target in targets] == [server.pid for server in pair]
    assert [target["listen"] for target in targets] == [[f"127.0.0.1:{server.port}"] for server in pair]


LEFT = b"\x1b[?1049l"  # the alternate screen


def test_the_screen_shows_both(pair: list[Server]) -> None:
    arguments = ["--profile", PROFILE, "--watch", "--interval", "0.05"]
    with on_a_terminal(BINARY, *pids_of(pair), *arguments) as (terminal, process):
        read_terminal(terminal, lambda seen: seen.count("╚".encode()) >= 2)
        with Client(pair[0].port) as one, Client(pair[1].port) as two:
            one.send(request("/hold?gate=never"))
            two.send(request("/hold/longer?gate=never"))
            read_terminal(terminal, lambda seen: b"/hold: 1" in seen and b"/hold/longer: 1" in seen)
            os.write(terminal, b"q")
            seen = read_terminal(terminal, lambda _: False)
        assert process.wait(PATIENCE) == 0
    left = seen[seen.rindex(LEFT) :].decode()
    first, second = left.replace("\r\n", "\n").split("\n\n")
    assert "/hold: 1" in first
    assert "/hold/longer: 1" in second


def test_one_ends_and_the_other_continues(start_server: Start, attach: Attach) -> None:
    first, second = start_server(), start_server()
    monitor = watch(attach, first, second)
    use(first, 50)
    with Client(first.port) as client:
        client.send(request("/hold?gate=never"))
        first.wait_at_gate("GET /hold", 1)
        first.stop()
        assert client.rest() == b""
    use(second, 30)
    settled(monitor, second)
    last = monitor.newest(first.pid)
    assert last and last["active_concurrent"] == 0
    assert last["total_requests"] == first.tally().total() == 52
    assert last["failed_requests"] == 1
    use(second, 20)
    settled(monitor, second)
    at_its_end = monitor.printed.count(first.pid)
    second.stop()
    assert monitor.process.wait(PATIENCE) == 3
    status, _ = monitor.wait_end()
    assert status == 3
    assert monitor.shown(second.pid)["total_requests"] == second.tally().total() == 52
    assert monitor.printed.count(first.pid) == at_its_end
    for server in (first, second):
        assert f"the server (pid {server.pid}) has ended" in monitor.errors()


def test_both_end_at_once(start_server: Start, attach: Attach) -> None:
    servers = [start_server(), start_server()]
    monitor = watch(attach, *servers)
    for server in servers:
        use(server, 10)
    for server in servers:
        os.kill(server.pid, signal.SIGTERM)
    status, _ = monitor.wait_end()
    assert status == 3
    for server in servers:
        assert monitor.shown(server.pid)["total_requests"] == server.tally().total() == 11
        assert f"the server (pid {server.pid}) has ended" in monitor.errors()


def test_the_same_pid_twice_is_one_server(pair: list[Server]) -> None:
    server = pair[0]
    ended = run_monitor(*pids_of([server, server]), "--profile", PROFILE, "--interval", "0.05", "--json")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert [json.loads(line)["target"]["pid"] for line in ended.stdout.splitlines()] == [server.pid]


def test_a_worker_beside_its_own_root_is_an_error(start_server: Start) -> None:
    server = start_server(USUAL, workers=2)
    worker = server.workers()[0]
    for one, other in ((server.pid, worker), (worker, server.pid)):
        ended = run_monitor("--pid", str(one), "--pid", str(other), "--profile", PROFILE, "--json")
        assert (ended.returncode, ended.stdout) == (1, "")
        assert f"{worker} belongs to a server that is followed already" in ended.stderr


@contextmanager
def no_server() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "infinity"])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_process_that_is_not_a_server_is_exit_3(pair: list[Server]) -> None:
    """No server is attached then: either all of them are or no server is."""
    with no_server() as process, pin_directory() as pins:
        for command in (["--json"], ["attach", "--pins", str(pins)]):
            arguments = [*pids_of(pair), "--pid", str(process.pid), "--profile", PROFILE]
            ended = run_monitor(*command, *arguments)
            assert (ended.returncode, ended.stdout) == (3, "")
            assert f"process {process.pid} (sleep infinity)" in ended.stderr
            assert "no listening socket" in ended.stderr
            assert not pins.exists()


@contextmanager
def server_of_nobody() -> Iterator[AppServer]:
    """A server of another user, with its files where that user may read them."""
    with TemporaryDirectory(prefix="monitor-e2e-") as made:
        directory = Path(made)
        os.chown(directory, NOBODY, NOBODY)
        for name in ("app.py", "tally.py"):
            (directory / name).write_bytes((PROGRAMS / name).read_bytes())
            (directory / name).chmod(0o644)
        command = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        command += ["env", f"PYTHONPATH={directory}", DEBIAN, "-m", "uvicorn", "--lifespan", "on", "--port", "0"]
        with AppServer(directory, "a server of the user nobody", [*command, "app:app"]) as server:
            yield server


def test_all_finds_running_and_new_servers(start_server: Start, attach: Attach) -> None:
    """Other servers on the machine may fill the table of endpoints. The new server belongs to another user, and by then
    the monitor has dropped most of its capabilities."""
    first = start_server()
    monitor = attach(first.pid, selection=("--all",))
    use(first, 20)
    with server_of_nobody() as second:
        monitor.wait_for(lambda _: True, "the second server is found", pid=second.pid)
        assert os.stat(f"/proc/{second.pid}").st_uid == NOBODY
        use(second, 40)
        settled(monitor, second)
        use(first, 10)
        settled(monitor, first)
        first.stop()
        use(second, 5)
        settled(monitor, second)
        assert monitor.shown(first.pid)["total_requests"] == first.tally().total() == 32
        at_its_end = monitor.printed.count(first.pid)
        settled(monitor, second)
        assert monitor.printed.count(first.pid) == at_its_end
        monitor.process.send_signal(signal.SIGINT)
        status, _ = monitor.wait_end()
        assert second.tally().total() == 47
    assert status == 0
    assert f"the server (pid {first.pid}) has ended" in monitor.errors()


def test_all_continues_without_any_server(start_server: Start, attach: Attach, tmp_path: Path) -> None:
    """Without a server it prints nothing, until one starts."""
    proc = OwnProc(tmp_path)
    first = start_server()
    proc.show(first.pid)
    monitor = attach(first.pid, selection=("--all",), command=proc.command())
    use(first, 5)
    settled(monitor, first)
    first.stop()
    wait_until(lambda: (newest := monitor.newest(first.pid)) and not newest["memory_mb"], "its last sample")
    printed = len(monitor.printed)
    second = start_server()
    proc.show(second.pid)
    monitor.wait_for(lambda _: True, "the second server is found", pid=second.pid)
    use(second, 7)
    assert_exact(monitor, second)
    assert set(monitor.printed[printed:]) == {second.pid}
    assert monitor.shown(first.pid)["total_requests"] == first.tally().total() == 6


def test_the_screen_shows_that_no_server_is_left(start_server: Start, tmp_path: Path) -> None:
    proc = OwnProc(tmp_path)
    server = start_server()
    proc.show(server.pid)
    arguments = ["--all", "--profile", PROFILE, "--watch", "--interval", "0.05"]
    with on_a_terminal(*proc.command(), BINARY, *arguments) as (terminal, process):
        read_terminal(terminal, lambda seen: "╚".encode() in seen)
        server.stop()
        read_terminal(terminal, lambda seen: b"No server is running." in seen)
        os.write(terminal, b"q")
        seen = read_terminal(terminal, lambda _: False)
        assert process.wait(PATIENCE) == 0
    left = seen[seen.rindex(LEFT) :].decode()
    assert "No server is running." in left
    assert f"the server (pid {server.pid}) has ended" in left


def test_all_without_any_server_is_exit_3(tmp_path: Path) -> None:
    proc = OwnProc(tmp_path)
    ended = subprocess.run(
        [*proc.command(), BINARY, "--all", "--profile", PROFILE, "--watch", "--json"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert (ended.returncode, ended.stdout) == (3, "")
    assert "no uvicorn, gunicorn or hypercorn" in ended.stderr


WATCHING = "+bpf,+perfmon,+sys_ptrace"


def all_as_nobody(
    proc: OwnProc, binary: Path, capabilities: str = WATCHING
) -> tuple[subprocess.CompletedProcess[str], set[int]]:
    """Runs `monitor --all` as nobody. Returns how it ended, and the servers that it showed."""
    command = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    command += [f"--inh-caps={capabilities}", f"--ambient-caps={capabilities}", str(binary)]
    ended = subprocess.run(
        [*proc.command(), *command, "--all", "--profile", PROFILE, "--json", "--interval", "0.05"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        cwd="/",
    )
    return ended, {json.loads(line)["target"]["pid"] for line in ended.stdout.splitlines()}


def test_all_names_the_servers_whose_sockets_it_may_not_see(
    pair: list[Server], binary_for_all: Path, short_directory: Path
) -> None:
    """With the capabilities for watching. Finding another user's servers needs one more."""
    short_directory.chmod(0o755)
    proc = OwnProc(short_directory)
    proc.show(pair[0].pid)
    ended, shown = all_as_nobody(proc, binary_for_all)
    assert (ended.returncode, shown) == (4, set())
    assert f"process {pair[0].pid} " in ended.stderr
    assert "CAP_DAC_READ_SEARCH" in ended.stderr
    with server_of_nobody() as own:
        proc.show(own.pid)
        ended, shown = all_as_nobody(proc, binary_for_all)
        assert (ended.returncode, shown) == (0, {own.pid})
        assert f"process {pair[0].pid} " in ended.stderr
        ended, shown = all_as_nobody(proc, binary_for_all, WATCHING + ",+dac_read_search")
        assert (ended.returncode, shown, ended.stderr) == (0, {own.pid, pair[0].pid}, "")


def test_all_counts_the_workers_that_a_killed_root_leaves(start_server: Start, attach: Attach, tmp_path: Path) -> None:
    proc = OwnProc(tmp_path)
    with Gunicorn(tmp_path, DEBIAN, "--timeout", "0", workers=1) as server:
        (worker,) = server.workers()
        proc.show(server.pid, worker)
        monitor = attach(server.pid, selection=("--all",), command=proc.command())
        os.kill(worker, signal.SIGSTOP)  # otherwise it would end together with its root
        try:
            os.kill(server.pid, signal.SIGKILL)
            monitor.wait_for(lambda _: True, "the worker is found", pid=worker)
        finally:
            os.kill(worker, signal.SIGKILL)
    assert set(monitor.printed) == {server.pid, worker}


def test_all_with_some_attached(start_server: Start, attach: Attach, tmp_path: Path) -> None:
    """These are read from the attached engine with all of their earlier counts, the others from the command's own
    engine."""
    proc = OwnProc(tmp_path)
    attached, other = start_server(), start_server()
    proc.show(attached.pid, other.pid)
    with pin_directory() as pins:
        made = run_monitor("attach", *pids_of([attached]), "--pins", str(pins), "--profile", PROFILE)
        assert made.returncode == 0, made.stderr
        use(attached, 50)
        use(other, 50)
        before = other.tally()
        monitor = attach(other.pid, "--pins", str(pins), selection=("--all",), command=proc.command())
        use(attached, 10)
        use(other, 10)
        assert_exact(monitor, attached)
        own = monitor.wait_for(
            lambda s: is_complete(s | {"total_requests": s["total_requests"] + before.total()}, other), "its own total"
        )
        assert own["total_requests"] == (other.tally() - before).total() == 11

        # After the detach no engine counts it, so the command's own engine starts to.
        assert run_monitor("detach", *pids_of([attached]), "--pins", str(pins)).returncode == 0
        wait_until(lambda: monitor.shown(attached.pid)["total_requests"] == 0, "counting begins anew")
        use(attached, 3)
        wait_until(lambda: monitor.shown(attached.pid)["total_requests"] == 4, "later requests are counted")
        assert f"pid {attached.pid}: the server was detached" in monitor.errors()
        assert monitor.stop()["total_requests"] == 11
    assert "the server (pid" not in monitor.errors()


def test_all_loads_an_engine_for_a_new_server(
    start_server: Start, attach: Attach, short_directory: Path, tmp_path: Path
) -> None:
    """By then the monitor has dropped most of its capabilities. The second server needs the hooks on Unix sockets."""
    proc = OwnProc(tmp_path)
    attached = start_server()
    proc.show(attached.pid)
    with pin_directory() as pins:
        made = run_monitor("attach", *pids_of([attached]), "--pins", str(pins), "--profile", PROFILE)
        assert made.returncode == 0, made.stderr
        monitor = attach(attached.pid, "--pins", str(pins), selection=("--all",), command=proc.command())
        for unix in (None, short_directory / "server.sock"):
            server = start_server(unix=unix)
            proc.show(server.pid)
            monitor.wait_for(lambda _: True, "the server is found", pid=server.pid)
            use(server, 30)
            assert_exact(monitor, server)
        use(attached, 20)
        assert_exact(monitor, attached)
        monitor.stop()
    assert monitor.errors() == ""


MANY = 20

# Listens under the name of a server and does nothing else.
DUMMY = "import socket; listening = socket.create_server(('127.0.0.1', 0)); print(flush=True); input()"


@contextmanager
def many_servers(directory: Path) -> Iterator[list[int]]:
    program = directory / "uvicorn"
    program.write_text(DUMMY)
    with ExitStack() as stack:
        processes = []
        for _ in range(MANY):
            process = subprocess.Popen(
                [sys.executable, "-S", "-E", str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            processes.append(process)
        for process in processes:
            assert process.stdout and process.stdout.readline() == b"\n"
        yield [process.pid for process in processes]


@pytest.mark.parametrize("how", ["--all", "--pid"])
def test_more_servers_than_the_default_limit(how: str, tmp_path: Path) -> None:
    proc = OwnProc(tmp_path)
    with many_servers(tmp_path) as pids:
        proc.show(*pids)
        selection = [how] if how == "--all" else [word for pid in pids for word in (how, str(pid))]
        ended = subprocess.run(
            [*proc.command(), BINARY, *selection, "--profile", PROFILE, "--json", "--interval", "0.05"],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert sorted(json.loads(line)["target"]["pid"] for line in ended.stdout.splitlines()) == sorted(pids)
