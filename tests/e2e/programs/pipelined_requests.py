# SPDX-License-Identifier: Apache-2.0
"""Requests /ok exactly COUNT times, as fast as the server answers: `pipelined_requests.py PORT COUNT`.

It uses a few connections and sends several requests in one piece, the next ones when all of them are answered."""

import selectors
import socket
import sys

CONNECTIONS = 8
AT_ONCE = 8  # on each connection: the number that a connection's record can hold
ASKED = b"GET /ok HTTP/1.1\r\nHost: x\r\n\r\n"
ANSWER_ENDS = b"\r\n\r\nok"


class Connection:
    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self._waits_for = 0
        self._received = b""

    def ask(self, count: int) -> None:
        self._waits_for = count
        self.socket.sendall(ASKED * count)

    def is_answered(self) -> bool:
        piece = self.socket.recv(65536)
        assert piece, "the server closed a connection"
        self._received += piece
        if self._received.count(ANSWER_ENDS) < self._waits_for:
            return False
        assert self._received.count(b"HTTP/1.1 200 OK\r\n") == self._waits_for
        assert self._received.endswith(ANSWER_ENDS)
        self._received = b""
        return True


def main() -> None:
    port, left = int(sys.argv[1]), int(sys.argv[2])
    with selectors.DefaultSelector() as selector:
        for _ in range(CONNECTIONS):
            connection = Connection(port)
            selector.register(connection.socket, selectors.EVENT_READ, connection)
            connection.ask(min(left, AT_ONCE))
            left -= min(left, AT_ONCE)
        while selector.get_map():
            for key, _ in selector.select():
                if not key.data.is_answered():
                    continue
                if left:
                    key.data.ask(min(left, AT_ONCE))
                    left -= min(left, AT_ONCE)
                else:
                    selector.unregister(key.fileobj)
                    key.data.socket.close()


main()
