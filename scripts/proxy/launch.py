# SPDX-License-Identifier: Apache-2.0
"""Waits at a gate, then becomes uvicorn in the same process. run_proxy.sh starts it with uvicorn's own Python:

    launch.py KIND HOST PORT UVICORN-ARGUMENT...

While it waits, it listens on an unused address of its own, because `monitor` only accepts a process that listens. So
the monitor counts before uvicorn starts, the server's own port opens no earlier than without the monitor, and uvicorn
runs unchanged. KIND is the kind of the server's sockets, tcp or unix: the monitor loads the hooks for those it finds.

Standard output carries one line, `ready` or what is wrong, and ends when this process has closed its own socket.
Standard input carries `go`, or ends when the caller is gone. Descriptor 3 is the server's standard output."""

import errno
import os
import signal
import socket
import sys

SERVER_OUTPUT = 3


def trouble_at(host: str, port: int) -> str | None:
    """Returns the reason why uvicorn could not listen there, if there is one."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        return f"unknown {error.strerror}"
    for family, kind, protocol, _, address in found:
        try:
            probe = socket.socket(family, kind, protocol)
        except OSError:
            continue  # no IPv6 on this machine, and uvicorn does without it
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
    os.closerange(SERVER_OUTPUT + 1, 256)  # descriptors inherited from the script
    # In its own session, the server gets interrupts from the terminal only through the script. The signals need a reset
    # because a shell makes its background processes ignore them.
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
    os.dup2(SERVER_OUTPUT, 1)  # closes the pipe, which shows its reader that nothing listens here now
    os.close(SERVER_OUTPUT)
    os.execv(sys.executable, [sys.executable, "-m", "uvicorn", *arguments])


if __name__ == "__main__":
    main()
