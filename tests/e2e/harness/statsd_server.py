# SPDX-License-Identifier: Apache-2.0
"""npm's StatsD server with its console backend, on a free port, and the figures that it prints."""

import json
import re
import signal
import subprocess
from collections import Counter
from pathlib import Path
from typing import Self

from harness.server import ROOT, sockets_of
from harness.waiting import PATIENCE, wait_until

# A complete flush: the last one in the file may be half written.
FLUSH = re.compile(
    r"^Flushing stats at [^\n]*\n{\n  counters: {(.*?)},\n  timers: .*?^  gauges: {(.*?)},\n  timer_data: .*?^}$",
    re.MULTILINE | re.DOTALL,
)
VALUE = re.compile(r"'([^']+)': (-?[\d.e+-]+)")


class StatsdServer:
    """Ready when its socket is bound. It changes names: tags become `;tag=value`, a slash becomes a dash, and every
    character is dropped that is not a letter, a digit or one of `-_.;=`."""

    def __init__(self, directory: Path, port: int = 0) -> None:
        program = ROOT / "build/npm/node_modules/statsd/bin/statsd"
        assert program.exists(), f"no {program}: run scripts/setup.sh"
        # Ports are strings because it treats the number 0 as a missing value and would use its default ports.
        settings = {
            "address": "127.0.0.1",
            "port": str(port),
            "mgmt_address": "127.0.0.1",
            "mgmt_port": "0",
            "flushInterval": 100,
            "backends": ["./backends/console"],
        }
        (directory / "statsd.json").write_text(json.dumps(settings))
        self._printed = directory / "statsd.log"
        with self._printed.open("wb") as log:
            self._process = subprocess.Popen(
                ["/usr/bin/node", str(program), "statsd.json"],
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            self.port = wait_until(self._bound_port, "statsd is bound to a port")
        except BaseException:
            self.kill()
            raise

    def _bound_port(self) -> int:
        assert self._process.poll() is None, self.printed()
        table = Path(f"/proc/{self._process.pid}/net/udp").read_text().splitlines()[1:]
        ours = sockets_of(self._process.pid)
        return next((int(row[1].partition(":")[2], 16) for row in map(str.split, table) if row[9] in ours), 0)

    def printed(self) -> str:
        return self._printed.read_text()

    def counters(self) -> Counter[str]:
        """Sums over all flushes; each flush reports what came since the previous one."""
        total: Counter[str] = Counter()
        for counters, _ in FLUSH.findall(self.printed()):
            for name, value in VALUE.findall(counters):
                total[name] += int(value)
        return total

    def gauges(self) -> dict[str, float]:
        """The gauges of the last flush."""
        flushes = FLUSH.findall(self.printed())
        return {name: float(value) for name, value in VALUE.findall(flushes[-1][1])} if flushes else {}

    def stop(self) -> None:
        """Stops the server, which flushes once more."""
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(PATIENCE) == 0, self.printed()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
