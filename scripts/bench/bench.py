# SPDX-License-Identifier: Apache-2.0
"""What the monitor costs, beside its targets. Costs are compared in pairs of rounds, one without the monitor and one
with it right after or before, and said as the median ratio: the speed of a machine changes from minute to minute."""

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from processes import Programs, attached, bpf_statistics, cpu_seconds, load, monitor, resident_mb, server


@dataclass(frozen=True)
class Settings:
    monitor: str
    neighbour: str
    directory: Path
    rounds: int
    seconds: float  # of load in a round


def row(what: str, figure: str, target: str = "", reached: bool | None = None) -> None:
    verdict = "" if reached is None else "reached" if reached else "MISSED"
    print(f"{what:<52} {figure:>22}  {target:<10} {verdict}".rstrip(), flush=True)


def pairs(settings: Settings, pid: int, measure: Callable[[], list[float]]) -> list[list[float]]:
    """For each figure that `measure` gives, its ratios with / without the monitor, a ratio for each round."""
    ratios: list[list[float]] = []
    for index in range(settings.rounds):
        figures: dict[bool, list[float]] = {}
        for with_monitor in (False, True) if index % 2 else (True, False):
            with monitor(settings.monitor, pid) if with_monitor else nullcontext():
                figures[with_monitor] = measure()
        ratios.append([w / wo for w, wo in zip(figures[True], figures[False], strict=True)])
    return [list(column) for column in zip(*ratios, strict=True)]


def spread(ratios: list[float]) -> str:
    return f"{median(ratios):.3f} ({min(ratios):.2f}..{max(ratios):.2f})"


def spread_ms(seconds: list[float]) -> str:
    return f"{median(seconds) * 1000:.1f} ms ({min(seconds) * 1000:.0f}..{max(seconds) * 1000:.0f})"


def bench_server(settings: Settings, application: str, name: str, most: float) -> None:
    """CPU of the server per request."""
    with server(application, settings.directory / "server.log") as (pid, port):
        load(port, 1)
        costs: list[float] = []

        def cost() -> list[float]:
            before = cpu_seconds(pid)
            requests = load(port, settings.seconds)
            costs.append((cpu_seconds(pid) - before) / requests)
            return [costs[-1]]

        (ratios,) = pairs(settings, pid, cost)
        row(f"{name}: server CPU per request, with / without", spread(ratios), f"<= {most}", median(ratios) <= most)
        row(f"{name}: server CPU per request", f"{median(costs) * 1e6:.1f} us")


@dataclass(frozen=True)
class RunTimes:
    """Nanoseconds and runs per request, by BPF program."""

    costs: dict[str, tuple[float, float]]

    @property
    def nanoseconds(self) -> float:
        return sum(nanoseconds for nanoseconds, _ in self.costs.values())

    @property
    def runs(self) -> float:
        return sum(runs for _, runs in self.costs.values())


def run_times(settings: Settings, watched: int, port: int) -> RunTimes:
    """Load on `port` with `watched` being watched. The programs run for the sockets of the whole machine, so the round
    with the fewest runs per request counts: what else there was only adds to them."""
    rounds = []
    with bpf_statistics(on=True), monitor(settings.monitor, watched) as (pid, _):
        programs = Programs(pid)
        for _ in range(settings.rounds):
            before = programs.run_times()
            requests = load(port, 1)
            after = programs.run_times()
            costs = {
                name: ((after[name][0] - before[name][0]) / requests, (after[name][1] - before[name][1]) / requests)
                for name in after
            }
            rounds.append(RunTimes(costs))
    return min(rounds, key=lambda one: one.runs)


def bench_programs(settings: Settings) -> None:
    """Time in BPF per request. The programs see the load's own socket calls too, as those of a neighbour, which are no
    cost of the server's: measured by watching a server that is idle while another one has the load."""
    with server("raw", settings.directory / "server.log") as (pid, port):
        with server("raw", settings.directory / "idle.log") as (idle, _):
            neighbours = run_times(settings, idle, port)
        both = run_times(settings, pid, port)
    own = both.nanoseconds - neighbours.nanoseconds / 2  # there the server and wrk were neighbours, here wrk alone
    row("BPF time per request, 500-byte head", f"{own:.0f} ns", "<= 900 ns", own <= 900)
    row("  with the client's own socket calls", f"{both.nanoseconds:.0f} ns")
    row("  a request between two neighbours", f"{neighbours.nanoseconds:.0f} ns")
    for name, (nanoseconds, runs) in sorted(both.costs.items(), key=lambda item: -item[1][0]):
        if runs >= 0.01:
            row(f"  {name}", f"{runs:.2f} x {nanoseconds / runs:.0f} ns")
    if both.runs > 7:  # uvicorn and wrk make at most three calls each
        print("  other processes used sockets meanwhile: the BPF times above are too high")


