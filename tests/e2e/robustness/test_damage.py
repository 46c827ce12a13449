# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with an attached engine.

Each message says what is wrong, where, and what to do. Nothing leaks, no figure is wrong, and the commands
themselves repair the damage."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.attached_engine import Engine, attach_counted, end
from harness.bpffs import BPFFS
from harness.client import Client, request
from harness.kernel_objects import Objects, all_objects
from harness.load import keep_alive
from harness.monitor import BINARY, Monitor
from harness.server import USUAL, Server

Start = Callable[..., Server]
Attach = Callable[..., Monitor]

VIEWS: list[list[object]] = [["--json"], [], ["--watch", "--json", "--count", 1], ["--log", "-", "--count", 1]]


def refuse_all(engine: Engine, pid: int, status: int, *words: str) -> None:
    """Every command except `detach --all` fails with a message, and no command prints a figure."""
    commands = [["--pid", pid, *view] for view in VIEWS]
    commands += [["sessions"], ["sessions", "--json"], engine.attach_arguments(pid), ["detach", "--pid", pid]]
    for command in commands:
        ended = engine.run(*command)
        assert (ended.returncode, ended.stdout) == (status, ""), ended
        assert str(engine.pins) in ended.stderr
        assert "detach --all" in ended.stderr
        for word in words:
            assert word in ended.stderr, ended


def repair(engine: Engine, server: Server, objects: Objects) -> None:
    """Repairs with the command that the message names. Then everything works."""
    assert engine.done("detach", "--all") == f"removed the remains of the engine at {engine.pins}\n"
    engine.assert_nothing_left(objects)
    counted = attach_counted(engine, server)
    keep_alive(server.port, 20, 2)
    counted.assert_equal(counted.settle())


def test_pins_of_another_abi_version(start_server: Start, engine: Engine) -> None:
    server = start_server()
    before = all_objects()
    engine.attach(server.pid)
    objects = engine.objects()
    pinned = ["pinned", str(engine.pin("maps/engine")), "key", "0", "0", "0", "0"]
    found = subprocess.run(["bpftool", "--json", "map", "lookup", *pinned], check=True, capture_output=True).stdout
    value = bytearray(int(byte, 16) for byte in json.loads(found)["value"])
    ours = int.from_bytes(value[:4], "little")
    value[:4] = (ours + 1000).to_bytes(4, "little")
    subprocess.run(["bpftool", "map", "update", *pinned, "value", *map(str, value)], check=True)
    refuse_all(engine, server.pid, 5, f"its ABI is {ours + 1000}, this one's is {ours}")
    repair(engine, server, objects)
    engine.assert_no_leak(before)


@pytest.mark.parametrize(
    "name",
    [
        "maps/engine",
        "maps/targets",
        "maps/iter_request",
        "links/on_state",
        "links/on_fork",
        "programs/sweep",
        "programs/on_exit",
    ],
)
def test_a_pin_that_is_missing(name: str, start_server: Start, engine: Engine) -> None:
    server = start_server()
    before = all_objects()
    engine.attach(server.pid)
    objects = engine.objects()
    keep_alive(server.port, 5, 1)
    engine.pin(name).unlink()
    refuse_all(engine, server.pid, 1, f"{name} is missing")
    repair(engine, server, objects)
    engine.assert_no_leak(before)


def test_a_pin_of_something_else(start_server: Start, engine: Engine) -> None:
    server = start_server()
    engine.attach(server.pid)
    objects = engine.objects()
    engine.pin("maps/targets").unlink()
    command = ["bpftool", "map", "pin", "pinned", str(engine.pin("maps/workers")), str(engine.pin("maps/targets"))]
    subprocess.run(command, check=True)
    refuse_all(engine, server.pid, 1, "maps/targets")
    repair(engine, server, objects)


