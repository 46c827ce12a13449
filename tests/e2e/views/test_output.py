# SPDX-License-Identifier: Apache-2.0
"""Printed output: JSON matches its schema, the box equals its picture, and hostile paths are escaped."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import jsonschema
import pytest

from harness.client import Client, request
from harness.cpu import cpu_seconds, reported_seconds
from harness.flavours import usual_flavour
from harness.load import wrk
from harness.monitor import BINARY, PROFILE, ROOT, run_monitor
from harness.observation import Observation
from harness.server import USUAL, Flavour, Server
from harness.waiting import PATIENCE, wait_until

Start = Callable[..., Server]
Observe = Callable[..., Observation]

FIRST_KEYS = [
    "active_concurrent",
    "peak_concurrent",
    "total_requests",
    "failed_requests",
    "queue_depth",
    "cpu_percent",
    "memory_mb",
]


def validator() -> jsonschema.Draft202012Validator:
    schema = json.loads((ROOT / "docs/schema/snapshot.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_json_matches_its_schema(start_server: Start, observe: Observe) -> None:
    server = start_server(USUAL, workers=2)
    observation = observe(server)
    with Client(server.port) as held, Client(server.port) as client:
        held.send(request("/hold?gate=schema"))
        server.wait_at_gate("GET /hold", 1)
        for target in ("/ok", "/users/1", "/fail"):
            client.send(request(target))
            client.response()
        in_flight = observation.monitor.next()
        validator().validate(in_flight)
        assert list(in_flight)[:7] == FIRST_KEYS
        assert in_flight["target"]["pid"] == server.pid
        assert in_flight["target"]["listen"] == [f"127.0.0.1:{server.port}"]
        assert "uvicorn" in in_flight["target"]["command"]
        server.open_gate("schema")
        assert held.response().body == b"held"
    last = observation.settle()
    validator().validate(last)
    assert last["undercount"] == 0


def test_cpu_memory_and_threads_are_those_of_the_whole_tree(start_server: Start, observe: Observe) -> None:
    server = start_server(USUAL, workers=2)
    observation = observe(server)
    wrk(server.port, "/ok", 1, 8)
    snapshot = observation.settle()
    assert snapshot["memory_mb"] > sum(worker["memory_mb"] for worker in snapshot["workers"]) > 10
    assert snapshot["threads"] > len(snapshot["workers"]) == 2
    assert snapshot["uptime_seconds"] >= snapshot["observed_seconds"] > 0


@usual_flavour
def test_cpu_includes_children_that_ended(shared_server: Server) -> None:
    """However short they lived: each counts in the interval in which it was reaped, and once."""
    pid = shared_server.pid
    command = [BINARY, "--pid", str(pid), "--profile", PROFILE, "--json", "--watch", "--interval", "0.5"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        snapshots = [json.loads(process.stdout.readline())]
        before = cpu_seconds(pid)
        with Client(shared_server.port) as client:
            for seconds in (*[0.05] * 12, 0.8):  # the last one lives during several samples
                assert client.ask(request(f"/child?cpu={seconds}")).body == b"reaped"
        used = cpu_seconds(pid) - before
        while snapshots[-1]["total_requests"] < 13 or snapshots[-1]["cpu_percent"] > 5:
            snapshots.append(json.loads(process.stdout.readline()))
        process.send_signal(signal.SIGINT)
    reported = sum(map(reported_seconds, snapshots, snapshots[1:]))
    assert used > 1.4
    assert reported == pytest.approx(used, rel=0.05, abs=0.05)


BOX = re.compile(
    r"""╔═{56}╗
