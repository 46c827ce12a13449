# SPDX-License-Identifier: Apache-2.0
"""An nginx with all of its files in one directory of the test.

It runs in front of a server of app.py, or is itself observed. The system's nginx is not touched."""

import socket
import subprocess
from collections import Counter
from pathlib import Path
from typing import Self

from harness.server import kill_tree, tree
from harness.waiting import wait_until

# `daemon off` keeps it our child. The workers run as root, like the tests, so that they can read files in /tmp.
CONFIGURATION = """
daemon off;
user root;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
worker_processes {workers};
events {{ worker_connections 1024; }}
http {{
  log_format counted '$request_method $uri $status';
  access_log {directory}/access.log counted;
  keepalive_requests 1000000;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  {http}
  server {{
    listen 127.0.0.1:{port};
    {locations}
  }}
}}
"""


class Nginx:
    """`locations` goes into the server block and `http` before it. nginx inherits its listener, as it does when its
    binary is replaced at run time; so the kernel can pick the port."""

    def __init__(self, directory: Path, locations: str, http: str = "", workers: int = 1) -> None:
        self.directory = directory
        directory.mkdir(exist_ok=True)
        configuration, log = directory / "nginx.conf", directory / "error.log"
        with socket.create_server(("127.0.0.1", 0), backlog=511) as listener:
            self.port: int = listener.getsockname()[1]
            configuration.write_text(
                CONFIGURATION.format(
                    directory=directory, port=self.port, http=http, locations=locations, workers=workers
                )
            )
            self._process = subprocess.Popen(
                ["/usr/sbin/nginx", "-p", str(directory), "-c", str(configuration), "-e", str(log)],
                stdin=subprocess.DEVNULL,
                env={"NGINX": f"{listener.fileno()};"},
                pass_fds=[listener.fileno()],
            )
        self.pid = self._process.pid

        def started() -> bool:
            assert self._process.poll() is None, f"nginx ended:\n{log.read_text()}"
            return len(tree(self.pid)) == 1 + workers

        try:
            wait_until(started, "nginx starts")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        kill_tree(self._process)

    def answered(self) -> Counter[str]:
        """The responses in its access log, by "METHOD /path status"."""
        return Counter((self.directory / "access.log").read_text().splitlines())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
