# SPDX-License-Identifier: Apache-2.0
"""Becomes a uvicorn, in the same process, once it is told to. Started by run_proxy.sh under uvicorn's own Python:

    launch.py KIND HOST PORT UVICORN-ARGUMENT...

Until then it only listens at an address of its own that nobody knows, since `monitor` takes no process for a server
that does not listen. So the monitor counts before uvicorn has begun, the server's own port opens no moment earlier than
without it, and uvicorn runs as it always does. KIND is that of the server's sockets, tcp or unix: the monitor loads the
hooks for what it finds.

Standard output is for one line of answer, `ready` or what is wrong, and ends when this listens no more; standard input
brings `go`, or ends when whoever started this is gone. The server's standard output is descriptor 3."""

import errno
import os
import signal
import socket
import sys

SERVER_OUTPUT = 3


def trouble_at(host: str, port: int) -> str | None:
    """What would keep uvicorn from listening there."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        return f"unknown {error.strerror}"
    for family, kind, protocol, _, address in found:
        try:
            probe = socket.socket(family, kind, protocol)
        except OSError:
            continue  # no IPv6 here: uvicorn goes without it, too
        with probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                probe.bind(address)
            except OSError as error:
                return "in-use" if error.errno == errno.EADDRINUSE else f"refused {error.strerror}"
    return None


def listen_aside(kind: str) -> socket.socket:
    aside = socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET)
    aside.bind("" if kind == "unix" else ("127.0.0.1", 0))  # "": the kernel picks an abstract name
    aside.listen(0)
    return aside


def main() -> None:
    kind, host, port, *arguments = sys.argv[1:]
    os.closerange(SERVER_OUTPUT + 1, 256)  # what the script has open
    # Interrupts at the terminal reach it through the script alone. A shell has its background processes ignore them.
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    trouble = trouble_at(host, int(port)) if kind == "tcp" else None
    if trouble:
        print(trouble, flush=True)
        return
    aside = listen_aside(kind)
    print("ready", flush=True)
    if sys.stdin.readline() != "go\n":
        return
    aside.close()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(SERVER_OUTPUT, 1)  # with it the answers end: whoever reads them knows that nothing listens here now
    os.close(SERVER_OUTPUT)
    os.execv(sys.executable, [sys.executable, "-m", "uvicorn", *arguments])


if __name__ == "__main__":
    main()
