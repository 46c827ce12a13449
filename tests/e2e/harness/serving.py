# SPDX-License-Identifier: Apache-2.0
"""Runs `monitor serve` and scrapes it as Prometheus does."""

import subprocess
from pathlib import Path

from harness.debian_daemons import fetch
from harness.monitor import BINARY
from harness.waiting import wait_until

OPEN_METRICS = "application/openmetrics-text;version=1.0.0"


class Serving:
    """A `monitor serve` on a free port; ready when it has printed its address."""

    def __init__(self, directory: Path, *options: str, host: str = "127.0.0.1", under: tuple[str, ...] = ()) -> None:
        self._said = directory / "serve.log"
        with self._said.open("w") as said:
            self.process = subprocess.Popen(
                [*under, BINARY, "serve", "--listen", f"{host}:0", *options], stdin=subprocess.DEVNULL, stderr=said
            )
        try:
            wait_until(lambda: self._ended() or "serving " in self.said(), "it serves")
            assert not self._ended(), self.said()
        except BaseException:
            self.stop()
            raise
        [line] = [line for line in self.said().splitlines() if "serving " in line]
        self.url = line.removeprefix("monitor: serving ").removesuffix("/metrics")
        self.port = int(self.url.rpartition(":")[2])

    def _ended(self) -> bool:
        return self.process.poll() is not None

    def said(self) -> str:
        return self._said.read_text()

    def get(self, path: str, **headers: str) -> str:
        return fetch(self.url + path, None, **headers)

    def metrics(self) -> dict[str, float]:
        lines = [line for line in self.get("/metrics").splitlines() if not line.startswith("#")]
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    close = stop
