# SPDX-License-Identifier: Apache-2.0
"""A server with threads and blocking calls, which does things to its descriptors that uvicorn never does.

Usage: `blocking_server.py ADDRESS [PATH | hand-over | take PATH]`. ADDRESS is the path of a Unix socket; any other word
means a free TCP port. It prints its address, and later what it is about to do. One thread reads each connection, and
one thread writes all responses. The path of a request selects what the server does:

/ok             answers
/dup            continues with a duplicate of the descriptor, closes the original, then answers
/half-closed    closes one of two descriptors, prints that, and answers over the other after it reads a line
/close-range    closes the descriptor with close_range and does not answer
/exec           executes another program and does not answer: this program again, or `sleep` for /exec/sleep
/give-asked     gives the connection away as below and does not answer
/give           answers, then gives the connection away by SCM_RIGHTS to the process that listens at PATH

With hand-over, it gives every new connection, unread, to a worker that it forked before. With take, it also takes over
connections that other processes accepted, from any process that connects to PATH."""

import os
import queue
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

answers: queue.SimpleQueue[tuple[socket.socket, threading.Event]] = queue.SimpleQueue()


def say(what: str) -> None:
    os.write(1, what.encode() + b"\n")


def write_answers() -> None:
    while True:
        connection, done = answers.get()
        with suppress(OSError):  # the client may have left
            connection.sendall(ANSWER)
        done.set()


def answer(connection: socket.socket) -> None:
    """Makes the writing thread answer, and returns when the response is written."""
    done = threading.Event()
    answers.put((connection, done))
    done.wait()


def give_away(connection: socket.socket, path: str) -> None:
    with socket.socket(socket.AF_UNIX) as receiver:
        receiver.connect(path)
        socket.send_fds(receiver, [b"x"], [connection.fileno()])
    connection.close()


def read_head(connection: socket.socket) -> str:
    """The path of the next request, which has no body; empty if the client has left."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        try:
            byte = connection.recv(1 if head.endswith(b"\r") else 65536)
        except OSError:
            byte = b""
        if not byte:
            return ""
        head += byte
    return head.split(b" ")[1].decode()


def serve(connection: socket.socket) -> None:
    while path := read_head(connection):
        if path == "/dup":
            original, connection = connection, connection.dup()
            original.close()
        elif path == "/half-closed":
            original, connection = connection, connection.dup()
            original.close()
            say("one is closed")
            sys.stdin.readline()
        elif path == "/close-range":
            descriptor = connection.detach()
            os.closerange(descriptor, descriptor + 1)
            return
        elif path == "/exec":
            os.execv(sys.executable, [sys.executable, *sys.argv])
        elif path == "/exec/sleep":
            os.execvp("sleep", ["sleep", "infinity"])
        elif path == "/give-asked":
            give_away(connection, sys.argv[2])
            return
        answer(connection)
        if path == "/give":
            give_away(connection, sys.argv[2])
            return
    connection.close()


def start_thread(target: Callable[..., None], *arguments: object) -> None:
    threading.Thread(target=target, args=arguments, daemon=True).start()


def work(from_parent: socket.socket) -> None:
    """The worker that hand-over forks."""
    start_thread(write_answers)
    while True:
        _, descriptors, _, _ = socket.recv_fds(from_parent, 1, 1)
        if not descriptors:
            os._exit(0)
        start_thread(serve, socket.socket(fileno=descriptors[0]))


def take_over(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        while True:
            giver, _ = listener.accept()
            with giver:
                _, descriptors, _, _ = socket.recv_fds(giver, 1, 1)
            start_thread(serve, socket.socket(fileno=descriptors[0]))


def main() -> None:
    if sys.argv[1].startswith("/"):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(sys.argv[1])
    else:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    to_worker = None
    if sys.argv[2:] == ["hand-over"]:
        to_worker, from_parent = socket.socketpair()
        if os.fork() == 0:
            to_worker.close()
            work(from_parent)
    start_thread(write_answers)
    if sys.argv[2:3] == ["take"]:
        start_thread(take_over, sys.argv[3])
    say(str(listener.getsockname()[1]) if listener.family == socket.AF_INET else sys.argv[1])
    while True:
        connection, _ = listener.accept()
        if to_worker:
            socket.send_fds(to_worker, [b"x"], [connection.fileno()])
            connection.close()
        else:
            start_thread(serve, connection)


if __name__ == "__main__":
    main()
