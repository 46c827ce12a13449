# SPDX-License-Identifier: Apache-2.0
"""Hundreds of random connections to each uvicorn: every count is exact, in any mixture.

Each run has a new seed, which is printed when a count differs. E2E_SEED repeats a seed, E2E_RANDOM_CONNECTIONS makes
the run longer, and E2E_RANDOM_ONLY runs only some scripts of the plan ("17" or "100-200")."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.client import Client, request
from harness.flavours import fastest_flavours
from harness.monitor import Snapshot
from harness.observation import NOT_FOUND, STATUSES, Observation
from harness.random_client import Books, Run, ScriptFailed
from harness.random_plan import Script, write_plan
from harness.server import FLAVOURS, ZTTP, Server
from tally import KEY_SIZE

Observe = Callable[..., Observation]

CONNECTIONS = int(os.environ.get("E2E_RANDOM_CONNECTIONS", "250"))
SEED = int(os.environ.get("E2E_SEED") or int.from_bytes(os.urandom(4), "big"))
ONLY = os.environ.get("E2E_RANDOM_ONLY", "")

FIGURES = ("completed", "failed", "aborted", *STATUSES)
# On endpoints with such a segment, a response that the application believes to have sent may not reach the wire.
LEFT = {"left", "vanished", "judged"}


@pytest.fixture(params=[*FLAVOURS, ZTTP], ids=str)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server that neither closes idle connections nor pings WebSockets, however long a run takes."""
    patient = [f"--{name}=3600" for name in ("timeout-keep-alive", "ws-ping-interval", "ws-ping-timeout")]
    with Server(tmp_path, request.param, *patient) as running:
        yield running


def scripts_of(server: Server) -> list[Script]:
    scripts = write_plan(SEED, server.flavour, CONNECTIONS)
    if ONLY:
        first, _, last = ONLY.partition("-")
        scripts = scripts[int(first) : int(last or first) + 1]
    return scripts


def differences(what: str, expected: Counter[str], found: Counter[str]) -> list[str]:
    return [
        f"{what}: {key} is {found[key]}, not {expected[key]}"
        for key in sorted(expected.keys() | found.keys())
        if expected[key] != found[key]
    ]


def expected_of(books: Books, observation: Observation) -> tuple[Counter[str], Counter[str]]:
    """The monitor's expected figures, by endpoint and in total."""
    tally = observation.tally()
    of_endpoints = Counter({f"{key}: {figure}": count for (key, figure), count in books.figures.items()})
    for shown, ran in books.vanished.items():
        of_endpoints[f"{shown}: completed"] = tally.of(ran)
    totals = Counter(rejected_requests=books.rejected)
    for key, count in of_endpoints.items():
        if key.endswith(": completed"):
            totals["total_requests"] += count
        if key.endswith(": failed"):
            totals["failed_requests"] += count
    return of_endpoints, totals


def found_in(snapshot: Snapshot, books: Books) -> tuple[Counter[str], Counter[str]]:
    known = {key for key, _ in books.figures} | books.vanished.keys()
    of_endpoints: Counter[str] = Counter()
    for endpoint in snapshot["endpoints"]:
        key = f"{endpoint['method']} {endpoint['path']}"
        key = key if key in known or endpoint["path"] == "(other)" else NOT_FOUND
        for figure in FIGURES:
            if key not in books.vanished or figure == "completed":
                value = endpoint["status"][figure] if figure in STATUSES else endpoint[figure]
                of_endpoints[f"{key}: {figure}"] += value
    names = (
        "total_requests",
        "failed_requests",
        "rejected_requests",
        "refused_requests",
        "undercount",
        "active_concurrent",
        "open_connections",
    )
    totals = Counter({name: snapshot[name] for name in names})
    totals.update({f"undercount of {cause}": count for cause, count in snapshot["undercount_by_cause"].items()})
    return of_endpoints, totals


