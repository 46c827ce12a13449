# SPDX-License-Identifier: Apache-2.0
"""`monitor serve`: its responses, slow and hostile clients, and how it ends."""

import signal
import socket
import subprocess
import threading
import urllib.error
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness.client import Client, request
from harness.debian_daemons import fetch, open_metrics_families, promtool
from harness.flavours import usual_flavour
from harness.load import keep_alive
from harness.monitor import BINARY, run_monitor
from harness.private_proc import OwnProc
from harness.restarts import free_port
from harness.server import Server, tree
from harness.serving import OPEN_METRICS, Serving
from harness.waiting import PATIENCE, wait_until

Start = Callable[..., Server]


def can_connect(port: int) -> bool:
    try:
        with Client(port):
            return True
    except ConnectionRefusedError:
        return False


def test_it_is_scraped_in_both_formats(start_server: Start, serve: Callable[..., Serving]) -> None:
    server = start_server()
    serving = serve("--pid", str(server.pid))
    of = f'target="127.0.0.1:{server.port}"'
    assert serving.metrics()[f"uvicorn_requests_total{{{of}}}"] == 0
    with Client(server.port) as held:
        held.send(request("/hold?gate=never"))
        for target in ("/ok", "/users/1", "/users/2", "/fail"):
            with Client(server.port) as client:
                client.ask(request(target))
        wait_until(lambda: serving.metrics()[f"uvicorn_requests_total{{{of}}}"] == 4, "four requests")
        found = serving.metrics()
    endpoint = f'{of},http_request_method="GET",endpoint='
    assert found[f'http_server_active_requests{{{endpoint}"/hold"}}'] == 1
    count = "http_server_request_duration_seconds_count"
    assert found[f'{count}{{{endpoint}"/users/{{id}}",http_response_status_code="200"}}'] == 2
    assert found[f'{count}{{{endpoint}"/fail",http_response_status_code="500"}}'] == 1
    assert found[f"uvicorn_failed_requests_total{{{of}}}"] == 1
    promtool("check", "metrics", given=serving.get("/metrics"))
    families = open_metrics_families(serving.get("/metrics", Accept=OPEN_METRICS))
    assert {"http_server_request_duration_seconds", "uvicorn_requests", "target"} <= set(families)
    assert serving.get("/healthz") == "ok\n"
    for path in ("/", "/metrics/", "/healthz/x"):
        with pytest.raises(urllib.error.HTTPError, match="404") as turned_down:
            serving.get(path)
        assert turned_down.value.read() == b"there are /metrics and /healthz\n"
    with Client(serving.port) as client:
        posted = client.ask(request("/metrics", "POST", body=b"x" * 100))
        assert (posted.status, posted.body) == (405, b"Method Not Allowed\n")
    for head, status in (
        (b"nonsense\r\n\r\n", b"400 Bad Request"),
        (b"x" * 9000, b"431 Request Header Fields Too Large"),
    ):
        with Client(serving.port) as client:
            assert client.send(head).rest().startswith(b"HTTP/1.1 " + status + b"\r\n")


def test_the_port_opens_when_counting_has_begun(start_server: Start) -> None:
    server = start_server()
    address = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen([BINARY, "serve", "--pid", str(server.pid), "--listen", address])
    try:
        wait_until(lambda: can_connect(int(address.rpartition(":")[2])), "the port is open")
        keep_alive(server.port, 50, 4)
        scraped = fetch(f"http://{address}/metrics", None)
        assert f'\nuvicorn_requests_total{{target="127.0.0.1:{server.port}"}} 50\n' in scraped
    finally:
        process.kill()
        process.wait()


@usual_flavour
def test_hostile_clients_do_not_keep_others_out(shared_server: Server, serve: Callable[..., Serving]) -> None:
    serving = serve("--pid", str(shared_server.pid))
    with ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(Client(serving.port))
        slow = stack.enter_context(Client(serving.port))
        slow.send(b"G")
        for _ in range(20):
            deaf = stack.enter_context(Client(serving.port))
            deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            deaf.send(request("/metrics"))
        assert serving.metrics()
        stop = threading.Event()

        def scrape() -> None:
            while not stop.is_set():
                serving.get("/metrics")

        hammers = [threading.Thread(target=scrape) for _ in range(8)]
        for hammer in hammers:
            hammer.start()
        try:
            for _ in range(20):
                assert serving.get("/healthz") == "ok\n"
        finally:
            stop.set()
            for hammer in hammers:
                hammer.join()
    assert serving.process.poll() is None


@usual_flavour
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it(shared_server: Server, serve: Callable[..., Serving], number: signal.Signals) -> None:
    serving = serve("--pid", str(shared_server.pid))
    assert serving.metrics()
    serving.process.send_signal(number)
    assert serving.process.wait(PATIENCE) == 0


def test_it_ends_with_the_last_server(start_server: Start, serve: Callable[..., Serving]) -> None:
    first, second = start_server(), start_server()
    serving = serve("--pid", str(first.pid), "--pid", str(second.pid))
    info = [line for line in serving.get("/metrics").splitlines() if line.startswith("target_info")]
    assert len(info) == 2
    first.stop()
    wait_until(lambda: f"(pid {first.pid}) has ended" in serving.said(), "it reports the end")
    gone = f'uvicorn_threads{{target="127.0.0.1:{first.port}"}}'
    wait_until(lambda: gone not in serving.metrics(), "its last figures are gone")
    assert f'uvicorn_threads{{target="127.0.0.1:{second.port}"}}' in serving.metrics()
    second.stop()
    assert serving.process.wait(PATIENCE) == 3
    assert f"(pid {second.pid}) has ended" in serving.said()


