# SPDX-License-Identifier: Apache-2.0
"""An ASGI application for servers without lifespan events: counts its requests (tally.py) and answers "ok"."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tally import TallyWriter

tally = TallyWriter(Path(os.environ["E2E_DIRECTORY"]) / f"{os.getpid()}.tally")


async def app(scope: dict[str, Any], receive: object, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    del receive  # daphne passes it by its name
    assert scope["type"] == "http"
    key = f"{scope['method']} {scope['path']}"
    tally.add(key, "started")
    tally.add(key, "2xx")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
