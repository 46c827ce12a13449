# SPDX-License-Identifier: Apache-2.0
"""What a monitor has counted since the previous call.

A test that does one thing after another checks after each step that exactly what it expects was added, and that
nothing else changed."""

from collections import Counter

from harness.monitor import Monitor, Snapshot
from harness.observation import STATUSES
from harness.syscall_server import SyscallServer

# "GET /a 2xx", "GET /a active", "failed", "undercount gap", …
Change = dict[str, int]


def _figures(snapshot: Snapshot) -> Counter[str]:
    """The counters of a snapshot, by name."""
    figures = Counter({name: snapshot[f"{name}_requests"] for name in ("failed", "aborted", "refused", "rejected")})
    for endpoint in snapshot["endpoints"]:
        name = f"{endpoint['method']} {endpoint['path']}".strip()
        for status in STATUSES:
            figures[f"{name} {status}"] += endpoint["status"][status]
        figures[f"{name} active"] += endpoint["active"]
        assert endpoint["completed"] == sum(endpoint["status"].values())
    for cause, count in snapshot["undercount_by_cause"].items():
        figures[f"undercount {cause}"] += count
    # The totals are always the sums of these.
    endpoints = snapshot["endpoints"]
    assert snapshot["total_requests"] == sum(endpoint["completed"] for endpoint in endpoints)
    assert snapshot["active_concurrent"] == sum(endpoint["active"] for endpoint in endpoints)
    return figures


class Changes:
    """What a monitor counted since the previous call. `from_nothing`: the first call counts from the attach."""

    def __init__(self, monitor: Monitor, from_nothing: bool = False) -> None:
        self.monitor = monitor
        self._before: Counter[str] = Counter() if from_nothing else _figures(monitor.next())

    def _change(self, snapshot: Snapshot) -> Change:
        now = _figures(snapshot)
        names = now.keys() | self._before.keys()
        return {name: now[name] - self._before[name] for name in names if now[name] != self._before[name]}

    def change(self) -> Change:
        """The figures that have changed since the previous call."""
        snapshot = self.monitor.next()
        change = self._change(snapshot)
        self._before = _figures(snapshot)
        return change

    def wait_change(self, expected: Change, what: str = "") -> None:
        """Waits for a change that the client causes, which takes a while to arrive."""
        snapshot = self.monitor.wait_for(lambda s: self._change(s) == expected, f"{expected} {what}")
        self._before = _figures(snapshot)


class Watched(Changes):
    """A server that makes the system calls it is sent, and a monitor that observes it."""

    def __init__(self, server: SyscallServer, monitor: Monitor) -> None:
        super().__init__(monitor)
        self.server = server
        self.profile = str(monitor.next()["profile"])
