# SPDX-License-Identifier: Apache-2.0
"""Other protocols on a further listener of the server, in their own bytes: no request, whoever speaks first or last,
and whether the connection is older than the monitor. Undercount only where HTTP may be in it."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from harness.beside_http import Pair, ask, by_port, running
from harness.client import Client
from harness.monitor import Monitor
from harness.websocket import TEXT, WebSocket


@dataclass(frozen=True)
class Protocol:
    asked: bytes  # by the client, again and again
    answer: bytes = b""  # of the server, to each of these; empty: it only reads
    greeting: bytes = b""  # of the server
    shown: str | None = "unknown"
    undercount: str = ""  # once for each connection
    later: bytes = b""  # what the client sends later on, if it is something else


ZMTP = b"\xff\0\0\0\0\0\0\0\1\x7f\3\1NULL" + bytes(48)
SETTINGS = b"\0\0\0\4\0\0\0\0\0"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
PING = b"\0\0\x08\6\0\0\0\0\0" + bytes(range(8))
HELLO = b"\x16\3\1\0\x7a\1\0\0\x76\3\3" + b"GET / HTTP/1.1\r\n\r\n" * 3 + bytes(59)
RECORD = b"\x17\3\3\0\x20" + bytes(32)
ANSWERED_HELLO = b"\x16\3\3\0\x7a\2\0\0\x76\3\3" + bytes(115)

PROTOCOLS = {
    # the client speaks first
    "redis": Protocol(b"*1\r\n$4\r\nPING\r\n", b"+PONG\r\n", shown="redis"),
    "redis, a line": Protocol(b"SET hello 5\r\n\r\n", b"+OK\r\n", shown="redis"),
    "redis, a line like a request": Protocol(b"GET /key\r\n\r\n", b"$-1\r\n", shown="redis"),
    "redis, asked by HTTP": Protocol(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"-ERR wrong number\r\n", shown="redis"),
    "memcached": Protocol(b"set key 0 0 4\r\n\r\n\r\n\r\n", b"STORED\r\n"),
    "debug adapter": Protocol(
        b'Content-Length: 18\r\n\r\n{"command":"next"}', b"Content-Length: 2\r\n\r\n{}", shown="json-rpc"
    ),
    "RTSP": Protocol(
        b"OPTIONS rtsp://x/y RTSP/1.0\r\nCSeq: 1\r\n\r\n", b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n", shown="rtsp"
    ),
    "SIP": Protocol(b"INVITE sip:bob@x SIP/2.0\r\nVia: x\r\n\r\n", b"SIP/2.0 200 OK\r\n\r\n", shown="sip"),
    "ICAP": Protocol(b"REQMOD icap://x/y ICAP/1.0\r\nHost: x\r\n\r\n", b"ICAP/1.0 204 Unmodified\r\n\r\n"),
    "STOMP": Protocol(b"CONNECT\naccept-version:1.2\n\n\0", b"CONNECTED\nversion:1.2\n\n\0"),
    "PostgreSQL": Protocol(b"\0\0\0\x08\x04\xd2\x16\x2f", b"N"),
    "MQTT": Protocol(b"\x10\x0e\0\4MQTT\4\2\0\x3c\0\2\n\n", b"\x20\2\0\0"),
    "text": Protocol(b"PUT hello 5\r\n\r\n", b"Hello\r\n\r\n"),
    "TLS": Protocol(HELLO, ANSWERED_HELLO, shown="tls", undercount="tls", later=RECORD),
    "gRPC": Protocol(PREFACE + SETTINGS + PING, SETTINGS + PING, shown="http2", undercount="http2", later=PING),
    # the server speaks first: before it has read anything, its connection is unknown, and so are these bytes
    "SMTP": Protocol(b"DATA /x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", b"250 ok\r\n", b"220 mail\r\n"),
    "IMAP": Protocol(b"a1 CAPABILITY\r\n\r\n", b"* CAPABILITY\r\na1 OK\r\n", b"* OK IMAP4rev1\r\n", shown="imap"),
    "POP3": Protocol(b"STAT /\r\n\r\n", b"+OK 0 0\r\n", b"+OK POP3 ready\r\n", shown="pop3"),
    "NATS": Protocol(b"PUB /x 2\r\n\r\n\r\n\r\n", b"PONG\r\n", b'INFO {"server_id":"x"}\r\n'),
    "MySQL": Protocol(b"\1\0\0\0\x0e", b"\7\0\0\1\0\0\0\2\0\0\0", b"\x0f\0\0\0\n8.0.36\0" + bytes(7)),
    "ZeroMQ": Protocol(ZMTP, b"\4\x26\5READY" + bytes(32), ZMTP),
    "ZeroMQ, the client first": Protocol(ZMTP, ZMTP, shown="zeromq"),
    "SSH": Protocol(b"SSH-2.0-x\r\n\r\n", bytes(32), b"SSH-2.0-OpenSSH_9.2\r\n"),
    "a console": Protocol(b"print(1)\n\n", b"1\n>>> ", b"Python 3.11.2\n>>> "),
    "a console, asked by HTTP": Protocol(b"GET /path HTTP/1.1\r\nHost: x\r\n\r\n", b"?\n>>> ", b"Hello\n>>> "),
    # the client alone speaks
    "words": Protocol(b"hello world\n\n", shown=None),
    "carbon": Protocol(b"local.load 4 1699999999\n\n", shown=None),
    "syslog": Protocol(b"<34>1 2003-10-11T22:14:15Z x\n\n", shown=None),
    "JSON": Protocol(b'{"a": 1}\n\n', shown=None),
    "events": Protocol(b"event: x\ndata: y\n\n", shown=None),
    "InfluxDB": Protocol(b"cpu,host=a value=1 1699\n\n", shown=None),
    "msgpack": Protocol(b"\x93\xa3tag \n\n", shown=None),
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """One server with a listener for each."""
    scripts = tmp_path_factory.mktemp("protocols") / "scripts"
    scripts.write_text(json.dumps([[one.greeting.hex(), one.answer.hex()] for one in PROTOCOLS.values()]))
    with running(f"scripts:{scripts}") as pair:
        yield pair


class Peer(Client):
    def __init__(self, port: int, protocol: Protocol) -> None:
        super().__init__(port)
        self.protocol = protocol
        self.begun = False
        assert self.take(len(protocol.greeting)) == protocol.greeting

    def exchange(self) -> None:
        self.send(self.protocol.later if self.begun and self.protocol.later else self.protocol.asked)
        self.begun = True
        assert self.take(len(self.protocol.answer)) == self.protocol.answer

    def leave(self) -> None:
        """Returns when the server has read everything."""
        self.finish()
        self.rest()
        self.close()


@pytest.mark.parametrize("name", PROTOCOLS)
def test_no_request(name: str, served: Pair) -> None:
    protocol = PROTOCOLS[name]
    port = served.others[list(PROTOCOLS).index(name)]
    old = [Peer(port, protocol) for _ in range(3)]
    for peer in old:
        peer.exchange()
    with Monitor(served.pid) as monitor:
        assert monitor.next()["active_concurrent"] == 0
        for _ in range(2):
            for peer in old:
                peer.exchange()
        assert monitor.next()["active_concurrent"] == 0
        ask(served.port, 2, "/")
        for _ in range(2):  # the second time it is known what the listener speaks
            new = [Peer(port, protocol) for _ in range(2)]
            for peer in new * 3:
                peer.exchange()
            monitor.next()
            for peer in new:
                peer.leave()
        for peer in old:
            peer.leave()
        snapshot = monitor.wait_for(
            lambda s: s["open_connections"] == 0 and s["total_requests"] >= 2, "all connections end"
        )
    assert by_port(snapshot, port)["protocol"] == protocol.shown
    assert by_port(snapshot, served.port)["protocol"] == "http"
    assert by_port(snapshot, port)["total"] == by_port(snapshot, port)["active"] == 0
    assert (snapshot["total_requests"], snapshot["active_concurrent"], snapshot["peak_concurrent"]) == (2, 0, 1)
    assert snapshot["failed_requests"] == snapshot["aborted_requests"] == snapshot["rejected_requests"] == 0
    assert [endpoint["path"] for endpoint in snapshot["endpoints"]] == ["/"]
    assert snapshot["undercount_by_cause"] == ({protocol.undercount: 7} if protocol.undercount else {})
    assert snapshot["target"]["address"] == f"127.0.0.1:{served.port}"


@pytest.mark.parametrize("kind", ["manager", "manager-tcp"])
def test_a_manager_of_multiprocessing(kind: str) -> None:
    """Both ends of its connections are in the server's tree; one was open before the attach. It was forked after the
    server had bound its socket, so that it holds that one too; still it is no worker."""
    with running(kind) as pair:
        ask(pair.port, 1, "/shared")
        with Monitor(pair.pid) as monitor:
            ask(pair.port, 5, "/shared")
            snapshot = monitor.wait_for(lambda s: s["total_requests"] == 5, "the requests end")
    assert (snapshot["active_concurrent"], snapshot["peak_concurrent"]) == (0, 1)
    assert [worker["pid"] for worker in snapshot["workers"]] == [pair.pid]
    [manager] = [one for one in snapshot["listeners"] if one["address"] != f"127.0.0.1:{pair.port}"]
    assert (manager["protocol"], manager["peak"], manager["total"], manager["open_connections"]) == (None, 0, 0, 1)
    assert snapshot["undercount_by_cause"] == {}


def test_a_port_for_websockets_alone() -> None:
    """Until HTTP has passed on it, it is unknown what an older connection is: its WebSocket counts with the first new
    one's upgrade."""
    with running("websockets") as pair, WebSocket(pair.other) as old:
        assert old.echoes(TEXT, b"before")
        with Monitor(pair.pid) as monitor:
            assert old.echoes(TEXT, b"after")
            ask(pair.port, 2, "/")
            assert monitor.next()["active_concurrent"] == 0
            with WebSocket(pair.other, "/socket") as new:
                assert new.echoes(TEXT, b"hello")
                assert old.echoes(TEXT, b"again")
                snapshot = monitor.wait_for(lambda s: s["websockets_active"] == 2, "both are known")
                assert by_port(snapshot, pair.other)["active"] == snapshot["active_concurrent"] == 2
                assert by_port(snapshot, pair.other)["protocol"] == "http"
                assert by_port(snapshot, pair.port)["active"] == 0
            snapshot = monitor.wait_for(lambda s: s["active_concurrent"] == 1, "the new one has closed")
            old.close()
            snapshot = monitor.wait_for(lambda s: s["active_concurrent"] == 0, "the old one has closed")
    assert (snapshot["total_requests"], snapshot["failed_requests"], snapshot["undercount"]) == (4, 0, 0)


