# SPDX-License-Identifier: Apache-2.0
"""Sends COUNT requests, a few at a time, each on a new connection: `short_connections.py HOST PORT COUNT`.

The server closes each connection. The tests run it inside a network namespace."""

import selectors
import socket
import sys

AT_ONCE = 16


def connect(selector: selectors.BaseSelector, address: tuple[str, int]) -> None:
    connection = socket.create_connection(address)
    connection.sendall(b"GET /ok HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    selector.register(connection, selectors.EVENT_READ, bytearray())


def main() -> None:
    address = (sys.argv[1], int(sys.argv[2]))
    left = int(sys.argv[3])
    with selectors.DefaultSelector() as selector:
        while left or selector.get_map():
            while left and len(selector.get_map()) < AT_ONCE:
                connect(selector, address)
                left -= 1
            for key, _ in selector.select():
                connection, received = key.fileobj, key.data
                assert isinstance(connection, socket.socket)
                if piece := connection.recv(4096):
                    received += piece
                    continue
                assert received.endswith(b"\r\n\r\nok"), bytes(received)
                selector.unregister(connection)
                connection.close()


main()
