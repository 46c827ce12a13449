# SPDX-License-Identifier: Apache-2.0
"""A server in a container is observed from the host like any other. In a container the monitor refuses to run."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness.bpffs import pin_directory
from harness.client import Client, request
from harness.container import ISOLATED, Container, inner_pid
from harness.load import keep_alive
from harness.monitor import BINARY, PROFILE, Monitor, Snapshot, run_monitor
from harness.network import NetworkNamespace
from harness.observation import Observation
from harness.server import PROGRAMS, ROOT, USUAL
from harness.waiting import PATIENCE, wait_until
from tally import Tally

Attach = Callable[..., Monitor]
Start = Callable[..., Container]

UVICORN = ["-m", "uvicorn", "--lifespan", "on", "--log-level", "warning", "--timeout-keep-alive", "60"]
ANYWHERE = ["--host", "0.0.0.0", "--port", "0", "app:app"]


@pytest.fixture(scope="module")
def network() -> Iterator[NetworkNamespace]:
    with NetworkNamespace() as network:
        yield network


@pytest.fixture
def start(network: NetworkNamespace, tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def start(workers: int = 1) -> Container:
            more = ["--workers", str(workers)] if workers > 1 else []
            command = [USUAL.python, *UVICORN, *more, *ANYWHERE]
            return stack.enter_context(Container(tmp_path, network, command, workers))

        yield start


def use(network: NetworkNamespace, server: Container) -> int:
    """Sends requests from the host over the veth and from inside to both addresses. Returns their number."""
    keep_alive(server.port, 300, 8, host=network.inner)
    with network.inside():
        keep_alive(server.port, 200, 8)
        keep_alive(server.port, 100, 8, host=network.inner)
        with Client(server.port) as client:
            assert client.ask(request("/fail")).status == 500
    return 601


def assert_exact(monitor: Monitor, server: Container) -> None:
    """The monitor's figures equal the application's, which has counted from its start."""
    snapshot = monitor.wait_for(
        lambda s: s["active_concurrent"] == 0 and s["total_requests"] == server.tally().total(),
        f"the application's total of {server.tally()}",
    )
    Observation(server, monitor, Tally({})).assert_equal(snapshot)
    assert snapshot["failed_requests"] == server.tally().total("5xx")


@pytest.mark.parametrize("selection", ["--pid", "--all"])
def test_it_is_counted_from_the_host(selection: str, network: NetworkNamespace, start: Start, attach: Attach) -> None:
    server = start(workers=2)
    workers = server.workers()
    assert inner_pid(server.pid) == 1
    assert server.pid not in workers and len(workers) == 2
    assert {inner_pid(worker) for worker in workers} == set(server.started_workers())
    monitor = attach(server.pid, selection=("--all",)) if selection == "--all" else attach(server.pid)
    count = use(network, server)
    snapshot = monitor.wait_for(lambda s: s["active_concurrent"] == 0 and s["total_requests"] == count, "all requests")
    assert server.tally().total() == count
    if selection == "--pid":  # with --all, other tests' servers may fill the table of endpoints
        assert_exact(monitor, server)
    target = snapshot["target"]
    assert target["pid"] == server.pid
    assert target["listen"] == [f"0.0.0.0:{server.port}"]
    assert target["command"].split()[1:3] == ["-m", "uvicorn"]
    assert {worker["pid"] for worker in snapshot["workers"]} == set(workers)
    assert sum(worker["total"] for worker in snapshot["workers"]) == count
    assert all(worker["memory_mb"] > 5 for worker in snapshot["workers"])


def test_a_replaced_worker_has_its_pid_of_the_host(network: NetworkNamespace, start: Start, attach: Attach) -> None:
    server = start(workers=2)
    monitor = attach(server.pid)
    use(network, server)
    killed = server.workers()[0]
    os.kill(killed, signal.SIGKILL)
    pids = wait_until(
        lambda: len(now := set(server.workers())) == 2 and killed not in now and now, "the worker is replaced"
    )
    monitor.wait_for(lambda s: {worker["pid"] for worker in s["workers"]} == pids, "the new worker is followed")
    use(network, server)
    last = monitor.wait_for(
        lambda s: s["active_concurrent"] == 0 and s["total_requests"] == server.tally().total(), "both totals"
    )
    assert last["total_requests"] == 2 * 601
    assert last["undercount_by_cause"] == {}


def test_its_queue_is_that_of_its_own_network(network: NetworkNamespace, start: Start, attach: Attach) -> None:
    waiting = 7
    server = start()
    monitor = attach(server.pid)
    with ExitStack() as stack:
        with network.inside():
            idle = stack.enter_context(Client(server.port))
        assert idle.ask(request("/ok")).status == 200
        os.kill(server.pid, signal.SIGSTOP)
        try:
            idle.send(request("/ok"))  # unread in an accepted connection; the others wait to be accepted
            with network.inside():
                clients = [stack.enter_context(Client(server.port)).send(request("/ok")) for _ in range(waiting)]
            clients.append(stack.enter_context(Client(server.port, network.inner)))
            monitor.wait_for(lambda s: s["queue_depth"] == waiting + 2, f"{waiting} + 2 wait")
            snapshot = monitor.next()
            assert (snapshot["active_concurrent"], snapshot["open_connections"]) == (0, 1)
        finally:
            os.kill(server.pid, signal.SIGCONT)
        clients[-1].send(request("/ok"))
        assert [client.response().status for client in (idle, *clients)] == [200] * (waiting + 2)
        monitor.wait_for(lambda s: s["queue_depth"] == 0, "no connection waits")
    assert_exact(monitor, server)


# A container's own file system, in which the interpreter, the application and the socket have paths that do not exist
# on the host.
OWN_FILES = """
mount -t tmpfs tmpfs /mnt && mkdir /mnt/venv /mnt/application && mount --bind "$1" /mnt/venv &&
mount --bind "$2" /mnt/application && shift 2 && cd /mnt && export PYTHONPATH=/mnt/application && exec "$@"
"""


def test_paths_that_exist_only_in_the_container(network: NetworkNamespace, attach: Attach, tmp_path: Path) -> None:
    path = Path("/mnt/server.sock")
    server_command = ["/mnt/venv/bin/python", *UVICORN, "--uds", str(path), "app:app"]
    command = ["sh", "-c", OWN_FILES, "sh", str(ROOT / "build/venv"), str(PROGRAMS), *server_command]
    with Container(tmp_path, network, command, unix=path) as server:
        assert not path.exists()
        monitor = attach(server.pid)
        keep_alive(Path(f"/proc/{server.pid}/root{path}"), 500, 8)
        assert_exact(monitor, server)
        snapshot = monitor.next()
        assert snapshot["target"]["listen"] == [f"unix:{path}"]
        assert snapshot["target"]["command"] == " ".join(server_command)
        server.stop()
        status, last = monitor.wait_end()
    assert (status, last["total_requests"]) == (3, 500)


def test_one_box_and_one_object(network: NetworkNamespace, start: Start) -> None:
    server = start()
    arguments = ["--pid", str(server.pid), "--profile", PROFILE, "--interval", "0.05"]
    box = run_monitor(*arguments, env=os.environ | {"LC_ALL": "C.UTF-8"})
    assert (box.returncode, box.stderr, box.stdout.count("╔")) == (0, "", 1)
    printed = run_monitor(*arguments, "--json")
    assert (printed.returncode, printed.stderr) == (0, "")
    assert json.loads(printed.stdout)["target"]["listen"] == [f"0.0.0.0:{server.port}"]


def test_an_attached_container_is_counted_while_no_monitor_runs(network: NetworkNamespace, start: Start) -> None:
    server = start(workers=2)
    with pin_directory() as pins:
        options = ["--pid", str(server.pid), "--pins", str(pins)]
        attached = run_monitor("attach", *options, "--profile", PROFILE)
        assert attached.returncode == 0, attached.stderr
        assert f"attached pid {server.pid}, which listens on 0.0.0.0:{server.port}" in attached.stdout
        count = use(network, server)

        def shown() -> Snapshot:
            printed = run_monitor(*options, "--json")
            assert (printed.returncode, printed.stderr) == (0, "")
            return dict(json.loads(printed.stdout))

        # The last response can be here before the kernel has counted its end.
        wait_until(lambda: shown()["active_concurrent"] == 0, "nothing is in flight")
        snapshot = shown()
        assert snapshot["total_requests"] == server.tally().total() == count
        assert snapshot["failed_requests"] == 1
        assert {worker["pid"] for worker in snapshot["workers"]} == set(server.workers())
        sessions = json.loads(run_monitor("sessions", "--pins", str(pins), "--json").stdout)
        assert [target["pid"] for target in sessions["sessions"]] == [server.pid]
        assert run_monitor("detach", *options).returncode == 0


@pytest.mark.parametrize("isolated", [ISOLATED, ("unshare", "--pid", "--fork")], ids=["own proc", "proc of the host"])
@pytest.mark.parametrize(
    "arguments",
    [["--pid", "1", "--json"], ["--all"], ["attach", "--all"], ["sessions"], ["detach", "--all"]],
    ids=" ".join,
)
def test_in_a_container_the_monitor_refuses(isolated: tuple[str, ...], arguments: list[str]) -> None:
    """The pids are different there: the monitor would count other processes and consider the attached ones ended."""
    environment = os.environ | {"MONITOR_PINS": f"/sys/fs/bpf/monitor-test-refused-{os.getpid()}"}
    ended = subprocess.run(
        [*isolated, BINARY, *arguments], capture_output=True, text=True, timeout=PATIENCE, env=environment
    )
    assert (ended.returncode, ended.stdout) == (5, "")
    assert "pid namespace" in ended.stderr
    assert "--pid=host" in ended.stderr


def test_under_the_proc_of_a_container_the_monitor_refuses(start: Start) -> None:
    server = start()
    ended = subprocess.run(
        ["nsenter", "--mount", "--target", str(server.pid), BINARY, "--pid", "1", "--json"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert (ended.returncode, ended.stdout) == (5, "")
    assert "does not show this process" in ended.stderr
    assert "--pid=host" in ended.stderr


def test_an_attach_where_the_host_sees_no_pins_is_refused(start: Start) -> None:
    """In a container that has the host's pids, but a BPF file system of its own."""
    server = start()
    mounted = 'mount --make-rprivate / && mount -t bpf bpf /sys/fs/bpf && exec "$@"'
    ended = subprocess.run(
        ["unshare", "--mount", "sh", "-c", mounted, "sh", BINARY, "attach", "--pid", str(server.pid)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert (ended.returncode, ended.stdout) == (5, "")
    assert "the host does not see the file system at /sys/fs/bpf/monitor" in ended.stderr
    assert "docker run -v /sys/fs/bpf:/sys/fs/bpf" in ended.stderr


def test_in_a_container_help_and_version_work() -> None:
    for option in ("--help", "--version"):
        ended = subprocess.run([*ISOLATED, BINARY, option], capture_output=True, text=True, timeout=PATIENCE)
        assert (ended.returncode, ended.stderr) == (0, "")
    wrong = subprocess.run([*ISOLATED, BINARY, "--no-such-option"], capture_output=True, timeout=PATIENCE)
    assert wrong.returncode == 2