def test_servers_come_and_go(tmp_path: Path, start_server: Start, serve: Callable[..., Serving]) -> None:
    """On a machine that has no server at first."""
    proc = OwnProc(tmp_path)
    serving = serve("--all", under=proc.command())
    proc.show(serving.process.pid)
    assert serving.metrics() == {}
    with pytest.raises(urllib.error.HTTPError, match="503") as unavailable:
        serving.get("/healthz")
    assert unavailable.value.read() == b"no server is observed\n"
    for _ in range(2):
        server = start_server()
        series = f'uvicorn_threads{{target="127.0.0.1:{server.port}"}}'
        proc.show(*tree(server.pid))
        wait_until(lambda: series in serving.metrics(), "its metrics are served")
        assert serving.get("/healthz") == "ok\n"
        server.stop()
        wait_until(lambda: serving.metrics() == {}, "its metrics are gone")


@usual_flavour
def test_cpu_time_never_goes_down(start_server: Start, shared_server: Server, serve: Callable[..., Serving]) -> None:
    server = start_server(workers=2)
    serving = serve("--pid", str(server.pid))
    series = f'uvicorn_cpu_seconds_total{{target="127.0.0.1:{server.port}"}}'
    before = serving.metrics()[series]
    assert before > 0
    with Client(server.port) as client:
        client.ask(request("/ok"))
    workers = server.workers()
    subprocess.run(["kill", "-9", str(workers[0])], check=True)
    values = [before]
    wait_until(lambda: workers[0] not in server.workers(), "a worker is gone")
    for _ in range(10):
        values.append(serving.metrics()[series])
    assert values == sorted(values)


@usual_flavour
def test_what_it_may_do(shared_server: Server, serve: Callable[..., Serving]) -> None:
    serving = serve("--pid", str(shared_server.pid))
    status = Path(f"/proc/{serving.process.pid}/status").read_text()
    effective = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:"))
    cap_sys_ptrace, cap_perfmon, cap_bpf = 1 << 19, 1 << 38, 1 << 39
    assert effective & ~(cap_sys_ptrace | cap_perfmon | cap_bpf) == 0


@usual_flavour
def test_addresses_on_which_it_cannot_listen(shared_server: Server, serve: Callable[..., Serving]) -> None:
    pid = str(shared_server.pid)
    taken = f"127.0.0.1:{shared_server.port}"
    ended = run_monitor("serve", "--pid", pid, "--listen", taken)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        f"monitor: listen on {taken}: Address already in use\n"
        "  another program listens there; choose another port with --listen\n"
    )
    ended = run_monitor("serve", "--pid", pid, "--listen", "192.0.2.1:9464")
    assert ended.returncode == 1
    assert "listen on 192.0.2.1:9464: Cannot assign requested address" in ended.stderr
    ended = run_monitor("serve", "--pid", pid, "--listen", "9464")
    assert ended.returncode == 2
    six = serve("--pid", pid, host="[::1]")
    assert six.url == f"http://[::1]:{six.port}"
    assert six.get("/healthz") == "ok\n"


def test_thousands_of_endpoints_stay_below_the_limit(start_server: Start, serve: Callable[..., Serving]) -> None:
    server = start_server()
    serving = serve("--pid", str(server.pid))
    larger = serve("--pid", str(server.pid), "--max-scrape", "100000")
    of = f'target="127.0.0.1:{server.port}"'
    names = ["".join(chr(ord("a") + int(digit)) for digit in str(number)) for number in range(3000)]
    before: dict[str, float] = {}
    sent = 0
    with Client(server.port) as client:
        for begin in range(0, len(names), 500):
            for name in names[begin : begin + 500]:
                assert client.ask(request(f"/raw/{name}")).status == 200
            for _ in range(begin // 100 + 10):
                assert client.ask(request("/raw/new-and-busy")).status == 200
            sent += 500 + begin // 100 + 10
            wait_until(lambda: serving.metrics()[f"uvicorn_requests_total{{{of}}}"] == sent, "all requests")
            text = serving.get("/metrics")
            assert len(text.encode()) < 1_000_000
            now = {
                line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in text.splitlines() if line[0] != "#"
            }
            for series, value in now.items():
                assert "_count" not in series or value >= before.get(series, 0), series
            counts = [
                value for name, value in now.items() if name.startswith("http_server_request_duration_seconds_count")
            ]
            assert sum(counts) == now[f"uvicorn_requests_total{{{of}}}"]
            before = now
    assert "are left out, those with the fewest requests; (other) has their sum" in text
    assert before[f"uvicorn_endpoints_left_out{{{of}}}"] > 1000
    counts = [value for name, value in before.items() if "_count" in name and "new-and-busy" in name]
    assert counts == [sum(range(10, 36, 5))] * len(counts)
    assert counts
    promtool("check", "metrics", given=text)
    assert "uvicorn_endpoints_left_out" in open_metrics_families(serving.get("/metrics", Accept=OPEN_METRICS))
    assert larger.metrics()[f"uvicorn_endpoints_left_out{{{of}}}"] == 0
