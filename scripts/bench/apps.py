# SPDX-License-Identifier: Apache-2.0
"""The two applications that the bench measures: hello world in plain ASGI, and in FastAPI."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI

START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/plain"), (b"content-length", b"5")],
}
BODY = {"type": "http.response.body", "body": b"hello"}


async def raw(scope: dict[str, Any], receive: object, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    if scope["type"] == "http":
        await send(START)
        await send(BODY)


fast = FastAPI()


@fast.get("/")
async def hello() -> dict[str, str]:
    return {"hello": "world"}
