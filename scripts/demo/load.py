# SPDX-License-Identifier: Apache-2.0
"""Mixed load for the demo server, with a limit on clients and, with --seconds, on time: whole and streamed chats,
completions, users, an unknown path, and sometimes a failure, a blocked event loop, or a client that gives up."""

import argparse
import asyncio
import contextlib
import json
import random
import signal
from dataclasses import dataclass

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Kind:
    """A kind of request, and how often it comes relative to the others."""

    weight: int
    method: str
    path: str
    body: dict[str, object] | None = None
    patience: float | None = None  # seconds after which the client gives up


CHAT: dict[str, object] = {"messages": [{"role": "user", "content": "What is in flight?"}]}

KINDS = [
    Kind(30, "POST", "/v1/chat/completions", {**CHAT, "stream": True, "max_tokens": 40}),
    Kind(20, "POST", "/v1/chat/completions", {**CHAT, "max_tokens": 15}),
    Kind(15, "POST", "/v1/completions", {"prompt": "Once", "max_tokens": 10}),
    Kind(10, "POST", "/v1/chat/completions", {**CHAT, "stream": True, "max_tokens": 200}, patience=1.0),
    Kind(40, "GET", "/users/{}"),
    Kind(20, "GET", "/health"),
    Kind(4, "GET", "/nowhere"),
    Kind(4, "GET", "/fail"),
    Kind(2, "GET", "/block?seconds=0.3"),
]


def encode(kind: Kind) -> bytes:
    body = b"" if kind.body is None else json.dumps(kind.body).encode()
    path = kind.path.format(random.randrange(100_000))
    head = f"{kind.method} {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


async def send_one(port: int, kind: Kind) -> None:
    """One request on a connection of its own; the server closes it after the response."""
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        writer.write(encode(kind))
        await writer.drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(kind.patience):
                while await reader.read(65536):
                    pass
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def client(port: int) -> None:
    weights = [kind.weight for kind in KINDS]
    while True:
        # At the end of the demo the server may be gone, or stop in the middle of a response.
        with contextlib.suppress(OSError):
            await send_one(port, random.choices(KINDS, weights)[0])
        await asyncio.sleep(random.uniform(0.05, 0.3))


async def drive(port: int, clients: int, seconds: float | None) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    tasks = [asyncio.create_task(client(port)) for _ in range(clients)]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Mixed load for the demo server.")
    parser.add_argument("--port", type=int, default=9999)
    parser.add_argument("--clients", type=int, default=16, help="at most this many requests at once")
    parser.add_argument("--seconds", type=float, help="stop after this many seconds (default: at a signal)")
    arguments = parser.parse_args()
    asyncio.run(drive(arguments.port, arguments.clients, arguments.seconds))


if __name__ == "__main__":
    main()
