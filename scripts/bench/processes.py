# SPDX-License-Identifier: Apache-2.0
"""The processes of the bench: the server, its load, the monitor; and what the kernel says that they cost."""

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

# Makes the head of wrk's request about 500 bytes, as a browser's or a client library's is.
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
    """On a CPU so far, all threads together, to the nanosecond (kernel: Documentation/scheduler/sched-stats.rst)."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def resident_mb(pid: int) -> float:
    match = re.search(r"^VmRSS:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert match
    return int(match[1]) / 1024


@contextmanager
def server(application: str, log: Path) -> Iterator[tuple[int, int]]:
    """The current uvicorn with uvloop and httptools, for as long as the block runs: its pid and port."""
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


def load(port: int, seconds: float, connections: int = 16) -> int:
    """Keep-alive requests at full speed; how many were answered."""
    command = ["wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds:g}s"]
    for name, value in FIELDS.items():
        command += ["--header", f"{name}: {value}"]
    printed = subprocess.run([*command, f"http://127.0.0.1:{port}/"], check=True, capture_output=True, text=True).stdout
    found = re.search(r"(\d+) requests in", printed)
    assert found, printed
    return int(found[1])


@contextmanager
def monitor(binary: str, pid: int, interval: float = 1.0) -> Iterator[tuple[int, float]]:
    """`monitor --watch --json`, for as long as the block runs: its pid, and the seconds that it took until it counted."""
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
    """An engine for as long as the block runs, at the usual place: the seconds that it took."""
    start = time.monotonic()
    subprocess.run([binary, "attach", "--pid", str(pid)], check=True, stdout=subprocess.DEVNULL)
    took = time.monotonic() - start
    try:
        yield took
    finally:
        subprocess.run([binary, "detach", "--pid", str(pid)], check=True, stdout=subprocess.DEVNULL)


class Programs:
    """The BPF programs that a process holds, and how long they ran (kernel.bpf_stats_enabled)."""

    def __init__(self, pid: int) -> None:
        found = [re.search(r"^prog_id:\s*(\d+)$", text, re.MULTILINE) for text in self._fdinfo(pid)]
        self._ids = {int(match[1]) for match in found if match}

    @staticmethod
    def _fdinfo(pid: int) -> list[str]:
        return [entry.read_text() for entry in Path(f"/proc/{pid}/fdinfo").iterdir()]

    def run_times(self) -> dict[str, tuple[int, int]]:
        """Nanoseconds and runs so far, by name."""
        listed = subprocess.run(["bpftool", "--json", "prog", "list"], check=True, capture_output=True, text=True).stdout
        return {
            f"{entry.get('name', '?')} ({entry['id']})": (entry.get("run_time_ns", 0), entry.get("run_cnt", 0))
            for entry in json.loads(listed)
            if entry["id"] in self._ids
        }


@contextmanager
def bpf_statistics(on: bool) -> Iterator[None]:
    """Has the kernel time BPF programs meanwhile, or not (timing them costs too), and then is as it was."""
    switch = Path("/proc/sys/kernel/bpf_stats_enabled")
    before = switch.read_text()
    switch.write_text("1" if on else "0")
    try:
        yield
    finally:
        switch.write_text(before)