def test_a_watch_ends_when_a_hook_disappears(
    start_server: Start, engine: Engine, attach: Attach, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The figures would be wrong from then on."""
    monkeypatch.setenv("MONITOR_PINS", str(engine.pins))
    server = start_server()
    engine.attach(server.pid)
    monitor = attach(server.pid)
    engine.pin("links/on_state").unlink()
    assert monitor.wait_end()[0] == 1
    assert "links/on_state is missing" in monitor.errors()


LEFT = ["new", "old"]


@pytest.mark.parametrize("following", ["attach", "detach", "detach --pid", "sessions", "json"])
def test_a_half_made_pin_directory(following: str, start_server: Start, engine: Engine) -> None:
    """As it is left by a command that is killed halfway, with or without an engine beside it."""
    server = start_server()
    before = all_objects()
    for left in LEFT:
        engine.attach(server.pid)
        objects = engine.objects()
        engine.pins.joinpath("engine").rename(engine.pins / left)
        for name in ("maps/targets", "maps/engine", "links/on_exit", "programs/sweep"):
            (engine.pins / left / name).unlink()
        (engine.pins / left / "viewers/3").rmdir()
        if following == "attach":
            counted = attach_counted(engine, server)
            keep_alive(server.port, 20, 2)
            counted.assert_equal(counted.settle())
            engine.detach(server.pid)
        elif following == "detach":
            assert engine.done("detach", "--all") == "No server is attached.\n"
        elif following == "detach --pid":
            ended = engine.run("detach", "--pid", server.pid)
            assert (ended.returncode, ended.stdout) == (3, "")
            assert f"pid {server.pid} is not attached" in ended.stderr
        elif following == "sessions":
            assert engine.done("sessions") == "No server is attached.\n"
        else:
            assert engine.done("--pid", server.pid, "--json", "--interval", 0.05)
        engine.assert_nothing_left(objects)
    engine.assert_no_leak(before)


@pytest.mark.parametrize("left", LEFT)
def test_leftovers_beside_an_engine(left: str, start_server: Start, engine: Engine) -> None:
    server = start_server()
    counted = attach_counted(engine, server)
    objects = engine.objects()
    (engine.pins / left / "maps").mkdir(parents=True)
    command = [
        "bpftool",
        "map",
        "pin",
        "pinned",
        str(engine.pin("maps/targets")),
        str(engine.pins / left / "maps/targets"),
    ]
    subprocess.run(command, check=True)
    keep_alive(server.port, 20, 2)
    counted.assert_equal(counted.settle())
    assert not (engine.pins / left).exists()
    assert engine.objects() == objects


@contextmanager
def mounted(directory: Path) -> Iterator[Path]:
    """A BPF file system of the test's own."""
    directory.mkdir()
    subprocess.run(["mount", "-t", "bpf", "bpf", str(directory)], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


def remount(directory: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(directory)], check=True)


def test_a_read_only_file_system(start_server: Start, short_directory: Path) -> None:
    """A BPF file system cannot run out of space, but it may be read-only."""
    server = start_server()
    before = all_objects()
    with mounted(short_directory / "bpf") as bpffs:
        engine = Engine(bpffs / "monitor")
        engine.pins.mkdir()
        remount(bpffs, "ro")
        ended = engine.run(*engine.attach_arguments(server.pid))
        assert (ended.returncode, ended.stdout) == (1, "")
        assert str(engine.pins) in ended.stderr
        assert "Read-only file system" in ended.stderr
        assert f"mount -o remount,rw {bpffs}" in ended.stderr
        engine.assert_no_leak(before)
        remount(bpffs, "rw")
        counted = attach_counted(engine, server)
        keep_alive(server.port, 20, 2)
        counted.assert_equal(counted.settle())
        remount(bpffs, "ro")
        objects = engine.objects()
        ended = engine.run("detach", "--all")
        assert (ended.returncode, ended.stdout) == (1, "")
        assert "Read-only file system" in ended.stderr
        assert f"mount -o remount,rw {bpffs}" in ended.stderr
        remount(bpffs, "rw")
        assert engine.run("detach", "--all").returncode == 0
        engine.assert_nothing_left(objects)
    engine.assert_no_leak(before)


def test_a_directory_outside_a_bpf_file_system(start_server: Start, tmp_path: Path) -> None:
    server = start_server()
    before = all_objects()
    engine = Engine(tmp_path / "monitor")
    ended = engine.run(*engine.attach_arguments(server.pid))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert f"{tmp_path} is not a BPF file system" in ended.stderr
    assert "mount -t bpf" in ended.stderr
    assert not engine.pins.exists()
    engine.assert_no_leak(before)


# Where control groups of version 2 or 1 limit memory, and the file that holds the limit.
GROUPS = [(Path("/sys/fs/cgroup"), "memory.max"), (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes")]


@pytest.fixture
def memory_limit() -> Iterator[Path]:
    """The file that limits the memory of a control group, including kernel memory on behalf of its processes."""
    for parent, limit in GROUPS:
        group = parent / f"monitor-test-{os.getpid()}"
        if parent.is_dir() and os.access(parent / "cgroup.procs", os.W_OK):
            group.mkdir()
            if (group / limit).exists():
                yield group / limit
                group.rmdir()
                return
            group.rmdir()
    pytest.skip("no control group limits memory")


def test_too_little_memory(start_server: Start, engine: Engine, memory_limit: Path) -> None:
    """The kernel refuses the attach or ends the process. Either the server is attached completely, or nothing is
    left."""
    server = start_server()
    before = all_objects()
    join = f'echo $$ > {memory_limit.parent}/cgroup.procs; exec "$@"'
    command = ["sh", "-c", join, "sh", BINARY, *map(str, engine.attach_arguments(server.pid))]
    failed = 0
    for megabytes in range(3, 24, 2):
        memory_limit.write_text(str(megabytes << 20))
        ended = subprocess.run(command, env=engine.environment, capture_output=True, text=True)
        if ended.returncode == 0:
            assert engine.targets() == [server.pid]
            engine.detach(server.pid)
        else:
            failed += 1
            assert ended.stdout == ""
            assert ended.stderr.startswith("monitor: ") or ended.returncode == -signal.SIGKILL, ended
            assert engine.targets() == []
        assert not engine.pins.exists()
        engine.assert_no_leak(before)
    assert failed


# Runs in a mount namespace of its own, so that other processes do not see what it mounts and unmounts. `monitor` takes
# the namespace for the host's, because the first process seems to be in it.
UNMOUNTED = """
set -e
mount --bind /proc/$$/mountinfo /proc/1/mountinfo
umount --lazy {bpffs}
! mountpoint --quiet {bpffs}
{monitor} attach --pid {pid} --profile {profile}
mountpoint --quiet {bpffs}
stat --file-system --format %T {bpffs}
stat --format %a {bpffs}
{monitor} --pid {pid} --json
{monitor} detach
test -z "$(ls {bpffs})" || test ! -e {bpffs}/monitor
"""


def test_bpffs_is_mounted_if_missing(start_server: Start) -> None:
    server = start_server()
    before = all_objects()
    script = UNMOUNTED.format(
        bpffs=BPFFS, monitor=BINARY, pid=server.pid, profile=os.environ.get("MONITOR_PROFILE", "auto")
    )
    environment = {name: value for name, value in os.environ.items() if name != "MONITOR_PINS"}
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    attached, kind, mode, snapshot, detached = ended.stdout.splitlines()
    assert attached.startswith(f"attached pid {server.pid}")
    assert (kind, int(mode, 8) & 0o777) == ("bpf_fs", 0o700)
    assert json.loads(snapshot)["target"]["pid"] == server.pid
    assert detached == f"detached pid {server.pid}"
    Engine(BPFFS / f"monitor-test-{os.getpid()}").assert_no_leak(before)


OWN_BPFFS = """
set -e
umount --lazy {bpffs}
mount -t bpf bpf {bpffs}
exec {monitor} attach --pid {pid}
"""


def test_attach_with_a_bpffs_of_its_own_is_refused(start_server: Start) -> None:
    """As in a container: nobody outside would find the engine."""
    server = start_server()
    before = all_objects()
    script = OWN_BPFFS.format(bpffs=BPFFS, monitor=BINARY, pid=server.pid)
    environment = {name: value for name, value in os.environ.items() if name != "MONITOR_PINS"}
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (5, "")
    assert f"the host does not see the file system at {BPFFS}/monitor\n" in ended.stderr
    Engine(BPFFS / f"monitor-test-{os.getpid()}").assert_no_leak(before)


def test_not_permitted_is_exit_4(start_server: Start, engine: Engine, short_directory: Path) -> None:
    """Neither attaching nor reading is permitted, because the requests of a server are confidential."""
    server = start_server()
    engine.attach(server.pid)
    objects = engine.objects()
    short_directory.chmod(0o755)
    binary = shutil.copy(BINARY, short_directory)
    view = ["--pid", server.pid, "--json"]
    for words in (engine.attach_arguments(server.pid), view, ["sessions"], ["detach"], ["detach", "--all"]):
        ended = subprocess.run(
            [binary, *map(str, words)],
            env=engine.environment,
            user=65534,
            group=65534,
            extra_groups=[],
            capture_output=True,
            text=True,
            cwd="/",
        )
        assert (ended.returncode, ended.stdout) == (4, ""), ended
        assert "sudo" in ended.stderr
    assert engine.targets() == [server.pid]
    assert engine.objects() == objects


# ---- kill -9 ----


@pytest.fixture
def moments() -> Callable[[int, float], Iterator[float]]:
    """Delays before a kill, in seconds. The printed seed repeats them."""
    seed = int(os.environ.get("MONITOR_TEST_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"MONITOR_TEST_SEED={seed}", file=sys.stderr)
    dice = random.Random(seed)
    return lambda count, most: (dice.uniform(0, most) for _ in range(count))


def time_of_attach(engine: Engine, pid: int) -> float:
    """How long it takes to attach this server, in seconds. It is detached afterwards."""
    began = time.monotonic()
    engine.attach(pid)
    took = time.monotonic() - began
    engine.detach(pid)
    return took


def kill_after(process: "subprocess.Popen[str]", delay: float) -> bool:
    """Returns whether the kill ended the process. Any moment will do, so it just sleeps."""
    time.sleep(delay)
    return end(process)[0] != 0


Moments = Callable[[int, float], Iterator[float]]


def test_an_attach_that_is_killed_at_any_moment(start_server: Start, engine: Engine, moments: Moments) -> None:
    """Afterwards the server is attached completely or not at all, and the next command works."""
    server = start_server()
    before = all_objects()
    killed = 0
    for number, delay in enumerate(moments(30, 0.4)):
        earlier = server.tally()
        killed += kill_after(engine.start(*engine.attach_arguments(server.pid)), delay)
        keep_alive(server.port, 5, 1)
        if number % 2 and engine.is_there():
            snapshot = engine.wait_for(server.pid, lambda s: s["total_requests"] == 5, "every request is counted")
            assert snapshot["undercount"] == 0
            assert server.tally().total() - earlier.total() == 5
        assert engine.targets() in ([], [server.pid])
        if not engine.is_there():
            assert not engine.pins.exists()
        engine.assert_no_leak(before)
        if number % 2:
            engine.attach(server.pid)  # whether it is attached already or not
            assert engine.targets() == [server.pid]
        engine.done("detach", "--all")
        assert not engine.pins.exists()
    assert killed
    engine.assert_no_leak(before)


def test_a_second_attach_that_is_killed_at_any_moment(start_server: Start, engine: Engine, moments: Moments) -> None:
    """The first target is not affected, and everything that the killed attach held is released."""
    first, second = start_server(), start_server(USUAL, workers=2)
    before = all_objects()
    counted = attach_counted(engine, first)
    objects = engine.objects()
    killed = 0
    with Client(first.port) as held, Client(second.port) as idle:
        assert idle.ask(request("/ok")).status == 200
        held.send(request("/hold?gate=second"))
        first.wait_at_gate("GET /hold", 1)
        for delay in moments(25, 1.5 * time_of_attach(engine, second.pid)):
            killed += kill_after(engine.start(*engine.attach_arguments(second.pid)), delay)
            keep_alive(first.port, 5, 2)
            keep_alive(second.port, 5, 2)
            assert engine.snapshot(first.pid)["active_concurrent"] == 1
            assert engine.targets() in ([first.pid], sorted([first.pid, second.pid]))
            engine.attach(second.pid)
            assert engine.targets() == sorted([first.pid, second.pid])
            engine.detach(second.pid)
            rows = {row["name"]: row for row in engine.sessions()["engine"]["maps"]}
            assert rows["targets"]["entries"] == rows["processes"]["entries"] == 1
            assert rows["listener_index"]["entries"] == 2  # its listener, and the unknown one
            assert rows["endpoint_index"]["entries"] == 2 * 3 + 2
        first.open_gate("second")
        assert held.response().body == b"held"
    assert killed
    counted.assert_equal(counted.settle())
    assert engine.objects() == objects
    engine.assert_no_leak(before)


def test_a_detach_that_is_killed_at_any_moment(start_server: Start, engine: Engine, moments: Moments) -> None:
    """The target is attached or detached, never something between."""
    staying, leaving = start_server(), start_server()
    before = all_objects()
    counted = attach_counted(engine, staying)
    for delay in moments(20, 0.06):
        engine.attach(leaving.pid)
        keep_alive(leaving.port, 5, 2)
        kill_after(engine.start("detach", "--pid", leaving.pid), delay)
        keep_alive(staying.port, 5, 2)
        if leaving.pid in engine.targets():
            engine.wait_for(leaving.pid, lambda s: s["total_requests"] == 5, "every request is counted")
            engine.detach(leaving.pid)
        assert engine.targets() == [staying.pid]
    counted.assert_equal(counted.settle())
    for delay in moments(10, 0.06):
        kill_after(engine.start("detach", "--all"), delay)
        assert engine.targets() in ([], [staying.pid])
        engine.assert_no_leak(before)
        engine.attach(staying.pid)
    assert engine.targets() == [staying.pid]


def test_views_that_are_killed_at_any_moment(start_server: Start, engine: Engine, moments: Moments) -> None:
    server = start_server(USUAL, workers=2)
    counted = attach_counted(engine, server)
    objects = engine.objects()
    for number, delay in enumerate(moments(30, 0.1)):
        views = [engine.start("--pid", server.pid, *view, *["--interval", 0.01] * (number % 2)) for view in VIEWS[::2]]
        keep_alive(server.port, 20, 4)
        for view in views:
            kill_after(view, delay / 2)
    snapshot = counted.settle()
    counted.assert_equal(snapshot)
    assert snapshot["total_requests"] == 600
    assert engine.objects() == objects
