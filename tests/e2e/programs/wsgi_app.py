# SPDX-License-Identifier: Apache-2.0
"""A WSGI application that counts its requests (tally.py) and answers with the client's address."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tally import TallyWriter

tally = TallyWriter(Path(os.environ["E2E_DIRECTORY"]) / f"{os.getpid()}.tally")
lock = threading.Lock()  # a tally has one writer


def app(environ: dict[str, Any], start_response: Callable[..., object]) -> list[bytes]:
    key = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"
    environ["wsgi.input"].read()
    with lock:
        tally.add(key, "started")
        tally.add(key, "2xx")
    body = str(environ["REMOTE_ADDR"]).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
