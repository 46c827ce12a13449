# SPDX-License-Identifier: Apache-2.0
"""A server and its monitor: compares the monitor's figures with what the application counted."""

from collections import Counter
from typing import Any

from harness.monitor import Monitor, Snapshot
from harness.server import AppServer
from tally import Tally

CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")
STATUSES = (*CLASSES, "none")
NOT_FOUND = "(not found)"


def figure_by_key(snapshot: Snapshot, figure: str, known: set[str]) -> dict[str, int]:
    """The nonzero counts of a figure, by "METHOD /path". Paths that the application does not know are added up."""
    counts: Counter[str] = Counter()
    for endpoint in snapshot["endpoints"]:
        key = f"{endpoint['method']} {endpoint['path']}"
        value = endpoint["status"][figure] if figure in STATUSES else endpoint[figure]
        counts[key if key in known else NOT_FOUND] += value
    return dict(+counts)


def responses_by_kind(snapshot: Snapshot) -> Counter[str]:
    """Responses by "METHOD /path 2xx". A path that got only 404 has no method: "(not found) 4xx"."""
    counts: Counter[str] = Counter()
    for endpoint in snapshot["endpoints"]:
        for status, count in endpoint["status"].items():
            counts[f"{endpoint['method']} {endpoint['path']} {status}".strip()] += count
    return +counts


def endpoint_of(snapshot: Snapshot, path: str, method: str = "GET") -> dict[str, Any]:
    found = [entry for entry in snapshot["endpoints"] if (entry["method"], entry["path"]) == (method, path)]
    assert len(found) == 1, f"{method} {path} is {len(found)} times in {snapshot['endpoints']}"
    return dict(found[0])


class Observation:
    """A monitor of a server, and what the application has counted since it was attached. Attach while no request is in
    flight."""

    def __init__(self, server: AppServer, monitor: Monitor, before: Tally) -> None:
        self.server = server
        self.monitor = monitor
        self._before = before

    def tally(self) -> Tally:
        return self.server.tally() - self._before

    def settle(self) -> Snapshot:
        """Waits until nothing is in flight and as many requests have ended as the application began. Returns a snapshot
        taken after that."""
        self.monitor.wait_for(
            lambda snapshot: snapshot["active_concurrent"] == 0 and snapshot["total_requests"] == self.tally().total(),
            f"nothing in flight, and a total equal to the application's of {self.tally()}",
        )
        last = self.monitor.stop()
        assert last["active_concurrent"] == 0
        assert last["total_requests"] == self.tally().total()
        return last

    def assert_equal(self, snapshot: Snapshot, *classes: str) -> None:
        """The monitor counted each endpoint's requests, and their status classes, as the application did."""
        tally = self.tally()
        known = set(tally.by_key())
        assert figure_by_key(snapshot, "completed", known) == tally.by_key()
        assert figure_by_key(snapshot, "active", known) == {}
        for status_class in classes or CLASSES:
            assert figure_by_key(snapshot, status_class, known) == tally.by_key(status_class), status_class
        assert snapshot["undercount_by_cause"] == {}
        assert sum(worker["total"] for worker in snapshot["workers"]) == tally.total()
