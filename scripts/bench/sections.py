# SPDX-License-Identifier: Apache-2.0
"""What the bench measures, one function for each group of figures. Each takes about the seconds that it is given."""

import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from children import (
    Programs,
    attached,
    bpf_statistics,
    cpu_seconds,
    empty_programs,
    load,
    metered,
    monitor,
    resident_mb,
    server,
)
from intervals import comparison, interval, lower_quartile, middle_mean, ratio_interval, verdict
from report import Report, Row
from rounds import run_rounds

SLICES = 20


@dataclass(frozen=True)
class Settings:
    builds: dict[str, str]  # the monitor to measure and, with --against, the one to compare it with, by arm
    tools: Path  # where bench.sh put the programs that it compiled
    directory: Path
    seconds: float  # for one group of figures
    report: Report

    def tool(self, name: str) -> str:
        return str(self.tools / name)

    def arms(self, pid: int) -> dict[str, Callable[[], AbstractContextManager[object]]]:
        """Two arms without a monitor, whose ratio is the noise floor, and one arm for each build."""

        def watching(binary: str) -> Callable[[], AbstractContextManager[object]]:
            return lambda: monitor(binary, pid)

        return {"without": nullcontext, "again": nullcontext} | {
            arm: watching(binary) for arm, binary in self.builds.items()
        }


Values = Mapping[str, Mapping[str, list[float]]]


def add_ratios(settings: Settings, name: str, values: Values, figure: str, target: float | None) -> None:
    """Adds the rows of one figure: each arm relative to no monitor, and this build relative to the other."""
    report = settings.report
    without = [(a * b) ** 0.5 for a, b in zip(values["without"][figure], values["again"][figure], strict=True)]
    floor = ratio_interval(values["again"][figure], values["without"][figure])
    for arm in values:
        if arm in ("without", "again"):
            continue
        ratio = ratio_interval(values[arm][figure], without)
        judged = target if arm in settings.builds else None
        found = "" if judged is None else verdict(ratio, judged)
        report.add(Row(f"{name}: {arm} / without", ratio, target=judged, verdict=found, floor=floor))
    if "against" in values:
        ratio = ratio_interval(values["monitor"][figure], values["against"][figure])
        report.add(Row(f"{name}: monitor / against", ratio, verdict=comparison(ratio), floor=floor))
    if not floor.covers(1):
        report.note("the noise floor excludes 1, which happens by chance in one run of twenty: repeat the run")


def bench_server(settings: Settings, application: str, name: str, requests: int, target: float) -> None:
    """CPU of the server per request. `requests` make a slice of about 15 ms."""
    with server(application, settings.directory / "server.log") as (pid, port):

        def cost(_: object) -> dict[str, float]:
            slices = load(settings.tool("load"), port, pid, SLICES, requests)
            times = {"cpu": middle_mean([nanoseconds for nanoseconds, _ in slices])}
            instructions = middle_mean([count for _, count in slices])
            return times | ({"instructions": instructions} if instructions else {})

        cost(None)
        values = run_rounds(settings.arms(pid), cost, settings.seconds)
        add_ratios(settings, f"{name}, CPU", values, "cpu", target)
        if "instructions" in values["without"]:
            add_ratios(settings, f"{name}, instructions", values, "instructions", None)
        microseconds = [nanoseconds / 1000 for nanoseconds in values["without"]["cpu"]]
        settings.report.add(Row(f"{name}, CPU without a monitor", interval(microseconds), "us"))


def bench_neighbour(settings: Settings) -> None:
    """System calls of a process that is not a server. Each slice is the same work and interference only adds to it, so
    the lower quartile of the slices counts."""
    calls = {"getppid": ("getppid", 1.02), "pipe": ("byte through a pipe", 1.02), "tcp": ("byte through TCP", 1.10)}
    with server("raw", settings.directory / "server.log") as (pid, _):

        def cost(_: object) -> dict[str, float]:
            slices = metered([settings.tool("neighbour"), "60"])
            return {call: lower_quartile([nanoseconds for nanoseconds, _ in slices[call]]) for call in calls}

        def empty() -> AbstractContextManager[object]:
            return empty_programs(settings.tool("empty"), settings.tool("empty.bpf.o"))

        values = run_rounds(settings.arms(pid) | {"empty programs": empty}, cost, settings.seconds)
    for call, (name, target) in calls.items():
        add_ratios(settings, f"neighbour, {name}", values, call, target)
    tcp = ratio_interval(values["monitor"]["tcp"], values["empty programs"]["tcp"])
    settings.report.add(Row("neighbour, byte through TCP: monitor / empty programs", tcp))
    settings.report.add(Row("neighbour, byte through TCP without a monitor", interval(values["without"]["tcp"]), "ns"))


