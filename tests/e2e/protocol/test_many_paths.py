# SPDX-License-Identifier: Apache-2.0
"""More paths than the table of endpoints has slots: paths that occur once give their slots to endpoints that repeat."""

import itertools
import random
import string
from collections.abc import Callable, Iterator
from threading import Thread

import pytest

from harness.attached_engine import Engine
from harness.client import Client, request
from harness.monitor import Monitor, Snapshot
from harness.observation import Observation, endpoint_of
from harness.server import Server

Observe = Callable[..., Observation]
Start = Callable[..., Server]
Attach = Callable[..., Monitor]

SLOTS = 2048  # the default of --max-endpoints
DEPTH = 20  # requests in one pipeline


def once(seed: int) -> Iterator[str]:
    """Paths that are all different, and that nothing folds."""
    words = random.Random(seed)
    for number in itertools.count():
        letters = "".join(chr(ord("a") + int(digit)) for digit in str(number))
        yield f"/raw/{''.join(words.choice('aeiou') for _ in range(4))}-{letters}"


def send(server: Server, paths: list[str]) -> None:
    """Sends them in pipelines, and reads every response."""
    with Client(server.port) as client:
        for begin in range(0, len(paths), DEPTH):
            batch = paths[begin : begin + DEPTH]
            client.send(b"".join(map(request, batch)))
            for _ in batch:
                assert client.response().status == 200


def completed(snapshot: Snapshot, path: str) -> int:
    return sum(endpoint["completed"] for endpoint in snapshot["endpoints"] if endpoint["path"] == path)


def check_sums(snapshot: Snapshot) -> None:
    assert snapshot["total_requests"] == sum(endpoint["completed"] for endpoint in snapshot["endpoints"])
    for endpoint in snapshot["endpoints"]:
        histograms = endpoint["durations"]
        assert sum(histogram["count"] for histogram in histograms) == endpoint["completed"], endpoint
        assert sum(endpoint["status"].values()) == endpoint["completed"], endpoint


def test_a_new_endpoint_gets_a_slot_of_a_full_table(start_server: Start, engine: Engine) -> None:
    server = start_server()
    paths = once(1)
    engine.attach(server.pid)
    send(server, ["/raw/early"] * 5)
    send(server, list(itertools.islice(paths, SLOTS + 1000)))
    send(server, ["/raw/late"] * 50)
    send(server, list(itertools.islice(paths, SLOTS)))  # a whole turn of the table
    send(server, ["/raw/late"] * 50 + ["/raw/early"] * 5)
    total = 5 + SLOTS + 1000 + 50 + SLOTS + 55
    last = engine.wait_for(server.pid, lambda s: s["total_requests"] == total, "all requests")
    check_sums(last)
    assert endpoint_of(last, "/raw/late")["completed"] == 100
    assert endpoint_of(last, "/raw/early")["completed"] == 10
    assert len(last["endpoints"]) <= SLOTS + 2 * 48  # with the special endpoints of 16 targets and of their listeners
    assert completed(last, "(other)") >= SLOTS + 900
    assert last["undercount"] == 0


def test_counters_do_not_fall_while_slots_change(start_server: Start, attach: Attach) -> None:
    """Two clients send paths that occur once, and two monitors read as fast as they can."""
    server = start_server()
    monitors = [attach(server.pid, interval=0.01) for _ in range(2)]
    clients = [Thread(target=send, args=(server, list(itertools.islice(once(seed), 4000)))) for seed in (2, 3)]
    for client in clients:
        client.start()
    before = [monitor.next() for monitor in monitors]
    while any(client.is_alive() for client in clients):
        for at, monitor in enumerate(monitors):
            now = monitor.next()
            assert now["total_requests"] >= before[at]["total_requests"]
            assert completed(now, "(other)") >= completed(before[at], "(other)")
            before[at] = now
    for client in clients:
        client.join()
    for monitor in monitors:
        last = monitor.wait_for(lambda s: s["total_requests"] == 8000 and s["active_concurrent"] == 0, "all requests")
        check_sums(last)


def test_requests_in_flight_keep_their_slots(start_server: Start, engine: Engine) -> None:
    """A pinned engine evicts without a monitor. What is in flight stays where it began, and ends there."""
    server = start_server()
    engine.attach(server.pid, options=("--max-endpoints", 20, "--max-targets", 1))
    held = [f"/hold/{letter}" for letter in "abcdefghij"]
    clients = []
    for path in held:
        clients.append(Client(server.port).send(request(f"{path}?gate=many")))
        server.wait_at_gate(f"GET {path}", 1)
    send(server, list(itertools.islice(once(4), 500)))
    during = engine.snapshot(server.pid)
    assert [endpoint_of(during, path)["active"] for path in held] == [1] * len(held)
    assert during["total_requests"] == 500
    server.open_gate("many", len(held))
    for client in clients:
        assert client.response().status == 200
        client.close()
    last = engine.wait_for(server.pid, lambda s: s["total_requests"] == 510, "the end of all requests")
    assert last["active_concurrent"] == 0
    assert [endpoint_of(last, path)["completed"] for path in held] == [1] * len(held)
    check_sums(last)


