# SPDX-License-Identifier: Apache-2.0
"""A listener for Multipath TCP: plain TCP clients are counted, Multipath TCP clients are an undercount of their own."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.client import request
from harness.load import keep_alive
from harness.observation import Observation
from harness.server import Server

Start = Callable[..., Server]
Observe = Callable[..., Observation]

IPPROTO_MPTCP = 262  # socket.IPPROTO_MPTCP needs Python 3.10 and its headers


def mptcp_is_enabled() -> bool:
    enabled = Path("/proc/sys/net/mptcp/enabled")
    return enabled.exists() and enabled.read_text().strip() == "1"


def ask_by_mptcp(port: int, times: int) -> None:
    for _ in range(times):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP) as client:
            client.settimeout(30)
            client.connect(("127.0.0.1", port))
            client.sendall(request("/ok", "GET", "Connection: close"))
            answer = b""
            while piece := client.recv(4096):
                answer += piece
            assert answer.endswith(b"ok")


@pytest.mark.skipif(not mptcp_is_enabled(), reason="the kernel has no Multipath TCP, or it is off")
def test_an_mptcp_listener(start_server: Start, observe: Observe) -> None:
    """As `mptcpize` and systemd's SocketProtocol=mptcp make it."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP) as inherited:
        inherited.bind(("127.0.0.1", 0))
        inherited.listen(128)
        server = start_server(inherited=inherited)
    monitor = observe(server).monitor
    keep_alive(server.port, 100, 4)
    snapshot = monitor.wait_for(lambda s: s["total_requests"] == 100, "the plain clients are counted")
    assert (snapshot["active_concurrent"], snapshot["undercount"]) == (0, 0)
    assert snapshot["target"]["listen"] == [f"127.0.0.1:{server.port}"]
    ask_by_mptcp(server.port, 5)
    after = monitor.wait_for(lambda s: s["undercount"] >= 5, "the connections are reported")
    assert after["undercount_by_cause"] == {"mptcp": 5}
    assert (after["total_requests"], after["active_concurrent"]) == (100, 0)
