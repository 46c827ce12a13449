# SPDX-License-Identifier: Apache-2.0
"""A server made by hand of threads and blocking calls, to do with its descriptors what uvicorn never does:
`blocking_server.py ADDRESS [PATH | hand-over | take PATH]`. ADDRESS is the path of a Unix socket, or else it listens on a
free TCP port. It writes where it listens, and what it does next when it has come to it. Each connection is read by a
thread of its own; one other thread writes all answers. What a request asks for is said by its path:

/ok             an answer
/dup            goes on with a duplicate of the descriptor, the original closed; then an answer
/half-closed    closes one of two descriptors, says so, and answers over the other when a line comes in
/close-range    closes the descriptor with close_range and without an answer
/exec           becomes another program without an answer: this one, from its start, or `sleep` with /exec/sleep
/give-asked     no answer: the connection is given away as below
/give           an answer; then the connection is given away by SCM_RIGHTS to who listens at PATH

With hand-over, connections are given away at once, unread, to a worker that was forked before. With take, those that
others accepted are taken over as well, from who connects to PATH."""

import os
import queue
import socket
import sys
import threading

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

answers: queue.SimpleQueue[tuple[socket.socket, threading.Event]] = queue.SimpleQueue()


def say(what: str) -> None:
    os.write(1, what.encode() + b"\n")


def write_answers() -> None:
    while True:
        connection, done = answers.get()
        try:
            connection.sendall(ANSWER)
        except OSError:
            pass  # its client has gone
        done.set()


def answer(connection: socket.socket) -> None:
    """By the writing thread; returns when it is written."""
    done = threading.Event()
    answers.put((connection, done))
    done.wait()


def give_away(connection: socket.socket, path: str) -> None:
    with socket.socket(socket.AF_UNIX) as receiver:
        receiver.connect(path)
        socket.send_fds(receiver, [b"x"], [connection.fileno()])
    connection.close()


def read_head(connection: socket.socket) -> str:
    """The path of the next request, which has no body; empty when the client has gone."""
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


def start_thread(target: object, *arguments: object) -> None:
    threading.Thread(target=target, args=arguments, daemon=True).start()  # type: ignore[arg-type]


def work(from_parent: socket.socket) -> None:
    """The worker of hand-over."""
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
