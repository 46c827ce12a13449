# SPDX-License-Identifier: Apache-2.0
"""Measures the monitor's cost and compares it with its targets. Short rounds, each with and without the monitor in
random order, are compared in pairs. A figure is an estimate with its 95% confidence interval (intervals.py), and a
target is reached or missed only if the interval excludes it. The noise floor is the interval of no monitor against no
monitor."""

import argparse
import os
import platform
import signal
import sys
import tempfile
from pathlib import Path

from children import bpf_statistics, metered
from report import Report
from sections import Settings, bench_monitor, bench_neighbour, bench_programs, bench_server


def describe_machine(neighbour: str, cpu: int) -> dict[str, object]:
    (_, instructions), *_ = metered([neighbour, "1"])["getppid"]
    return {
        "kernel": platform.release(),
        "CPUs": os.cpu_count(),
        "pinned to CPU": cpu,
        "load average": round(os.getloadavg()[0], 1),
        "instruction counts": "yes" if instructions else "not on this machine",
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.sh", description=__doc__)
    parser.add_argument("--monitor", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--tools", required=True, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--against", metavar="BINARY", help="another build of monitor, compared in the same rounds")
    parser.add_argument("--seconds", type=float, default=55, help="for each of the four groups of ratios (default 55)")
    parser.add_argument("--quick", action="store_true", help="six rounds each, to check that everything works")
    parser.add_argument("--json", action="store_true", help="one JSON object at the end, in place of the table")
    arguments = parser.parse_args()
    builds = {"monitor": arguments.monitor} | ({"against": arguments.against} if arguments.against else {})
    for binary in builds.values():
        if not os.access(binary, os.X_OK):
            parser.error(f"{binary} is not a program")

    # The exit runs the context managers, which restore the kernel's setting and end the processes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # The server, its load and the monitor share one CPU, so that their cost does not depend on wake-ups across CPUs. It
    # is the last CPU, because the first one often serves the machine's interrupts.
    cpu = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpu})
    report = Report(arguments.json, describe_machine(str(arguments.tools / "neighbour"), cpu))
    report.start()
    with bpf_statistics(on=False), tempfile.TemporaryDirectory(prefix="monitor-bench-") as directory:
        seconds = 0 if arguments.quick else arguments.seconds
        settings = Settings(builds, arguments.tools, Path(directory), seconds, report)
        bench_server(settings, "raw", "raw ASGI", 750, 1.05)
        bench_server(settings, "fast", "FastAPI", 200, 1.02)
        bench_neighbour(settings)
        bench_programs(settings)
        for arm in builds:
            bench_monitor(settings, arm)
    report.finish()


if __name__ == "__main__":
    main()