def test_the_port_of_prometheus_client() -> None:
    """It serves in a thread of the application's process."""
    with running("exporter") as pair, Monitor(pair.pid) as monitor:
        ask(pair.port, 5, "/work")
        for _ in range(20):
            ask(pair.other, 1, "/metrics")
        snapshot = monitor.wait_for(lambda s: s["total_requests"] == 25, "all requests end")
        assert (by_port(snapshot, pair.port)["total"], by_port(snapshot, pair.other)["total"]) == (5, 20)
        assert by_port(snapshot, pair.other)["protocol"] == "http"
        assert snapshot["undercount_by_cause"] == {}
        with Monitor(pair.pid, "--port", str(pair.port)) as one:
            ask(pair.other, 1, "/metrics")
            ask(pair.port, 3, "/work")
            chosen = one.wait_for(lambda s: s["total_requests"] >= 3, "the application's requests end")
    assert chosen["total_requests"] == 3
    assert [endpoint["path"] for endpoint in chosen["endpoints"]] == ["/work"]


LINES = """
import socketserver

class Lines(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            if line != b"reserve\\n":
                self.wfile.write(b"INSERTED 1\\n")

class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

with Server(("127.0.0.1", 0), Lines) as server:
    print(server.server_address[1], flush=True)
    server.serve_forever()
"""


