# SPDX-License-Identifier: Apache-2.0
"""A server under test that makes exactly the system calls on its connections that it is sent.

It listens on a port of 127.0.0.1 and at the path in its argument. Its first line holds both descriptors and the port.
It reads lines `[command, argument, …]` (JSON; bytes as Latin-1) and answers each with `{"result": …}` or
`{"errno": …}` when the command is done. It imports a server of HTTP, so that its listeners are presumed to speak
it."""

import inspect
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any
from wsgiref import simple_server  # noqa: F401

import compat_syscalls
import raw_syscalls
import uring
from raw_syscalls import syscall

Command = list[Any]


def accept(listener: int) -> int:
    return syscall("accept", listener, 0, 0)


def accept4(listener: int, flags: int = 0) -> int:
    return syscall("accept4", listener, 0, 0, flags)


def close(fd: int) -> int:
    return syscall("close", fd)


def close_range(first: int, last: int) -> int:
    return syscall("close_range", first, last, 0)


def dup(fd: int) -> int:
    return syscall("dup", fd)


def dup3(fd: int, to: int) -> int:
    return syscall("dup3", fd, to, 0)


def shutdown(fd: int, how: int) -> int:
    return syscall("shutdown", fd, how)


def set_option(fd: int, level: int, option: int, value: int) -> None:
    with socket.socket(fileno=os.dup(fd)) as borrowed:
        borrowed.setsockopt(level, option, value)


def set_blocking(fd: int, blocking: bool) -> None:
    os.set_blocking(fd, blocking)


def make_pair() -> list[int]:
    """Two Unix sockets, connected to each other."""
    one, other = socket.socketpair()
    return [one.detach(), other.detach()]


def make_udp(port: int) -> list[int]:
    """A UDP socket and its port. `port` 0: the kernel chooses one, as for a client."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind(("127.0.0.1", port))
    port = made.getsockname()[1]
    return [made.detach(), port]


def send_udp(fd: int, data: bytes, port: int) -> None:
    with socket.socket(fileno=os.dup(fd)) as borrowed:
        borrowed.sendto(data, ("127.0.0.1", port))


def pass_descriptor(over: int, fd: int) -> None:
    with socket.socket(fileno=os.dup(over)) as borrowed:
        socket.send_fds(borrowed, [b"a descriptor"], [fd])


def take_descriptor(over: int) -> int:
    with socket.socket(fileno=os.dup(over)) as borrowed:
        return socket.recv_fds(borrowed, 100, 1)[1][0]


# ---- more bytes than fit into the pipe ----


def recv_bulk(fd: int, total: int, size: int, flags: int = 0) -> int:
    """Receives exactly `total` bytes, at most `size` in each call. Returns the number of calls."""
    calls = 0
    while total:
        total -= len(raw_syscalls.recvfrom(fd, min(size, total), flags))
        calls += 1
    return calls


def write_bulk(fd: int, total: int, size: int) -> int:
    """Writes `total` letters, at most `size` in each call. Returns the number of short calls."""
    letters, short = b"x" * size, 0
    while total:
        wanted = min(size, total)
        written = raw_syscalls.write(fd, letters[:wanted])
        short += written < wanted
        total -= written
    return short


def write_all(fd: int, data: bytes) -> int:
    """Writes until everything is written. Returns the number of calls."""
    calls = 0
    while data:
        data = data[raw_syscalls.write(fd, data) :]
        calls += 1
    return calls


# ---- other threads and processes, and interruptions ----

_threads: dict[int, tuple[threading.Thread, list[Any]]] = {}


def thread_start(commands: list[Command]) -> int:
    """Runs the commands in another thread. Returns its number."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.extend(map(perform, commands)))
    _threads[len(_threads)] = (thread, results)
    thread.start()
    return len(_threads) - 1


def thread_join(number: int) -> list[Any]:
    thread, results = _threads[number]
    thread.join()
    return results


def threads_asleep() -> int:
    """The number of other threads that wait in a system call on a descriptor."""
    found = 0
    for thread, _ in _threads.values():
        if thread.is_alive() and thread.native_id:
            with open(f"/proc/self/task/{thread.native_id}/syscall") as file:
                found += file.read().split()[0] in map(str, raw_syscalls.NUMBERS.values())
    return found


def in_child(commands: list[Command]) -> list[Any]:
    """Runs the commands in a forked child, which then ends. Returns their results."""
    end, start = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(start, json.dumps([perform(command) for command in commands]).encode())
        os._exit(0)
    os.close(start)
    with open(end, "rb") as results:
        answer = json.load(results)
    os.waitpid(child, 0)
    return list(answer)


def interrupted(command: Command) -> Any:
    """Runs the command while a signal arrives every 10 ms. No call is restarted."""
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    try:
        return run(command)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


COMMANDS: dict[str, Callable[..., Any]] = {
    name: function
    for module in (raw_syscalls, compat_syscalls, uring, sys.modules[__name__])
    for name, function in inspect.getmembers(module, inspect.isfunction)
}


def decoded(value: Any) -> Any:
    """Turns strings into bytes. Names of commands and of kinds of ring stay strings."""
    if isinstance(value, list):
        return [decoded(each) for each in value]
    return value.encode("latin-1") if isinstance(value, str) else value


def encoded(value: Any) -> Any:
    if isinstance(value, list):
        return [encoded(each) for each in value]
    return value.decode("latin-1") if isinstance(value, bytes) else value


def run(command: Command) -> Any:
    name, *arguments = command
    if name.startswith("uring_"):
        return COMMANDS[name](arguments[0], *map(decoded, arguments[1:]))
    if name in ("thread_start", "in_child", "interrupted"):  # these take commands
        return COMMANDS[name](*arguments)
    return COMMANDS[name](*map(decoded, arguments))


def perform(command: Command) -> dict[str, Any]:
    try:
        return {"result": encoded(run(command))}
    except OSError as error:
        return {"errno": error.errno}


def main() -> None:
    tcp = socket.create_server(("127.0.0.1", 0))
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(sys.argv[1])
    unix.listen()
    print(json.dumps([tcp.fileno(), unix.fileno(), tcp.getsockname()[1]]), flush=True)
    for line in sys.stdin:
        print(json.dumps(perform(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