def test_a_table_without_a_rare_endpoint_stays_as_it_is(start_server: Start, engine: Engine) -> None:
    server = start_server()
    engine.attach(server.pid, options=("--max-endpoints", 4, "--max-targets", 1))
    usual = [f"/raw/{name}" for name in ("one", "two", "three", "four")]
    send(server, usual * 3)
    send(server, list(itertools.islice(once(5), 200)))
    last = engine.wait_for(server.pid, lambda s: s["total_requests"] == 212, "all requests")
    assert [endpoint_of(last, path)["completed"] for path in usual] == [3] * 4
    assert endpoint_of(last, "(other)", "")["completed"] == 200
    check_sums(last)


def generated(kind: str, words: random.Random) -> str:
    """A path of a real API with an identifier of this kind."""

    def text(length: int, alphabet: str = string.ascii_letters + string.digits) -> str:
        return "".join(words.choice(alphabet) for _ in range(length))

    upper = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    return {
        "responses": lambda: "/raw/responses/resp_" + text(48, "0123456789abcdef"),
        "files": lambda: f"/raw/files/file-{text(24)}/content",
        "threads": lambda: f"/raw/threads/thread_{text(24)}/runs/run_{text(24)}",
        "traces": lambda: "/raw/traces/01" + text(24, upper),
        "links": lambda: "/raw/links/" + text(21),
        "completions": lambda: "/raw/completions/chatcmpl-" + text(29),
        "users": lambda: f"/raw/users/{text(8)}@example.org",
        "reports": lambda: f"/raw/reports/20{words.randint(10, 99)}-{words.randint(10, 12)}-{words.randint(10, 28)}",
        "jobs": lambda: "/raw/jobs/" + text(32, "0123456789abcdef"),
        "numbers": lambda: f"/raw/numbers/{words.randint(1, 99999)}",
        "customers": lambda: "/raw/customers/cus_" + text(14),
        "tokens": lambda: "/raw/tokens/" + text(43, string.ascii_letters + string.digits + "-_"),
        "documents": lambda: "/raw/documents/" + text(24, "0123456789abcdef"),
        "posts": lambda: f"/raw/posts/{words.randint(10, 9999)}-how-to",
    }[kind]()


def test_identifiers_of_real_apis_are_few_endpoints(start_server: Start, attach: Attach) -> None:
    kinds = {
        "responses": "/raw/responses/{id}",
        "files": "/raw/files/{id}/content",
        "threads": "/raw/threads/{id}/runs/{id}",
        **{name: f"/raw/{name}/{{id}}" for name in ("traces", "links", "completions", "users", "reports", "jobs")},
        **{name: f"/raw/{name}/{{id}}" for name in ("numbers", "customers", "tokens", "documents", "posts")},
    }
    words = random.Random(1)
    server = start_server()
    monitor = attach(server.pid)
    send(server, [generated(kind, words) for _ in range(200) for kind in kinds])
    total = 200 * len(kinds)
    last = monitor.wait_for(lambda s: s["total_requests"] == total and not s["active_concurrent"], "all requests")
    for name in kinds.values():
        assert completed(last, name) >= 196, name  # it is a heuristic
    assert len(last["endpoints"]) <= len(kinds) + 10
    assert last["warnings"] == []
    check_sums(last)


@pytest.mark.parametrize("options", [(), ("--raw-paths",)], ids=["folded", "raw"])
def test_secrets_are_in_no_output(options: tuple[str, ...], start_server: Start, attach: Attach) -> None:
    secrets = [
        "sk-proj-Ab1Cd2Ef3Gh4Ij5Kl6Mn7Op8",
        "sk-abcdefghijklmnopqrst",
        "qzjxkvwbpmfthgyrnldcsaeuiohqkzwx",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
        "AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw",
        "c5x2l3-0f3b0e8e9c3a1d2b4f5a6b7c8d9e0f1a",
        "ada@example.org",
    ]
    server = start_server()
    monitor = attach(server.pid, *options)
    paths = [f"/raw/bot110201543:{secret}/send" for secret in secrets] + [f"/raw/reset/{secret}" for secret in secrets]
    send(server, paths)
    last = monitor.wait_for(lambda s: s["total_requests"] == len(paths) and not s["active_concurrent"], "all requests")
    for secret in secrets:
        assert not [endpoint["path"] for endpoint in last["endpoints"] if secret in endpoint["path"]]


def test_secrets_are_shown_on_demand(start_server: Start, attach: Attach) -> None:
    server = start_server()
    monitor = attach(server.pid, "--raw-paths", "--show-secrets")
    send(server, ["/raw/sk-proj-Ab1Cd2Ef3Gh4Ij5Kl6Mn7Op8"])
    last = monitor.wait_for(lambda s: s["total_requests"] == 1, "the request")
    assert endpoint_of(last, "/raw/sk-proj-Ab1Cd2Ef3Gh4Ij5Kl6Mn7Op8")["completed"] == 1
