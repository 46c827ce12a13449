# SPDX-License-Identifier: Apache-2.0
"""Errors: each is one sentence with the documented exit status, and leaves nothing attached."""

import ctypes
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.monitor import BINARY, PROFILE, run_monitor
from harness.server import Server
from harness.waiting import PATIENCE

Start = Callable[..., Server]

NOBODY = 65534


@pytest.mark.parametrize(
    "arguments",
    [
        ["--no-such-option"],
        ["nonsense"],
        ["--pid"],
        ["--pid", "0"],
        ["--pid", "-1"],
        ["--pid", "x"],
        ["--pid", "1", "--interval", "0"],
        ["--pid", "1", "--interval", "-1"],
        ["--pid", "1", "--interval", "soon"],
        ["--pid", "1", "--interval", "nan"],
        ["--pid", "1", "--watch", "--count", "0"],
        ["--pid", "1", "--watch", "--duration", "inf"],
        ["--pid", "1", "--color", "sometimes"],
        ["--pid", "1", "--profile", "no-such-profile"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_2(arguments: list[str]) -> None:
    ended = run_monitor(*arguments)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("monitor: ")


def test_help_and_version() -> None:
    helped = run_monitor("--help")
    assert helped.returncode == 0
    for option in (
        "--pid",
        "--watch",
        "--json",
        "--log",
        "--interval",
        "--count",
        "--duration",
        "--no-color",
        "--color",
        "--raw-paths",
        "--pid-file",
        "--profile",
        "--verbose",
        "--version",
    ):
        assert option in helped.stdout
    assert run_monitor("--version").stdout.startswith("monitor ")


def test_a_bad_interval_in_the_environment_is_exit_2() -> None:
    environment = os.environ | {"MONITOR_UPDATE_INTERVAL": "often"}
    ended = run_monitor("--pid", "1", "--log", "-", env=environment)
    assert ended.returncode == 2
    assert "MONITOR_UPDATE_INTERVAL" in ended.stderr


def test_no_such_process_is_exit_3() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    ended = run_monitor("--pid", str(process.pid), "--json")
    assert (ended.returncode, ended.stdout) == (3, "")
    assert str(process.pid) in ended.stderr


def test_a_process_that_does_not_listen_is_exit_3() -> None:
    process = subprocess.Popen(["sleep", "infinity"])
    try:
        ended = run_monitor("--pid", str(process.pid), "--json")
    finally:
        process.kill()
        process.wait()
    assert (ended.returncode, ended.stdout) == (3, "")
    assert "listen" in ended.stderr
    assert "sleep" in ended.stderr


def test_a_missing_pid_file_is_exit_3(tmp_path: Path) -> None:
    ended = run_monitor("--pid-file", str(tmp_path / "no.pid"), "--json")
    assert (ended.returncode, ended.stdout) == (3, "")
    assert "Proxy is not running (no PID file)" in ended.stderr


def test_the_pid_from_a_file(start_server: Start, tmp_path: Path) -> None:
    server = start_server()
    (tmp_path / "server.pid").write_text(f"{server.pid}\n")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/proxy.pid").write_text(f"{server.pid}\n")
    for arguments in (["--pid-file", "server.pid"], []):
        ended = run_monitor(*arguments, "--json", "--interval", "0.1", cwd=tmp_path)
        assert ended.returncode == 0, ended.stderr
        assert f'"pid":{server.pid},' in ended.stdout


def test_a_pid_file_that_a_server_has_left_behind(tmp_path: Path) -> None:
    """Another program has the pid now, and listens."""
    (tmp_path / "logs").mkdir()
    listen = "use IO::Socket::INET; my $s = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1'); "
    listen += "$| = 1; print 'ok'; <>"
    with subprocess.Popen(["perl", "-e", listen], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout and other.stdout.read(2) == b"ok"
        (tmp_path / "logs/proxy.pid").write_text(f"{other.pid}\n")
        ended = run_monitor("--json", "--interval", "0.1", cwd=tmp_path)
        other.kill()
    assert (ended.returncode, ended.stdout) == (3, "")
    assert f"PID file logs/proxy.pid names process {other.pid} (perl -e " in ended.stderr
    assert ", which is not a server as far as its program shows" in ended.stderr


def test_servers_are_found_and_several_are_listed(start_server: Start, tmp_path: Path) -> None:
    servers = [start_server(), start_server()]
    ended = run_monitor("--json", cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (3, "")
    for server in servers:
        assert f"--pid {server.pid}" in ended.stderr
        assert str(server.port) in ended.stderr


def test_not_permitted_is_exit_4_and_names_the_capability(start_server: Start, binary_for_all: Path) -> None:
    server = start_server()
    ended = subprocess.run(
        [str(binary_for_all), "--pid", str(server.pid), "--json"],
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        capture_output=True,
        text=True,
        cwd="/",
    )
    assert (ended.returncode, ended.stdout) == (4, "")
    assert "CAP_BPF" in ended.stderr
    assert "sudo" in ended.stderr


# include/uapi/linux/capability.h
NEEDED = {"CAP_DAC_READ_SEARCH": 2, "CAP_SYS_PTRACE": 19, "CAP_PERFMON": 38, "CAP_BPF": 39}

LIBC = ctypes.CDLL(None)


def keep_only_what_is_needed() -> None:
    """After an exec, root has the capabilities that its bounding set holds."""
    pr_capbset_drop = 24
    for capability in range(64):
        if capability not in NEEDED.values():
            LIBC.prctl(pr_capbset_drop, capability, 0, 0, 0)


def test_too_few_open_files_are_exit_1_and_named(start_server: Start) -> None:
    server = start_server()
    limited = ["sh", "-c", 'ulimit -n 64; exec "$@"', "sh", BINARY, "--pid", str(server.pid)]
    ended = subprocess.run(limited, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("monitor: this process may have 64 open files, and needs 128\n")


def test_enough_open_files_by_the_hard_limit(start_server: Start) -> None:
    server = start_server()
    limited = ["sh", "-c", 'ulimit -S -n 64; exec "$@"', "sh", BINARY, "--pid", str(server.pid), "--json"]
    ended = subprocess.run(
        [*limited, "--interval", "0.1"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_hidden_sys_is_exit_5_and_named(start_server: Start) -> None:
    server = start_server()
    script = f"mount -t tmpfs hidden /sys/kernel && exec {BINARY} --pid {server.pid}"
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)
    assert (ended.returncode, ended.stdout) == (5, "")
    assert "/sys/kernel is hidden from this process" in ended.stderr
    assert "no BTF" not in ended.stderr


def test_the_documented_capabilities_are_enough(start_server: Start, short_directory: Path) -> None:
    """The service's capabilities can load all programs, including those for Unix sockets. This test is in
    core-tests.txt because older kernels load other programs."""
    server = start_server(unix=short_directory / "server.sock")
    ended = subprocess.run(
        [BINARY, "--pid", str(server.pid), "--profile", PROFILE, "--json", "--interval", "0.05"],
        preexec_fn=keep_only_what_is_needed,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert f'"pid":{server.pid},' in ended.stdout