def bench_programs(settings: Settings) -> None:
    """Time in BPF per request. The programs also see the load's own socket calls, as those of a neighbour, which are
    not a cost of the server. So a second server, which is not observed, gets the same load. There the server and the
    load are both neighbours, and half of that time is the load's share."""
    slices, requests = SLICES // 2, 1000
    served = slices * requests + 17  # the load also warms its 16 connections up, and first learns the response's length
    with (
        server("raw", settings.directory / "server.log") as watched,
        server("raw", settings.directory / "unobserved.log") as other,
    ):

        def run_times(programs: Programs, pid: int, port: int) -> dict[str, tuple[float, float]]:
            before = programs.run_times()
            load(settings.tool("load"), port, pid, slices, requests)
            after = programs.run_times()
            return {
                name: ((after[name][0] - before[name][0]) / served, (after[name][1] - before[name][1]) / served)
                for name in after
            }

        def cost(entered: tuple[int, float]) -> dict[str, float]:
            programs = Programs(entered[0])
            both = run_times(programs, *watched)
            unobserved = run_times(programs, *other)
            totals = [sum(nanoseconds for nanoseconds, _ in times.values()) for times in (both, unobserved)]
            return {
                "own": totals[0] - totals[1] / 2,
                "both": totals[0],
                "unobserved": totals[1],
                **{f"ns {name}": nanoseconds for name, (nanoseconds, _) in both.items()},
                **{f"runs {name}": runs for name, (_, runs) in both.items()},
            }

        def watching(binary: str) -> Callable[[], AbstractContextManager[tuple[int, float]]]:
            return lambda: monitor(binary, watched[0])

        with bpf_statistics(on=True):
            arms = {arm: watching(binary) for arm, binary in settings.builds.items()}
            values = run_rounds(arms, cost, settings.seconds)
    for arm, figures in values.items():
        add_program_rows(settings.report, arm, figures)
    if "against" in values:
        ratio = ratio_interval(values["monitor"]["own"], values["against"]["own"])
        settings.report.add(Row("BPF time per request: monitor / against", ratio, verdict=comparison(ratio)))


def add_program_rows(report: Report, arm: str, figures: Mapping[str, list[float]]) -> None:
    own = interval(figures["own"])
    report.add(Row(f"BPF time per request, 500-byte head: {arm}", own, "ns", 900, verdict(own, 900)))
    report.add(Row("  with the client's own socket calls", interval(figures["both"]), "ns"))
    report.add(Row("  a request between two neighbours", interval(figures["unobserved"]), "ns"))
    for key in figures:
        name = key.removeprefix("runs ")
        runs = median(figures[key])
        if key.startswith("runs ") and runs >= 0.01:
            report.note(f"{name}: {runs:.2f} runs of {median(figures[f'ns {name}']) / runs:.0f} ns per request")
    if sum(median(figures[key]) for key in figures if key.startswith("runs ")) > 7:
        # The server and the load make at most three calls each.
        report.note("other processes used sockets meanwhile: the BPF times above are too high")


def add_times(settings: Settings, name: str, values: list[float], unit: str, target: float) -> None:
    measured = interval(values)
    settings.report.add(Row(name, measured, unit, target, verdict(measured, target)))


def bench_monitor(settings: Settings, arm: str) -> None:
    """The monitor itself: start, memory and CPU while it watches a busy server; attaching, and snapshots."""
    binary = settings.builds[arm]
    starts, memory, cpu, attaches, snapshots = [], [], [], [], []
    with server("raw", settings.directory / "server.log") as (pid, port):
        for _ in range(6):
            with monitor(binary, pid) as (own, took):
                starts.append(took * 1000)
                start, before = time.monotonic(), cpu_seconds(own)
                while time.monotonic() < start + 1:
                    load(settings.tool("load"), port, pid, 1, 1000)
                cpu.append((cpu_seconds(own) - before) / (time.monotonic() - start) * 100)
                memory.append(resident_mb(own))
            with attached(binary, pid) as took:
                attaches.append(took * 1000)
                for _ in range(10):
                    start = time.monotonic()
                    subprocess.run([binary, "--json"], check=True, stdout=subprocess.DEVNULL)
                    snapshots.append((time.monotonic() - start) * 1000)
    add_times(settings, f"start to first line: {arm}", starts, "ms", 300)
    add_times(settings, f"attach: {arm}", attaches, "ms", 500)
    add_times(settings, f"snapshot of an attached server: {arm}", snapshots, "ms", 30)
    add_times(settings, f"memory while watching: {arm}", memory, "MB", 10)
    settings.report.add(Row(f"CPU while watching, 1 s interval: {arm}", interval(cpu), "%"))
