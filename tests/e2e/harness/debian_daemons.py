# SPDX-License-Identifier: Apache-2.0
"""Prometheus and InfluxDB from Debian, unpacked by scripts/setup.sh.

They listen on free ports and write only below the test's own directory."""

import os
import subprocess
import urllib.error
import urllib.request
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Self

from harness.server import ROOT, listening_ports, sockets_of
from harness.waiting import PATIENCE, wait_until


def program(name: str) -> str:
    path = ROOT / "build/debian/usr/bin" / name
    assert path.exists(), f"no {path}: run scripts/setup.sh"
    return str(path)


def promtool(*arguments: str, given: str = "") -> None:
    """Runs promtool, and fails if it returns an error or prints a warning."""
    ended = subprocess.run(
        [program("promtool"), *arguments], input=given, capture_output=True, text=True, timeout=PATIENCE
    )
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout + ended.stderr


def open_metrics_families(text: str) -> list[str]:
    """The metric families of an OpenMetrics document, as the strict parser of prometheus_client reads them."""
    ended = subprocess.run(
        [
            "/usr/bin/python3",
            "-c",
            "import sys; from prometheus_client.openmetrics.parser import text_string_to_metric_families as families\n"
            "print(*[family.name for family in families(sys.stdin.read())])",
        ],
        input=text,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.split()


def fetch(url: str, data: bytes | None = None, **headers: str) -> str:
    asked = urllib.request.Request(url, data, {name.replace("_", "-"): value for name, value in headers.items()})
    with urllib.request.urlopen(asked, timeout=PATIENCE) as answer:
        text: str = answer.read().decode()
        return text


class Daemon:
    """A program that serves HTTP on loopback, at a port that the kernel picks; ready when `health` answers."""

    def __init__(self, directory: Path, command: list[str], health: str, **environment: str) -> None:
        self.url = ""
        self._log = directory / f"{Path(command[0]).name}.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=directory, env=os.environ | environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            wait_until(lambda: self._answers(health), f"{command[0]} answers")
        except BaseException:
            self.stop()
            raise

    def _answers(self, path: str) -> bool:
        assert self.process.poll() is None, self._log.read_text()
        ports = listening_ports(self.process.pid)
        for port in [ports[inode] for inode in sockets_of(self.process.pid) if inode in ports]:
            url = f"http://127.0.0.1:{port}"
            with suppress(urllib.error.URLError, ConnectionError, HTTPException):
                fetch(url + path)
                self.url = url
        return bool(self.url)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


INFLUXDB = """
reporting-disabled = true
bind-address = "127.0.0.1:0"
[meta]
dir = "meta"
[data]
dir = "data"
wal-dir = "wal"
[http]
bind-address = "127.0.0.1:0"
"""


def influxdb(under: Path) -> Daemon:
    directory = under / "influxdb"
    directory.mkdir()
    (directory / "influxdb.conf").write_text(INFLUXDB)
    return Daemon(directory, [program("influxd"), "-config", "influxdb.conf"], "/ping")
