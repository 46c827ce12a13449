# SPDX-License-Identifier: Apache-2.0
"""Counts the requests that uvicorn hands to its application, for servers without an access log of their own.

Python imports this file at its start if its directory is in PYTHONPATH. It writes one line for each request to the file
that REAL_SERVERS_TALLY names, in the form of an access log."""

import importlib.abc
import importlib.machinery
import os
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any


def counted(app: Callable[..., Any]) -> Callable[..., Any]:
    tally = os.open(os.environ["REAL_SERVERS_TALLY"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)

    async def wrapper(scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> object:
        if scope["type"] not in ("http", "websocket"):
            return await app(scope, receive, send)
        status = 101 if scope["type"] == "websocket" else 500

        async def observe(message: dict[str, Any]) -> None:
            nonlocal status
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                status = message["status"]
            await send(message)

        try:
            return await app(scope, receive, observe)
        finally:
            method = scope.get("method", "GET")
            path = scope.get("raw_path", scope["path"].encode()).decode("latin-1")
            os.write(tally, f'"{method} {path} HTTP/1.1" {status}\n'.encode())

    return wrapper


class Loader(importlib.abc.Loader):
    """Loads uvicorn.config as usual, then makes Config wrap each application that it loads."""

    def __init__(self, usual: importlib.abc.Loader) -> None:
        self.usual = usual

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self.usual.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self.usual.exec_module(module)
        load = module.__dict__["Config"].load

        def load_counted(config: Any) -> None:
            load(config)
            config.loaded_app = counted(config.loaded_app)

        module.__dict__["Config"].load = load_counted


class Finder(importlib.abc.MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != "uvicorn.config":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            spec.loader = Loader(spec.loader)
        return spec


if "REAL_SERVERS_TALLY" in os.environ:
    sys.meta_path.insert(0, Finder())
