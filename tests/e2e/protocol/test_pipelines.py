# SPDX-License-Identifier: Apache-2.0
"""Pipelines deeper than a connection's record. Their requests stay in flight over many snapshots."""

from collections.abc import Callable

from harness.client import Client, request
from harness.flavours import every_flavour
from harness.observation import Observation
from harness.server import Server

Observe = Callable[..., Observation]

NAMES = "abcdefghijk"  # more than the eight that a record holds
# Every 16th snapshot compares the counters with the live records. A difference that two snapshots find is corrected.
SNAPSHOTS = 40


@every_flavour
def test_the_end_of_a_deep_pipeline_stays_in_flight(shared_server: Server, observe: Observe) -> None:
    observation = observe(shared_server, interval=0.02)
    gate = f"pipeline-{observation.monitor.process.pid}"
    with Client(shared_server.port) as client:
        client.send(b"".join(request(f"/hold/{name}?gate={gate}") for name in NAMES))
        answered = 5  # the record has room for the rest, but not all of it is in the record
        for name in NAMES[:answered]:
            shared_server.wait_at_gate(f"GET /hold/{name}", 1)
            shared_server.open_gate(gate)
            assert client.response().body == b"held"
        left = len(NAMES) - answered
        observation.monitor.wait_for(
            lambda snapshot: snapshot["active_concurrent"] == left, f"{left} requests are left"
        )
        for _ in range(SNAPSHOTS):
            assert observation.monitor.next()["active_concurrent"] == left
        shared_server.open_gate(gate, left)
        for _ in NAMES[answered:]:
            assert client.response().body == b"held"
    observation.assert_equal(observation.settle())
