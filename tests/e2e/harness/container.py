# SPDX-License-Identifier: Apache-2.0
"""A server in pid, network and mount namespaces of its own, which is what a container is to the kernel.

Inside, its processes have different pids than on the host."""

from pathlib import Path

from harness.network import NetworkNamespace
from harness.server import AppServer, tree

# The command itself is the init of the pid namespace, and ends together with unshare.
ISOLATED = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--mount")


def inner_pid(pid: int) -> int:
    """The pid of a process in its own namespace; 0 when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(status.partition("\nNSpid:")[2].partition("\n")[0].split()[-1])


class Container(AppServer):
    """A server of app.py that runs isolated. `pid` and workers() are pids of the host."""

    def __init__(
        self, directory: Path, network: NetworkNamespace, command: list[str], workers: int = 1, unix: Path | None = None
    ) -> None:
        isolated = [*network.command(), *ISOLATED, *command]
        super().__init__(directory, "a server in a container", isolated, workers, unix)

    def _listens(self, unix: Path | None) -> bool:
        # The process started is unshare, which waits for the init of the namespace.
        self.pid = tree(self._process.pid)[1]
        return super()._listens(unix)

    def workers(self) -> list[int]:
        started = set(self.started_workers())
        return sorted(pid for pid in tree(self.pid) if inner_pid(pid) in started)
