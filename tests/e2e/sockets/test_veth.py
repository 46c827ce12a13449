# SPDX-License-Identifier: Apache-2.0
"""Clients across a network device: 20,000 short connections over veth with RPS."""

from collections.abc import Callable

from harness.network import NetworkNamespace
from harness.observation import Observation
from harness.server import PROGRAMS, USUAL, Server

COUNT = 20_000


def test_short_connections_over_veth_with_rps(
    start_server: Callable[..., Server], observe: Callable[..., Observation]
) -> None:
    with NetworkNamespace() as namespace:
        namespace.spread_packets()
        server = start_server(USUAL, host=namespace.outer)
        observation = observe(server)
        script = PROGRAMS / "short_connections.py"
        namespace.run("/usr/bin/python3", str(script), namespace.outer, str(server.port), str(COUNT))
        assert observation.tally().total() == COUNT
        observation.monitor.wait_idle()
        observation.monitor.wait_for(lambda snapshot: snapshot["open_connections"] == 0, "no open connections")
        last = observation.monitor.stop()
    # A close in softirq can interrupt the handling of another close. The kernel drops it for the interrupted program.
    assert last["undercount_by_cause"] == {}
    assert last["active_concurrent"] == 0
    assert last["total_requests"] == COUNT
    assert last["failed_requests"] == 0
