# SPDX-License-Identifier: Apache-2.0
"""Fixtures: servers of each flavour, and a monitor that observes one. All of it needs root and a kernel with BPF."""

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

# Failed assertions in the harness show their values, like those in tests. Call this before any import of the harness.
pytest.register_assert_rewrite("harness")

from harness.attached_engine import Engine
from harness.bpffs import BPFFS
from harness.changes import Watched
from harness.load import raise_descriptor_limit
from harness.monitor import BINARY, Monitor
from harness.observation import Observation
from harness.server import USUAL, AppServer, Flavour, Server
from harness.serving import Serving
from harness.syscall_server import SyscallServer

# The exit status that ctest reports as skipped (SKIP_RETURN_CODE).
SKIPPED = 77


def pytest_configure() -> None:
    if os.geteuid() != 0:
        print("skipped: these tests load BPF programs, which needs root", file=sys.stderr)
        pytest.exit("not root", returncode=SKIPPED)
    if not os.access(BINARY, os.X_OK):
        pytest.exit(f"no monitor at {BINARY}: build it, or set MONITOR_BINARY", returncode=1)
    raise_descriptor_limit(8192)
    # The tests of handovers set it to more.
    os.environ["MONITOR_KEEP_ENDED"] = "0"
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A background job of a script ignores SIGINT, and everything that the tests start would inherit that.
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module")
def shared_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    flavour: Flavour = request.param
    with Server(tmp_path_factory.mktemp(str(flavour)), flavour, "--timeout-keep-alive", "60") as server:
        yield server


@pytest.fixture
def short_directory() -> Iterator[Path]:
    """For Unix sockets: their path may be at most 107 bytes long (man 7 unix), and tmp_path contains the test's
    name."""
    with TemporaryDirectory(prefix="monitor-e2e-") as made:
        yield Path(made)


@pytest.fixture
def binary_for_all() -> Iterator[Path]:
    """A copy that other users may run: the build directory may not be accessible to them."""
    with TemporaryDirectory(prefix="monitor-e2e-") as directory:
        Path(directory).chmod(0o755)
        yield Path(shutil.copy(BINARY, directory))


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers that belong to this test alone."""
    with ExitStack() as stack:
        count = 0

        def start(flavour: Flavour = USUAL, *options: str, **settings: Any) -> Server:
            nonlocal count
            count += 1
            directory = tmp_path / f"server-{count}"
            directory.mkdir()
            return stack.enter_context(Server(directory, flavour, *options, **settings))

        yield start


@pytest.fixture
def attach() -> Iterator[Callable[..., Monitor]]:
    """Starts monitors that end with the test."""
    with ExitStack() as stack:
        yield lambda *arguments, **settings: stack.enter_context(Monitor(*arguments, **settings))


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Serving]]:
    """Starts `monitor serve` processes that end with the test."""
    with ExitStack() as stack:

        def start(*options: str, **settings: Any) -> Serving:
            serving = Serving(tmp_path, *options, **settings)
            stack.callback(serving.stop)
            return serving

        yield start


@pytest.fixture
def engine() -> Iterator[Engine]:
    """A directory of the test's own to pin an engine in. Whatever happens, it is removed at the end."""
    engine = Engine(BPFFS / f"monitor-test-{os.getpid()}")
    engine.remove()  # left by a killed process with the same pid
    yield engine
    engine.remove()


@pytest.fixture
def observe(attach: Callable[..., Monitor]) -> Callable[..., Observation]:
    """Attaches a monitor to a server at rest."""

    def start(server: AppServer, *options: str, **settings: float) -> Observation:
        before = server.tally()
        return Observation(server, attach(server.pid, *options, **settings), before)

    return start


@pytest.fixture(scope="module")
def _watch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Watched]]:
    with ExitStack() as stack:
        current: Watched | None = None

        def watch() -> Watched:
            nonlocal current
            if current is None or current.server.broken:
                stack.close()
                server = stack.enter_context(SyscallServer(tmp_path_factory.mktemp("server")))
                current = Watched(server, stack.enter_context(Monitor(server.pid, interval=0.01)))
            return current

        yield watch


@pytest.fixture
def watched(_watch: Callable[[], Watched]) -> Iterator[Watched]:
    """The module's syscall server and its monitor. No connection is open before the test or after it."""
    watched = _watch()
    watched.change()
    yield watched
    if not watched.server.broken:
        watched.server.broken = True  # reset below if all is well
        watched.monitor.wait_for(
            lambda s: s["active_concurrent"] == s["open_connections"] == 0, "all connections of the test have ended"
        )
        watched.server.broken = False
