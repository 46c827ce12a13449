# SPDX-License-Identifier: Apache-2.0
"""The only listener of a program that nothing shows to serve HTTP: another protocol on it is never in flight, in
whatever words, whether the connection is older than the monitor, and whether the server answers. Requests of HTTP from
before the attach are in flight once HTTP has passed."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest

from harness.beside_http import by_port
from harness.client import Client, request
from harness.monitor import Monitor, run_monitor
from harness.server import kill_tree

# Sends the greeting at once, and the answer to whatever it reads; with "close" it closes then.
SERVER = """
import json, socketserver, sys

greeting, answer, closes = json.loads(sys.argv[1])

class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(bytes.fromhex(greeting))
        while got := self.request.recv(1 << 16):
            if got.startswith(b"wait"):
                continue
            self.request.sendall(bytes.fromhex(answer))
            if closes:
                return

class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

with Server(("127.0.0.1", 0), Handler) as server:
    print(server.server_address[1], flush=True)
    server.serve_forever()
"""


@dataclass(frozen=True)
class Protocol:
    asked: bytes
    answer: bytes = b""  # empty: the server only reads
    greeting: bytes = b""
    closes: bool = False
    shown: str | None = "unknown"


PROTOCOLS = {
    "ICY": Protocol(b"SOURCE /mount ICY/1.0\r\nice-name: x\r\n\r\n", b"OK2\r\nicy-caps:11\r\n\r\n"),
    "RTSP": Protocol(b"OPTIONS rtsp://x/y RTSP/1.0\r\nCSeq: 1\r\n\r\n", b"RTSP/1.0 200 OK\r\n\r\n", shown="rtsp"),
    "SIP": Protocol(b"OPTIONS sip:b@x SIP/2.0\r\nVia: x\r\n\r\n", b"SIP/2.0 200 OK\r\n\r\n", shown="sip"),
    "gopher": Protocol(b"/selector\r\n", b"iHello\tfake\t(NULL)\t0\r\n.\r\n", closes=True),
    "finger": Protocol(b"/W joe\r\n", b"Login: joe\r\n", closes=True),
    "whois": Protocol(b"example.org\r\n", b"% nothing found\r\n", closes=True),
    "statsd": Protocol(b"a.b:1|c\n", shown=None),
    "a queue of lines": Protocol(b"POST /queue job\r\n", shown=None),
    "memcached": Protocol(b"get key\r\n\r\n", b"END\r\n"),
    "redis": Protocol(b"GET /key\r\n\r\n", b"$-1\r\n", shown="redis"),
    "SMTP": Protocol(b"DATA /x\r\n\r\n", b"354 go on\r\n", b"220 mail\r\n"),
    "FTP": Protocol(b"RETR /a/b\r\n\r\n", b"550 no\r\n", b"220 ftp\r\n"),
    "IMAP": Protocol(b"a1 CAPABILITY\r\n", b"* CAPABILITY\r\na1 OK\r\n", b"* OK IMAP4rev1\r\n", shown="imap"),
    "NNTP": Protocol(b"GROUP a.b\r\n\r\n", b"211 ok\r\n", b"200 news\r\n"),
    "IRC": Protocol(b"NICK joe\r\nUSER joe 0 * :J\r\n", b":srv 001 joe :hi\r\n"),
    "STOMP": Protocol(b"SEND\ndestination:/a\n\nx\0", b"RECEIPT\nreceipt-id:1\n\n\0"),
    "beanstalk": Protocol(b"put 0 0 60 5\r\nhello\r\n", b"INSERTED 1\r\n"),
}


@contextmanager
def running(protocol: Protocol) -> Iterator[tuple[int, int]]:
    """Its pid and its port."""
    script = json.dumps([protocol.greeting.hex(), protocol.answer.hex(), protocol.closes])
    server = subprocess.Popen([sys.executable, "-c", SERVER, script], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout
        yield server.pid, int(server.stdout.readline())
    finally:
        kill_tree(server)


def opened(port: int, protocol: Protocol) -> Client:
    client = Client(port)
    assert client.take(len(protocol.greeting)) == protocol.greeting
    return client


def exchange(client: Client, protocol: Protocol) -> None:
    client.send(protocol.asked)
    assert client.take(len(protocol.answer)) == protocol.answer


@pytest.mark.parametrize("name", PROTOCOLS)
def test_never_in_flight(name: str) -> None:
    protocol = PROTOCOLS[name]
    with running(protocol) as (pid, port):
        answered, waiting = (opened(port, protocol) for _ in range(2))
        if not protocol.closes:
            exchange(answered, protocol)
        waiting.send(b"wait /a\r\n")  # it is not answered
        with Monitor(pid) as monitor:
            assert monitor.next()["active_concurrent"] == 0
            exchange(answered, protocol)
            exchange(waiting, protocol)
            assert monitor.next()["active_concurrent"] == 0
            for _ in range(2):  # the second time it is known what the listener speaks
                new = [opened(port, protocol) for _ in range(2)]
                for client in new:
                    exchange(client, protocol)
                assert monitor.next()["active_concurrent"] == 0
                for client in new:
                    client.close()
            for client in (answered, waiting):
                client.close()
            snapshot = monitor.wait_for(lambda s: s["open_connections"] == 0, "all connections end")
    assert by_port(snapshot, port)["protocol"] == protocol.shown
    assert (snapshot["total_requests"], snapshot["peak_concurrent"]) == (0, 0)
    assert snapshot["aborted_requests"] == snapshot["failed_requests"] == snapshot["rejected_requests"] == 0
    assert snapshot["undercount_by_cause"] == {}
    assert by_port(snapshot, port)["unproven"] == 0


def test_the_box_says_what_may_be_in_flight() -> None:
    with ExitStack() as stack:
        pid, port = stack.enter_context(running(Protocol(b"", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")))
        waiting, idle = (stack.enter_context(Client(port)) for _ in range(2))
        waiting.send(b"wait /a HTTP/1.1\r\n\r\n")
        assert idle.ask(request("/")).status == 200
        monitor = stack.enter_context(Monitor(pid))
        snapshot = monitor.next()
        assert (snapshot["active_concurrent"], by_port(snapshot, port)["unproven"]) == (0, 1)
        shown = run_monitor("--pid", str(pid), "--interval", "0.1")
        assert "  Open Connections:   2 (1 unproven)\n" in shown.stdout
        with Client(port) as new:
            assert new.ask(request("/")).status == 200
        snapshot = monitor.wait_for(lambda s: s["total_requests"] == 1, "HTTP has passed")
        assert (snapshot["active_concurrent"], by_port(snapshot, port)["unproven"]) == (1, 0)
        waiting.send(request("/b"))
        assert waiting.response().status == 200
        monitor.wait_for(lambda s: s["active_concurrent"] == 0 and s["total_requests"] >= 2, "it is answered")