def compare(snapshot: Snapshot, books: Books, observation: Observation) -> list[str]:
    """Counts of the monitor that do not follow from the plan and the wire."""
    of_endpoints, totals = expected_of(books, observation)
    found, found_totals = found_in(snapshot, books)
    return differences("the monitor", of_endpoints, found) + differences("the monitor", totals, found_totals)


def compare_tally(books: Books, observation: Observation) -> list[str]:
    """Counts of the application that do not follow from the plan."""
    tally = observation.tally()

    def judged(key: str) -> bool:
        return not LEFT & set(key.split("/"))

    expected: Counter[str] = Counter()
    for key, count in books.ran.items():
        if judged(key):
            expected[key[:KEY_SIZE]] += count
    return differences("the application", expected, Counter({k: n for k, n in tally.by_key().items() if judged(k)}))


def settle(run: Run, observation: Observation, patience: float = 10) -> list[str]:
    """Waits until the monitor agrees. Returns the differences that remain."""
    complaints: list[str] = []

    def agrees(snapshot: Snapshot) -> bool:
        complaints[:] = compare(snapshot, run.books, observation)
        return not complaints

    try:
        observation.monitor.wait_for(agrees, "the monitor agrees", patience)
    except AssertionError:
        if not complaints:
            raise
    return complaints


def check_kept(run: Run, observation: Observation) -> list[str]:
    """While nothing else is open, the kept connections are the open ones and the held requests are those in flight.
    Returns what differs."""
    held, kept = sum(connection.in_flight for connection in run.kept), len(run.kept)
    try:
        snapshot = observation.monitor.wait_for(
            lambda s: (s["active_concurrent"], s["open_connections"]) == (held, kept),
            "the kept connections",
            patience=10,
        )
    except AssertionError:
        snapshot = observation.monitor.next()
        return [
            f"the monitor: {snapshot['active_concurrent']} in flight on {snapshot['open_connections']} connections,"
            f" not {held} on {kept}"
        ]
    assert snapshot["peak_concurrent"] >= held
    assert snapshot["peak_connections"] >= kept
    return []


def first_that_differs(server: Server, observation: Observation, scripts: list[Script]) -> str:
    """Runs one script after another, each by itself. Returns the first difference."""
    run = Run(server)
    for script in scripts:
        run.run([script], at_once=1)
        run.finish()
        if complaints := settle(run, observation, patience=2):
            return f"alone, {script} differs:\n" + "\n".join(complaints)
    return "no connection differs when it runs alone"


def test_every_count_is_exact(server: Server, observe: Observe) -> None:
    scripts = scripts_of(server)
    again = (
        f"E2E_SEED={SEED} E2E_RANDOM_CONNECTIONS={CONNECTIONS} build/venv/bin/python -m pytest -p no:cacheprovider"
        f" tests/e2e/protocol/test_random.py -k {server.flavour}"
    )
    print("again:", again)
    observation = observe(server)
    run = Run(server)
    try:
        run.run(scripts)
    except ScriptFailed as error:
        raise AssertionError(f"again: {again}\n{error}") from error
    complaints = check_kept(run, observation)
    run.open_left()
    run.finish()
    complaints += settle(run, observation) + compare_tally(run.books, observation)
    last = observation.monitor.stop()
    if complaints:
        alone = first_that_differs(server, observe(server), scripts)
        raise AssertionError("\n".join([f"again: {again}", *complaints, alone]))
    assert compare(last, run.books, observation) == []
    assert sum(worker["total"] for worker in last["workers"]) == last["total_requests"]
    # A larger peak means that a count fell below 0 in between.
    assert last["peak_concurrent"] <= last["total_requests"]


@fastest_flavours
def test_a_reset_right_after_the_response(shared_server: Server, observe: Observe) -> None:
    """The client has its response, and has left, before the server's sending call has returned."""
    count = 3000
    observation = observe(shared_server)
    for _ in range(count):
        client = Client(shared_server.port)
        assert client.ask(request("/ok")).status == 200
        client.reset()
    snapshot = observation.settle()
    observation.assert_equal(snapshot)
    assert (snapshot["total_requests"], snapshot["aborted_requests"]) == (count, 0)
