# SPDX-License-Identifier: Apache-2.0
"""Runs each server of servers.py under load and compares the monitor's count with the server's own. See
scripts/real-servers.sh."""

import argparse
import json
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.client import Client
from harness.monitor import Monitor, Snapshot, run_monitor
from harness.private_proc import OwnProc
from own_count import differences
from running import Running, adopt_orphans, end_children, install, version_of
from server import Server
from servers import SERVERS
from table import aligned, write_table
from traffic import drive

LIMIT = 400  # seconds for one server
SETTLE = 15
QUIET = 1.0  # seconds without a new line in a server's own log


@dataclass
class Result:
    server: Server
    version: str
    evidence: str = "not found"
    own: int = 0
    counted: int = 0
    undercount: dict[str, int] = field(default_factory=dict)
    endpoints: int = 0
    others: list[str] = field(default_factory=list)  # further servers within its tree
    problems: list[str] = field(default_factory=list)

    def row(self) -> list[str]:
        command = self.server.command.format(port=8000, second=8001, third=8002)
        undercount = ", ".join(f"{count} {cause}" for cause, count in self.undercount.items()) or "0"
        return [
            self.server.name,
            self.version,
            f"`{command}`",
            self.evidence,
            str(self.own),
            str(self.counted),
            undercount,
            str(self.endpoints),
        ]


def listed(pids: list[int]) -> list[dict[str, Any]]:
    """What `monitor ls` finds of these processes, among all on this machine."""
    ended = run_monitor("ls", "--json")
    if ended.returncode != 0:
        raise OSError(f"monitor ls ended with {ended.returncode}: {ended.stderr}")
    return [server for server in json.loads(ended.stdout)["servers"] if server["pid"] in pids]


def find(running: Running, result: Result) -> dict[str, Any] | None:
    """The entry of `monitor ls` for the server; each other entry that is said to be a server is noted."""
    end = f":{running.values['port']}"
    found = None
    for entry in listed(running.pids()):
        if found is None and any(address.endswith(end) for address in entry["listen"]):
            found = entry
        else:
            result.others.append(
                f"{entry['program']} ({entry['kind']}, {entry['evidence']}) on {', '.join(entry['listen'])}"
            )
    if found is None or found["guess"]:
        result.problems.append("monitor ls does not list it" if found is None else "monitor ls takes it for a guess")
    return found


def private(running: Running, directory: Path) -> OwnProc:
    """A /proc that shows nothing else that serves: other servers on this machine are no part of this."""
    directory.mkdir()
    proc = OwnProc(directory)
    proc.show(*running.pids())
    return proc


def watch(running: Running, monitor: Monitor, result: Result) -> Snapshot:
    """Sends the load, and waits until both counts have come to rest."""
    before = running.counted()

    def own() -> "Counter[Any]":
        return running.counted() - before

    def in_flight(expected: int, what: str) -> None:
        try:
            monitor.wait_for(lambda snapshot: snapshot["active_concurrent"] >= expected, what, SETTLE)
        except AssertionError:
            seen = monitor.shown(monitor.pid)["active_concurrent"]
            result.problems.append(f"{expected} {what} are open, and monitor shows {seen} in flight")

    first = monitor.next()
    if first["active_concurrent"]:
        result.problems.append(f"{first['active_concurrent']} in flight before the load: {active(first)}")
    drive(running.server, running.values, in_flight)

    def equal(snapshot: Snapshot) -> bool:
        return (snapshot["active_concurrent"], snapshot["total_requests"]) == (0, own().total())

    try:
        monitor.wait_for(equal, "both counts are equal", SETTLE)
        time.sleep(QUIET)
    except AssertionError:
        pass
    last = monitor.stop()
    result.own, result.counted = own().total(), last["total_requests"]
    result.undercount = last["undercount_by_cause"]
    result.endpoints = sum(endpoint["path"] != "(not found)" for endpoint in last["endpoints"])
    if last["active_concurrent"]:
        result.problems.append(f"{last['active_concurrent']} still in flight: {active(last)}")
    if result.own != result.counted:
        result.problems.append(f"{result.own} by the server's own count, {result.counted} by monitor")
    # Of another listener it is right: Ray's proxy has one for gRPC, which is HTTP/2.
    missed = [one["undercount"] for one in last["listeners"] if one["address"] == last["target"]["address"]]
    if missed != [0]:
        result.problems.append(f"undercount {result.undercount}")
    result.problems += differences(own(), last["endpoints"])
    return last


