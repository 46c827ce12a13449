# SPDX-License-Identifier: Apache-2.0
"""Every request of tests/cases, sent to real servers of every parser: the monitor's counts are the application's own, for
each method and path; what it says was answered and rejected is what came over the wire; nothing stays in flight. Where
a server differs, the case says by how much and why (its `servers` block), and the counts differ by that."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest
from case_app import asked_of
from case_files import Case, read_cases
from client import Client, Response, request
from figures import CLASSES, Observation
from monitor import Snapshot
from server import Flavour, Server

Observe = Callable[..., Observation]
Figures = Counter[tuple[str, str]]

PARSERS = [
    Flavour("debian", "h11", "asyncio"), Flavour("debian", "httptools", "uvloop"), Flavour("current", "h11", "uvloop"),
    Flavour("current", "httptools", "asyncio"), Flavour("current", "zttp", "uvloop"),
]  # fmt: skip
CASES = read_cases()
BATCH = 16
# What is kept of method and path (include/monitor/abi.h).
METHOD_SIZE, PATH_SIZE = 18, 112


@pytest.fixture(scope="module", params=PARSERS, ids=str)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp(str(request.param))
    with Server(directory, request.param, "--timeout-keep-alive", "60", application="case_app:app") as running:
        yield running


def turn(server: Server, count: int) -> None:
    """Waits until the event loop has turned `count` times: what it has been sent before is read, and what follows from
    that is done."""
    with Client(server.port) as client:
        for _ in range(count):
            assert client.ask(request("/turn")).status == 200


def exchange(server: Server, cases: list[Case]) -> list[list[Response]]:
    """Sends each case on a connection of its own, whole, then a FIN when the server has done what it can with it.
    Returns what was answered, the turns too."""
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(server.port)) for _ in cases]
        for client, case in zip(clients, cases, strict=True):
            with suppress(OSError):  # the server may have turned it down already
                client.send(case.data)
        # Of pipelined requests each takes a turn or two.
        turns = 20 + 3 * max(len(case.methods) for case in cases)
        turn(server, turns)
        for client in clients:
            with suppress(OSError):
                client.finish()
        answers = [client.responses(*case.methods) for client, case in zip(clients, cases, strict=True)]
    return [*answers, [Response(200, {}, b"ok")] * turns]


def displayed(method: str, path: str) -> str:
    """The key as the monitor shows it."""
    escaped = "".join({"\\": "\\\\", " ": "\\x20", "\t": "\\x09"}.get(c, c) for c in path[:PATH_SIZE])
    return f"{method[:METHOD_SIZE]} {escaped}{'…' if len(path) > PATH_SIZE else ''}"


def figures(snapshot: Snapshot) -> Figures:
    found: Figures = Counter()
    for endpoint in snapshot["endpoints"]:
        found["completed", f"{endpoint['method']} {endpoint['path']}"] = endpoint["completed"]
        for name in CLASSES:
            found["answered", name] += endpoint["status"][name]
    for cause, count in snapshot["undercount_by_cause"].items():
        found["undercount", cause] = count
    found["rejected", ""] = snapshot["rejected_requests"]
    found["active", ""] = snapshot["active_concurrent"]
    return +found


def expected(asked: list[tuple[str, str]], answers: list[list[Response]], facts: Counter[tuple[str, str]]) -> Figures:
    """What the monitor must say of requests that the application was asked and the wire has answers to."""
    found: Figures = Counter(("completed", displayed(method, path)) for method, path in asked)
    for response in (response for answer in answers for response in answer):
        found["rejected" if response.rejected else "answered", "" if response.rejected else f"{response.status // 100}xx"] += 1
    for (word, it), count in facts.items():
        if word == "undercount":
            found["undercount", it] += count
        else:
            found["completed", it] += count if word == "not run" else -count
            found["answered", "2xx"] -= count if word == "unseen" else 0
    return found


def difference(here: Figures, there: Figures) -> str:
    return ", ".join(f"{' '.join(key)} {here[key] - there[key]:+}" for key in here | there if here[key] != there[key])


def check(server: Server, observation: Observation, cases: list[Case], before: Figures) -> list[str]:
    """Sends the cases and adds what should come of them to `before`; a sentence for each where something else comes."""
    asked_before = len(asked_of(server.directory))
    answers = exchange(server, cases)
    facts = sum((case.facts(server.flavour) for case in cases), Counter())
    after = before.copy()
    after.update(expected(asked_of(server.directory)[asked_before:], answers, facts))
    try:
        observation.monitor.wait_for(lambda snapshot: figures(snapshot) == +after, "the case's counts", patience=2)
        complaints = []
    except AssertionError:
        now = figures(observation.monitor.next())
        wire = [(response.status, response.body[:30]) for response in answers[0]]
        complaints = [f"{cases[0].name}: {difference(now, after)} than expected; on the wire {wire}"]
        after = now
        if len(cases) > 1:
            complaints = [complaint for case in cases for complaint in check(server, observation, [case], after)]
    before.clear()
    before.update(after)
    return complaints


def test_there_are_cases() -> None:
    assert len(CASES) > 200


def test_the_monitor_counts_what_the_server_counts(server: Server, observe: Observe) -> None:
    observation = observe(server, "--raw-paths", interval=0.02)
    before: Figures = Counter()
    complaints = []
    for at in range(0, len(CASES), BATCH):
        complaints += check(server, observation, CASES[at : at + BATCH], before)
    assert not complaints, "\n".join(complaints)
    assert figures(observation.monitor.stop()) == +before
