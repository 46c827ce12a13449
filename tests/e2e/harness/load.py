# SPDX-License-Identifier: Apache-2.0
"""Load: wrk for a limited time, or a fixed number of requests at full speed, each of which gets a response."""

import os
import selectors
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from harness.client import Address, connect, request
from harness.waiting import PATIENCE


def wrk_command(port: int, target: str, seconds: int, connections: int, *options: str) -> list[str]:
    return [
        "wrk",
        "--threads",
        "1",
        "--connections",
        str(connections),
        "--duration",
        f"{seconds}s",
        *options,
        f"http://127.0.0.1:{port}{target}",
    ]


def wrk(port: int, target: str, seconds: int = 1, connections: int = 16, *options: str) -> str:
    """Runs wrk to its end. It closes its connections with requests in flight, so the last few are cut off."""
    command = wrk_command(port, target, seconds, connections, *options)
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds + PATIENCE).stdout


@contextmanager
def wrk_running(port: int, target: str, connections: int = 16) -> Iterator[None]:
    """Sends load for as long as the block runs."""
    process = subprocess.Popen(wrk_command(port, target, 600, connections), stdout=subprocess.DEVNULL)
    try:
        yield
        assert process.poll() is None, "wrk ended by itself"
    finally:
        process.kill()
        process.wait()


def keep_alive(
    address: Address, count: int, connections: int = 16, host: str = "127.0.0.1", mptcp: bool = False
) -> None:
    """Sends exactly `count` requests for /ok over a few connections, each as soon as the previous response has come."""
    asked = request("/ok")
    left = count
    with selectors.DefaultSelector() as selector:
        for _ in range(min(connections, count)):
            connection = connect(address, host, mptcp)
            connection.sendall(asked)
            selector.register(connection, selectors.EVENT_READ, bytearray())
            left -= 1
        while selector.get_map():
            events = selector.select(PATIENCE)
            assert events, f"no response for {PATIENCE:g} s with {left} of {count} requests to be sent"
            for key, _ in events:
                assert isinstance(key.fileobj, socket.socket)
                connection, received = key.fileobj, key.data
                piece = connection.recv(65536)
                assert piece, "the server closed a connection"
                received += piece
                if not received.endswith(b"\r\n\r\nok"):
                    continue
                assert received.startswith(b"HTTP/1.1 200")
                received.clear()
                if left:
                    left -= 1
                    connection.sendall(asked)
                else:
                    selector.unregister(connection)
                    connection.close()


def raise_descriptor_limit(count: int) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(count, hard)), hard))


def online_cpus() -> int:
    return os.cpu_count() or 1