def active(snapshot: Snapshot) -> list[str]:
    return [f"{one['method']} {one['path']}" for one in snapshot["endpoints"] if one["active"]]


def observe(running: Running, result: Result, directory: Path) -> None:
    entry = find(running, result)
    if entry is None:
        return
    result.evidence = "guess" if entry["guess"] else entry["evidence"]
    proc = private(running, directory / "proc")
    with ExitStack() as stack:
        # Idle before the attach: none of them is a request in flight.
        for _ in range(3):
            client = stack.enter_context(Client(int(running.values["port"])))
            request = running.server.requests[0]
            client.ask(request.data(running.values), request.method)
        plain = not result.others
        selection: tuple[str, ...] = () if plain else ("--all",)
        if entry["guess"]:
            selection = ("--pid", str(entry["pid"]))
        monitor = stack.enter_context(Monitor(entry["pid"], interval=0.1, selection=selection, command=proc.command()))
        watch(running, monitor, result)
    in_all = run_monitor("--all", "--json", "--interval", "0.1")
    if entry["pid"] not in {json.loads(line)["target"]["pid"] for line in in_all.stdout.splitlines()}:
        result.problems.append("monitor --all leaves it out")


def too_late(*_: object) -> None:
    raise TimeoutError(f"not done in {LIMIT} s")


def examine(server: Server, cache: Path, keep: Path | None) -> Result:
    result = Result(server, version_of(server, cache))
    with tempfile.TemporaryDirectory(prefix="monitor-real-", ignore_cleanup_errors=True) as scratch:
        directory = Path(scratch) / "server"
        directory.mkdir()
        signal.alarm(LIMIT)
        try:
            observe(Running(server, cache, directory), result, Path(scratch))
        except Exception as error:
            result.problems.append(f"{type(error).__name__}: {error}")
            if not isinstance(error, OSError):
                traceback.print_exc()
        finally:
            signal.alarm(0)
            end_children()
            if keep:
                for name in ("log", server.log or "tally"):
                    if (directory / name).exists():
                        (keep / f"{server.name.replace(' ', '-')}.{name}").write_bytes((directory / name).read_bytes())
    return result


def main() -> int:
    parser = argparse.ArgumentParser(prog="real-servers.sh", description=__doc__)
    parser.add_argument("--cache", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--install", action="store_true", help="only install what is missing")
    parser.add_argument("--list", action="store_true", help="only print the names")
    parser.add_argument("--write", action="store_true", help="put the table into docs/servers.md")
    parser.add_argument("--logs", type=Path, help="a directory that gets the servers' output")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these servers")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - {server.name for server in SERVERS}
    if unknown:
        parser.error(f"no such server: {', '.join(sorted(unknown))}; --list prints the names")
    chosen = [server for server in SERVERS if not arguments.names or server.name in arguments.names]
    if arguments.list:
        print(*(server.name for server in chosen), sep="\n")
        return 0
    if arguments.install:
        for server in chosen:
            install(server, arguments.cache)
        return 0
    adopt_orphans()
    # Both end what was started: they raise where the work is.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGALRM, too_late)
    results = []
    for server in chosen:
        print(f"{server.name} …", file=sys.stderr, flush=True)
        result = examine(server, arguments.cache, arguments.logs)
        results.append(result)
        for line in [*result.problems, *(f"also listed: {other}" for other in result.others)]:
            print(f"    {line}", file=sys.stderr, flush=True)
    rows = [result.row() for result in results]
    print(aligned(rows), end="")
    failed = [result.server.name for result in results if result.problems]
    if failed:
        print(f"real-servers.sh: not found, or counted otherwise: {', '.join(failed)}", file=sys.stderr)
    elif arguments.write:
        write_table(rows)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