def bench_monitor(settings: Settings) -> None:
    """The monitor itself: start, memory, CPU while it watches a busy server."""
    with server("raw", settings.directory / "server.log") as (pid, port):
        starts = []
        for _ in range(5):
            with monitor(settings.monitor, pid) as (_, took):
                starts.append(took * 1000)
        took = median(starts)
        row("start to first line: load, attach, look", f"{took:.0f} ms", "<= 300 ms", took <= 300)
        with monitor(settings.monitor, pid) as (own, _):
            start, before = time.monotonic(), cpu_seconds(own)
            load(port, max(5, settings.seconds))
            cpu = (cpu_seconds(own) - before) / (time.monotonic() - start)
            memory = resident_mb(own)
        row("monitor's memory while watching", f"{memory:.1f} MB", "<= 10 MB", memory <= 10)
        row("monitor's CPU while watching at 1 s", f"{cpu * 100:.2f} %")


def bench_attached(settings: Settings) -> None:
    """An engine that outlives the monitor: to attach it, and to look at it."""
    with server("raw", settings.directory / "server.log") as (pid, port):
        starts = []
        for _ in range(5):
            with attached(settings.monitor, pid) as took:
                starts.append(took * 1000)
        took = median(starts)
        row("attach: load, register, pin", f"{took:.0f} ms", "<= 500 ms", took <= 500)
        with attached(settings.monitor, pid):
            load(port, 1)
            looks = []
            for _ in range(100):
                start = time.monotonic()
                subprocess.run([settings.monitor, "--json"], check=True, stdout=subprocess.DEVNULL)
                looks.append(time.monotonic() - start)
    row("snapshot of an attached server", spread_ms(looks), "<= 30 ms", median(looks) <= 0.03)
    row("100 times monitor --json", f"{sum(looks):.2f} s", "<= 3 s", sum(looks) <= 3)


def bench_neighbour(settings: Settings) -> None:
    """System calls of a process that is no server."""
    with server("raw", settings.directory / "server.log") as (pid, _):

        def cost() -> list[float]:
            printed = subprocess.run([settings.neighbour], check=True, capture_output=True, text=True).stdout
            return [float(word) for word in printed.split()]

        calls = ("getppid", "a byte through a pipe", "a byte through a TCP connection")
        columns = pairs(settings, pid, cost)
        for call, ratios in zip(calls, columns, strict=True):
            # TCP is where a neighbour pays: the price is shown, and has no target of its own.
            target = ("", None) if "TCP" in call else ("<= 1.02", median(ratios) <= 1.02)
            row(f"neighbour: {call}, with / without", spread(ratios), *target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--monitor", required=True)
    parser.add_argument("--neighbour", required=True)
    parser.add_argument("--rounds", type=int, default=8, help="pairs of rounds for each ratio")
    parser.add_argument("--quick", action="store_true", help="a look, not a measurement")
    arguments = parser.parse_args()
    # So that what was changed is put back.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with bpf_statistics(on=False), tempfile.TemporaryDirectory(prefix="monitor-bench-") as directory:
        settings = Settings(
            monitor=arguments.monitor,
            neighbour=arguments.neighbour,
            directory=Path(directory),
            rounds=2 if arguments.quick else arguments.rounds,
            seconds=1 if arguments.quick else 3,
        )
        row("", "median (least..most)", "target")
        bench_server(settings, "raw", "raw ASGI", 1.05)
        bench_server(settings, "fast", "FastAPI", 1.02)
        bench_programs(settings)
        bench_monitor(settings)
        bench_attached(settings)
        bench_neighbour(settings)


if __name__ == "__main__":
    main()
