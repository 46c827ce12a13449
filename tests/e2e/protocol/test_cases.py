# SPDX-License-Identifier: Apache-2.0
"""Every request of tests/cases, sent to real servers of every parser.

The monitor's counts equal the application's for each method and path. The requests that it counts as answered and as
rejected match the bytes on the wire. Nothing stays in flight. If a server differs, the case's `servers` block says by
how much and why, and the counts differ by exactly that."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import pytest

from harness.case_files import Case, Facts, read_cases
from harness.client import Client, Response, request
from harness.monitor import Snapshot
from harness.observation import CLASSES, Observation
from harness.server import Flavour, Server
from harness.waiting import PATIENCE

Observe = Callable[..., Observation]
Figures = Counter[tuple[str, str]]

PARSERS = [
    Flavour("debian", "h11", "asyncio"),
    Flavour("debian", "httptools", "uvloop"),
    Flavour("current", "h11", "uvloop"),
    Flavour("current", "httptools", "asyncio"),
    Flavour("current", "zttp", "uvloop"),
]
CASES = read_cases()
BATCH = 24
# How much of the method and the path is kept (include/monitor/abi.h).
METHOD_SIZE, PATH_SIZE = 18, 112


@dataclass(frozen=True)
class Exchange:
    """The result of one case: the responses on its connection, and what the application was asked on it."""

    answers: list[Response]
    asked: list[tuple[str, str]]  # method and path


@pytest.fixture(scope="module", params=PARSERS, ids=str)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp(str(request.param))
    # Without --no-proxy-headers, the client's port would be the one that the client claims in a header.
    options = ("--timeout-keep-alive", "60", "--no-proxy-headers")
    with Server(directory, request.param, *options, application="case_app:app") as running:
        yield running


def turn(client: Client, count: int) -> None:
    """Waits for `count` turns of the server's event loop, so that earlier bytes are read and their consequences are
    done."""
    for _ in range(count):
        assert client.ask(request("/turn")).status == 200


def asked(server: Server, since: int) -> dict[int, list[tuple[str, str]]]:
    """What the application recorded after the first `since` bytes, by the client's port."""
    by_port: dict[int, list[tuple[str, str]]] = {}
    with (server.directory / "asked").open() as file:
        file.seek(since)
        for port, method, path in map(json.loads, file):
            by_port.setdefault(port, []).append((method, path))
    return by_port


def exchange(server: Server, cases: list[Case]) -> list[Exchange]:
    """Sends each case at once on a new connection, and a FIN when the server has done what it can. Another connection
    is used to wait for turns of the event loop."""
    since = (server.directory / "asked").stat().st_size
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(server.port)) for _ in cases]
        for client, case in zip(clients, cases, strict=True):
            with suppress(OSError):  # the server may have rejected it already
                client.send(case.data)
        turner = stack.enter_context(Client(server.port))
        turns = 20 + 3 * max(len(case.methods) for case in cases)  # each pipelined request takes one or two
        turn(turner, turns)
        for client in clients:
            with suppress(OSError):
                client.finish()
        ports = [client.port for client in [*clients, turner]]
        answers = [client.responses(*case.methods) for client, case in zip(clients, cases, strict=True)]
    answers.append([Response(200, {}, b"ok")] * turns)
    by_port = asked(server, since)
    return [Exchange(answers[i], by_port.get(ports[i], [])) for i in range(len(ports))]


def displayed(method: str, path: str) -> str:
    """The key in the form that the monitor shows."""
    kept = path[:PATH_SIZE].replace("\\", "\\\\").replace("\t", "\\x09")
    if kept.startswith("("):
        kept = "\\x28" + kept[1:]
    method_cut, path_cut = ("…" if cut else "" for cut in (len(method) > METHOD_SIZE, len(path) > PATH_SIZE))
    return f"{method[:METHOD_SIZE]}{method_cut} {kept}{path_cut}"


def figures(snapshot: Snapshot) -> Figures:
    found: Figures = Counter()
    for endpoint in snapshot["endpoints"]:
        found["completed", f"{endpoint['method']} {endpoint['path']}"] += endpoint["completed"]
        for name in CLASSES:
            found["answered", name] += endpoint["status"][name]
    for cause, count in snapshot["undercount_by_cause"].items():
        found["undercount", cause] = count
    found["rejected", ""] = snapshot["rejected_requests"]
    found["active", ""] = snapshot["active_concurrent"]
    return +found


def add_expected(found: Figures, happened: Exchange) -> None:
    """Adds what the monitor must count. If the server sends its own 400, the request that the application runs at that
    time does not count: it gets no other response."""
    answered = [response for response in happened.answers if not response.rejected]
    rejected = len(happened.answers) - len(answered)
    counted = happened.asked[: len(answered)] if rejected else happened.asked
    found.update(("completed", displayed(method, path)) for method, path in counted)
    found.update(("answered", f"{response.status // 100}xx") for response in answered)
    found["rejected", ""] += rejected


def add_facts(found: Figures, facts: Facts) -> None:
    """Adds what the cases state about this server."""
    for (word, it), count in facts.items():
        if word == "not run":
            found["completed", it] += count
        elif word == "unseen" and it == "400":
            found["rejected", ""] -= count
        elif word == "unseen":
            found["completed", it] -= count
            found["answered", "2xx"] -= count
        elif word == "unknown":
            found["answered", it] -= count
        elif word == "undercount":
            found["undercount", it] += count
        else:
            was, shown = it.split(" as ")
            found["completed", was] -= count
            found["completed", shown] += count


def difference(here: Figures, there: Figures) -> str:
    return ", ".join(f"{' '.join(key)} {here[key] - there[key]:+}" for key in here | there if here[key] != there[key])


def check(server: Server, observation: Observation, cases: list[Case], before: Figures) -> list[str]:
    """Sends the cases and adds the expected counts to `before`. Returns a sentence for each difference."""
    after = before.copy()
    happened = exchange(server, cases)
    for one in happened:
        add_expected(after, one)
    for case in cases:
        add_facts(after, case.facts(server.flavour))
    complaints = []
    try:
        patience = PATIENCE if len(cases) > 1 else 5  # a single case is known to differ
        observation.monitor.wait_for(lambda snapshot: figures(snapshot) == +after, "the cases' counts", patience)
    except AssertionError:
        now = figures(observation.monitor.wait_idle())
        wire = [(response.status, response.body[:30]) for response in happened[0].answers]
        complaint = f"{difference(now, after)}; on the wire {wire}, asked {happened[0].asked}"
        complaints = [f"{cases[0].name} to {cases[-1].name}: {complaint}"]
        after = now
        if len(cases) > 1:
            complaints += [complaint for case in cases for complaint in check(server, observation, [case], after)]
    before.clear()
    before.update(after)
    return complaints


def test_there_are_cases() -> None:
    assert len(CASES) > 300


def test_the_monitor_counts_what_the_server_counts(server: Server, observe: Observe) -> None:
    observation = observe(server, "--raw-paths", "--show-secrets", interval=0.02)
    before: Figures = Counter()
    complaints = []
    for at in range(0, len(CASES), BATCH):
        complaints += check(server, observation, CASES[at : at + BATCH], before)
    assert not complaints, "\n".join(complaints)
    assert figures(observation.monitor.stop()) == +before
