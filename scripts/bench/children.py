# SPDX-License-Identifier: Apache-2.0
"""The processes of the bench (the server, its load, the monitor) and their cost by the kernel's own figures."""

import json
import re
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PATIENCE = 30.0

# Make the head of the request about 500 bytes, like that of a browser or a client library.
FIELDS = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "Accept-Language": "en-US,en;q=0.5",
    "Accept-Encoding": "gzip, deflate, br",
    "Authorization": "Bearer 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "X-Request-Id": "6f1f9a7e-5a3c-4d0e-9a55-0f8f0f6b7c1d",
    "Cache-Control": "no-cache",
}


def cpu_seconds(pid: int) -> float:
    """CPU time of all threads so far, exact to the nanosecond (kernel: Documentation/scheduler/sched-stats.rst)."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def resident_mb(pid: int) -> float:
    match = re.search(r"^VmRSS:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert match
    return int(match[1]) / 1024


@contextmanager
def server(application: str, log: Path) -> Iterator[tuple[int, int]]:
    """Runs the current uvicorn with uvloop and httptools during the block. Yields its pid and port."""
    command = [str(ROOT / "build/venv/bin/python"), "-m", "uvicorn", "--app-dir", str(HERE), "--port", "0"]
    command += ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--no-use-colors", f"apps:{application}"]
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
    try:
        deadline = time.monotonic() + PATIENCE
        while not (found := re.search(r"running on http://127\.0\.0\.1:(\d+)", log.read_text())):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"uvicorn did not start: {log.read_text()}")
            time.sleep(0.02)
        yield process.pid, int(found[1])
    finally:
        process.terminate()
        process.wait()


def request() -> bytes:
    fields = "".join(f"{name}: {value}\r\n" for name, value in FIELDS.items())
    return f"GET / HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n".encode()


def metered(command: list[str], standard_input: bytes = b"") -> dict[str, list[tuple[float, float]]]:
    """Runs a program that prints slices with measure.h. Returns CPU nanoseconds and instructions per operation, by
    kind."""
    printed = subprocess.run(command, check=True, capture_output=True, input=standard_input).stdout.decode()
    slices: dict[str, list[tuple[float, float]]] = {}
    for line in printed.splitlines():
        kind, nanoseconds, instructions = line.split()
        slices.setdefault(kind, []).append((float(nanoseconds), float(instructions)))
    return slices


def load(program: str, port: int, pid: int, slices: int, requests: int) -> list[tuple[float, float]]:
    """Sends slices * requests keep-alive requests. Returns the server's CPU nanoseconds and instructions per request,
    by slice."""
    return metered([program, str(port), str(pid), str(slices), str(requests)], request())["request"]


@contextmanager
def empty_programs(program: str, bpf_object: str) -> Iterator[None]:
    """Attaches programs that do nothing to the two socket tracepoints during the block."""
    process = subprocess.Popen([program, bpf_object], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout
        if not process.stdout.readline():
            raise RuntimeError("the empty programs could not be attached")
        yield
    finally:
        process.communicate()


@contextmanager
def monitor(binary: str, pid: int, interval: float = 1.0) -> Iterator[tuple[int, float]]:
    """Runs `monitor --watch --json` during the block. Yields its pid, and the seconds until its first line."""
    start = time.monotonic()
    process = subprocess.Popen(
        [binary, "--pid", str(pid), "--watch", "--json", "--interval", str(interval)], stdout=subprocess.PIPE
    )
    try:
        assert process.stdout
        ready, _, _ = select.select([process.stdout], [], [], PATIENCE)
        took = time.monotonic() - start
        if not ready or not process.stdout.readline():
            raise RuntimeError(f"{binary} did not start")
        yield process.pid, took
    finally:
        process.terminate()
        process.communicate()


@contextmanager
def attached(binary: str, pid: int) -> Iterator[float]:
    """Attaches an engine in the default place during the block. Yields the seconds that attaching took."""
    start = time.monotonic()
    subprocess.run([binary, "attach", "--pid", str(pid)], check=True, stdout=subprocess.DEVNULL)
    took = time.monotonic() - start
    try:
        yield took
    finally:
        subprocess.run([binary, "detach", "--pid", str(pid)], check=True, stdout=subprocess.DEVNULL)


class Programs:
    """The BPF programs that a process holds, and their run times (kernel.bpf_stats_enabled)."""

    def __init__(self, pid: int) -> None:
        found = [re.search(r"^prog_id:\s*(\d+)$", text, re.MULTILINE) for text in self._fdinfo(pid)]
        self._ids = {int(match[1]) for match in found if match}

    @staticmethod
    def _fdinfo(pid: int) -> list[str]:
        return [entry.read_text() for entry in Path(f"/proc/{pid}/fdinfo").iterdir()]

    def run_times(self) -> dict[str, tuple[int, int]]:
        """Nanoseconds and runs so far, by name. Programs of the same name are added up."""
        listed = subprocess.run(
            ["bpftool", "--json", "prog", "list"], check=True, capture_output=True, text=True
        ).stdout
        times: dict[str, tuple[int, int]] = {}
        for entry in json.loads(listed):
            if entry["id"] in self._ids:
                nanoseconds, runs = times.get(entry["name"], (0, 0))
                times[entry["name"]] = (nanoseconds + entry.get("run_time_ns", 0), runs + entry.get("run_cnt", 0))
        return times


@contextmanager
def bpf_statistics(on: bool) -> Iterator[None]:
    """Switches the kernel's timing of BPF programs on or off (it has a cost of its own), and restores it afterwards."""
    switch = Path("/proc/sys/kernel/bpf_stats_enabled")
    before = switch.read_text()
    switch.write_text("1" if on else "0")
    try:
        yield
    finally:
        switch.write_text(before)