def test_the_only_listener() -> None:
    """The program imports a server, so that it is presumed to speak HTTP, and what waits for an answer at the attach is
    in flight. Once it has shown another protocol, that was no request, nor part of the peak."""
    program = "from wsgiref import simple_server\n" + LINES
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            port = int(server.stdout.readline())
            with Client(port) as old:
                old.send(b"put 1\n")
                assert old.take(11) == b"INSERTED 1\n"
                time.sleep(0.05)  # the kernel dates a socket's bytes to within 10 ms
                old.send(b"reserve\n")  # it is not answered
                with Monitor(server.pid) as monitor:
                    monitor.wait_for(lambda s: s["active_concurrent"] == 1, "it is presumed to be in flight")
                    with Client(port) as new:
                        new.send(b"put 2\n")
                        assert new.take(11) == b"INSERTED 1\n"
                        monitor.wait_for(lambda s: s["active_concurrent"] == 0, "it is no HTTP")
                    old.finish()
                    old.rest()
                    old.close()
                    snapshot = monitor.wait_for(lambda s: s["open_connections"] == 0, "all connections end")
        finally:
            server.kill()
    assert by_port(snapshot, port)["protocol"] == "unknown"
    assert snapshot["total_requests"] == snapshot["aborted_requests"] == snapshot["active_concurrent"] == 0
    assert snapshot["peak_concurrent"] == 0
