# SPDX-License-Identifier: Apache-2.0
"""The load on a server: keep-alive and new connections, unknown paths, many requests at once, streams, WebSockets."""

import random
import threading
from collections.abc import Callable
from contextlib import ExitStack

from harness.client import Client
from harness.websocket import TEXT, frame, upgrade
from server import Request, Server, Values

KEEP_ALIVE_ROUNDS = 5
NEW_CONNECTIONS = 3
AT_ONCE = 6
ROUNDS_AT_ONCE = 8
HELD_OPEN = 3

# Fails if the monitor does not show as many requests in flight.
InFlight = Callable[[int, str], None]


def ask(client: Client, request: Request, values: Values, *fields: str) -> None:
    client.ask(request.data(values, *fields), request.method)


def alone(request: Request, values: Values) -> None:
    with Client(int(values["port"])) as client:
        ask(client, request, values, "Connection: close")


def keep_alive(server: Server, values: Values) -> None:
    """Each request several times on one connection, unless the server closes it."""
    for request in server.requests:
        client = Client(int(values["port"]))
        for _ in range(KEEP_ALIVE_ROUNDS):
            answer = client.ask(request.data(values), request.method)
            if answer.status == 404:
                raise OSError(f"{request.method} {request.path} was answered with 404")
            if answer.headers.get(b"connection", b"").lower() == b"close":
                client.close()
                client = Client(int(values["port"]))
        client.close()


def new_connections(server: Server, values: Values) -> None:
    for request in server.requests:
        for _ in range(NEW_CONNECTIONS):
            alone(request, values)


def unknown_paths(server: Server, values: Values) -> None:
    for number in range(NEW_CONNECTIONS):
        alone(Request(f"/no/such/path/of/anyone-{number}.txt"), values)


def at_once(server: Server, values: Values) -> None:
    """Several connections, each with requests in an order of its own."""
    failures: list[Exception] = []

    def run(seed: int) -> None:
        order = random.Random(seed)
        try:
            for _ in range(ROUNDS_AT_ONCE):
                alone(order.choice(server.requests), values)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def slow(server: Server, values: Values, in_flight: InFlight) -> None:
    if server.slow is None:
        return
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(int(values["port"]))) for _ in range(HELD_OPEN)]
        for client in clients:
            client.send(server.slow.data(values))
        in_flight(HELD_OPEN, "slow requests")
        for client in clients:
            client.response(server.slow.method)


def streams(server: Server, values: Values, in_flight: InFlight) -> None:
    """Reads the first piece of each response and then, with all of them in flight, the rest."""
    if server.stream is None:
        return
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(int(values["port"]))) for _ in range(HELD_OPEN)]
        for turn, client in enumerate(clients):
            values_of_turn = values | {"turn": f"turn{turn}"}
            if server.before_stream is not None:
                alone(server.before_stream, values_of_turn)
            client.send(server.stream.data(values_of_turn))
            status, headers = client.head()
            if status != 200 or headers.get(b"transfer-encoding") != b"chunked":
                raise OSError(f"{server.stream.path} was answered with {status} and {headers}, no stream")
            client.chunk()
        in_flight(HELD_OPEN, "streams")
        for client in clients:
            while client.chunk():
                pass


def websockets(server: Server, values: Values, in_flight: InFlight) -> None:
    if server.websocket is None:
        return
    with ExitStack() as stack:
        for _ in range(HELD_OPEN):
            client = stack.enter_context(Client(int(values["port"])))
            origin = f"Origin: http://127.0.0.1:{values['port']}\r\n"
            opening = upgrade(server.websocket.format(**values)).removesuffix(b"\r\n")
            host = f"Host: 127.0.0.1:{values['port']}".encode()
            answer = client.ask(opening.replace(b"Host: x", host) + origin.encode() + b"\r\n")
            if answer.status != 101:
                raise OSError(f"the WebSocket {server.websocket} was answered with {answer.status}")
            if server.greeting is not None:
                client.send(frame(TEXT, server.greeting.format(**values).encode()))
        in_flight(HELD_OPEN, "WebSockets")


def drive(server: Server, values: Values, in_flight: InFlight) -> None:
    keep_alive(server, values)
    new_connections(server, values)
    unknown_paths(server, values)
    at_once(server, values)
    slow(server, values, in_flight)
    streams(server, values, in_flight)
    websockets(server, values, in_flight)