║  Uvicorn Concurrency Monitor
╠═{56}╣
║  Active Concurrent:  1
║  Peak Concurrent:    1
║  Total Requests:     \d+
║  Failed Requests:    \d+
║  Queue Depth:        \d+
╠═{56}╣
║  Active Endpoints:
║    • /hold: 1
╠═{56}╣
║  System Metrics:
║    CPU: \d+\.\d% \| Memory: \d+\.\d MB \| Threads: \d+
╚═{56}╝
"""
)


def print_while_in_flight(server: Server, target: bytes, wanted: str, output: Path, *options: str, **env: str) -> str:
    """Everything that the monitor prints until `wanted` appears, while a request for `target` is held."""
    with output.open("w") as file:
        process = subprocess.Popen(
            [BINARY, "--pid", str(server.pid), "--interval", "0.05", *options], stdout=file, env=os.environ | env
        )
    try:
        # The first output shows that it counts.
        wait_until(lambda: output.read_bytes().count(b"\n") > 2, "the first output")
        with Client(server.port) as client:
            client.send(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")
            wait_until(lambda: wanted in output.read_text(), f"{wanted!r} in the output")
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE) == 0
        return output.read_text()
    finally:
        process.kill()
        process.wait()


@usual_flavour
def test_the_box(shared_server: Server, tmp_path: Path) -> None:
    text = print_while_in_flight(
        shared_server, b"/hold?gate=box", "/hold: 1", tmp_path / "boxes", "--watch", LC_ALL="C.UTF-8"
    )
    last = text[text.rindex("╔") :]
    assert BOX.fullmatch(last), last
    assert "\x1b" not in text


@usual_flavour
def test_the_box_in_ascii(shared_server: Server, tmp_path: Path) -> None:
    text = print_while_in_flight(
        shared_server, b"/hold?gate=box", "/hold: 1", tmp_path / "boxes", "--watch", LC_ALL="C"
    )
    assert text.isascii()
    assert {len(line) for line in text.splitlines() if set(line) <= set("+=-")} - {0} == {58}


@usual_flavour
def test_once_without_watching(shared_server: Server) -> None:
    box = run_monitor("--pid", str(shared_server.pid), "--interval", "0.1", env=os.environ | {"LC_ALL": "C.UTF-8"})
    assert (box.returncode, box.stderr) == (0, "")
    assert box.stdout.count("╔") == 1
    printed = run_monitor("--pid", str(shared_server.pid), "--interval", "0.1", "--json")
    assert (printed.returncode, printed.stderr) == (0, "")
    validator().validate(json.loads(printed.stdout))


# Paths that a terminal, a log or JSON would obey instead of show. h11 passes some of these to the application,
# httptools others; the monitor sees all of them before the server decides.
HOSTILE = [
    b"/hold/\xc2\x9b31mred",
    b"/hold/\xe2\x80\xaegnp.exe",
    b"/hold/\xff\xfe",
    b"/hold/%1b[2J",
    b'/hold/"quoted"\\',
    "/hold/日本語".encode(),
    b"/hold/</script>|[SYSTEM]",
]
OUTPUTS = [["--watch"], ["--watch", "--json"], ["--log", "-"]]
# Control characters except the newline, including the bytes of C1 controls, and characters that change the direction of
# text.
OBEYED = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


@pytest.mark.parametrize("output", OUTPUTS, ids=" ".join)
@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_hostile_paths(output: list[str], http: str, start_server: Start, tmp_path: Path) -> None:
    server = start_server(Flavour("debian", http, "uvloop"))
    printed = tmp_path / "printed"
    with ExitStack() as stack:
        with printed.open("w") as file:
            process = subprocess.Popen(
                [BINARY, "--pid", str(server.pid), "--interval", "0.05", "--raw-paths", *output],
                stdout=file,
                env=os.environ | {"LC_ALL": "C.UTF-8"},
            )
        stack.callback(process.wait)
        stack.callback(process.kill)
        wait_until(lambda: printed.read_bytes().count(b"\n") > 2, "the first output")
        for path in HOSTILE:
            client = stack.enter_context(Client(server.port))
            client.send(b"GET " + path + b"?gate=never HTTP/1.1\r\nHost: x\r\n\r\n")
        client = stack.enter_context(Client(server.port))
        client.send(request("/hold/after?gate=never"))
        wait_until(lambda: "/hold/after" in printed.read_text(), "the last path is in the output")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
    text = printed.read_bytes().decode()  # valid UTF-8, or this fails
    assert not (found := OBEYED.search(text)), repr(text[found.start() - 40 : found.end() + 40])
    if "--json" in output:
        for line in text.splitlines():
            validator().validate(json.loads(line))
