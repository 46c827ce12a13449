# SPDX-License-Identifier: Apache-2.0
"""Fixtures: servers of each flavour, and a monitor beside one. Everything here needs root and real BPF."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

# Their assertions say as much as a test's own.
pytest.register_assert_rewrite("figures", "client", "load", "monitor", "random_client", "server")

from figures import Observation
from load import raise_descriptor_limit
from monitor import BINARY, Monitor
from server import FASTEST, FLAVOURS, USUAL, ZTTP, Flavour, Server

# ctest's word for "skipped, and the reason was said" (SKIP_RETURN_CODE).
SKIPPED = 77


def pytest_configure() -> None:
    if os.geteuid() != 0:
        print("skipped: these tests load BPF programs, which needs root", file=sys.stderr)
        pytest.exit("not root", returncode=SKIPPED)
    if not os.access(BINARY, os.X_OK):
        pytest.exit(f"no monitor at {BINARY}: build it, or set MONITOR_BINARY", returncode=1)
    raise_descriptor_limit(8192)


@pytest.fixture(scope="module")
def shared_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    flavour: Flavour = request.param
    with Server(tmp_path_factory.mktemp(str(flavour)), flavour, "--timeout-keep-alive", "60") as server:
        yield server


def _over(flavours: list[Flavour]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("shared_server", flavours, indirect=True, ids=str)


every_flavour = _over([*FLAVOURS, ZTTP])
fastest_flavours = _over(FASTEST)
usual_flavour = _over([USUAL])


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers that are this test's own."""
    with ExitStack() as stack:
        count = 0

        def start(flavour: Flavour = USUAL, *options: str, **settings: object) -> Server:
            nonlocal count
            count += 1
            directory = tmp_path / f"server-{count}"
            directory.mkdir()
            return stack.enter_context(Server(directory, flavour, *options, **settings))  # type: ignore[arg-type]

        yield start


@pytest.fixture
def attach() -> Iterator[Callable[..., Monitor]]:
    """Starts monitors that end with the test."""
    with ExitStack() as stack:
        yield lambda *arguments, **settings: stack.enter_context(Monitor(*arguments, **settings))


@pytest.fixture
def observe(attach: Callable[..., Monitor]) -> Callable[..., Observation]:
    """Attaches a monitor to a server at rest."""

    def start(server: Server, *options: str, **settings: float) -> Observation:
        before = server.tally()
        return Observation(server, attach(server.pid, *options, **settings), before)

    return start
