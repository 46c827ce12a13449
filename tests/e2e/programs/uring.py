# SPDX-License-Identifier: Apache-2.0
"""One operation at a time on a socket through io_uring, with its three system calls.

The kind of ring determines what runs the operation: the caller, a thread of the kernel's pool, or the kernel thread
that polls the queue; or the caller, which enters the ring as a 32-bit program does."""

import ctypes
import mmap
import os

import compat_syscalls
from raw_syscalls import syscall

# include/uapi/linux/io_uring.h
OP_ACCEPT, OP_CLOSE, OP_SEND, OP_RECV = 13, 19, 26, 27
SETUP_SQPOLL = 1 << 1
IOSQE_ASYNC = 1 << 4
ENTER_GETEVENTS, ENTER_SQ_WAKEUP = 1, 2
OFFSET_OF_ENTRIES = 0x10000000
ENTRIES = 8


def _words(*names: str) -> list[tuple[str, type]]:
    return [(name, ctypes.c_uint32) for name in names]


class RingOffsets(ctypes.Structure):
    """struct io_sqring_offsets and io_cqring_offsets; `extra` is `flags` in the first and `overflow` in the second"""

    _fields_ = [
        *_words("head", "tail", "mask", "entries", "extra", "dropped_or_cqes", "array_or_flags", "reserved"),
        ("user_address", ctypes.c_uint64),
    ]


class Parameters(ctypes.Structure):
    """struct io_uring_params"""

    _fields_ = [
        *_words("sq_entries", "cq_entries", "flags", "sq_thread_cpu", "sq_thread_idle", "features", "wq_fd"),
        ("reserved", ctypes.c_uint32 * 3),
        ("sq", RingOffsets),
        ("cq", RingOffsets),
    ]


class Submission(ctypes.Structure):
    """struct io_uring_sqe"""

    _fields_ = [
        ("operation", ctypes.c_uint8),
        ("flags", ctypes.c_uint8),
        ("priority", ctypes.c_uint16),
        ("fd", ctypes.c_int32),
        ("offset", ctypes.c_uint64),
        ("address", ctypes.c_uint64),
        ("length", ctypes.c_uint32),
        ("operation_flags", ctypes.c_uint32),
        ("user_data", ctypes.c_uint64),
        ("unused", ctypes.c_uint64 * 3),
    ]


class Completion(ctypes.Structure):
    """struct io_uring_cqe"""

    _fields_ = [("user_data", ctypes.c_uint64), ("result", ctypes.c_int32), ("flags", ctypes.c_uint32)]


class Ring:
    """A ring with at most one operation under way."""

    def __init__(self, kind: str) -> None:
        parameters = Parameters(flags=SETUP_SQPOLL if kind == "polled" else 0, sq_thread_idle=1000)
        self._fd = syscall("io_uring_setup", ENTRIES, ctypes.addressof(parameters))
        self._entry_flags = IOSQE_ASYNC if kind == "pool" else 0
        self._enter = self._enter_compat if kind == "compat" else self._enter_native
        self._sq, self._cq = parameters.sq, parameters.cq
        size = max(
            self._sq.array_or_flags + 4 * parameters.sq_entries,
            self._cq.dropped_or_cqes + ctypes.sizeof(Completion) * parameters.cq_entries,
        )
        self._ring = mmap.mmap(self._fd, size, offset=0)  # both rings: IORING_FEAT_SINGLE_MMAP
        entries = ctypes.sizeof(Submission) * parameters.sq_entries
        self._entries = mmap.mmap(self._fd, entries, offset=OFFSET_OF_ENTRIES)

    def _enter_native(self, submitted: int, completed: int, flags: int) -> None:
        syscall("io_uring_enter", self._fd, submitted, completed, flags, 0, 0)

    def _enter_compat(self, submitted: int, completed: int, flags: int) -> None:
        compat_syscalls.call("io_uring_enter", self._fd, submitted, completed, flags, 0)

    def _word(self, offset: int) -> ctypes.c_uint32:
        return ctypes.c_uint32.from_buffer(self._ring, offset)

    def submit(self, operation: int, fd: int, address: int = 0, length: int = 0) -> None:
        tail = self._word(self._sq.tail)
        index = tail.value % ENTRIES
        entry = Submission.from_buffer(self._entries, ctypes.sizeof(Submission) * index)
        ctypes.memset(ctypes.addressof(entry), 0, ctypes.sizeof(entry))
        entry.operation, entry.flags, entry.fd = operation, self._entry_flags, fd
        entry.address, entry.length = address, length
        self._word(self._sq.array_or_flags + 4 * index).value = index
        tail.value += 1
        self._enter(1, 0, ENTER_SQ_WAKEUP)

    def wait(self) -> int:
        """Waits for the operation and returns its result."""
        head = self._word(self._cq.head)
        while head.value == self._word(self._cq.tail).value:
            self._enter(0, 1, ENTER_GETEVENTS | ENTER_SQ_WAKEUP)
        index = head.value & self._word(self._cq.mask).value
        at = self._cq.dropped_or_cqes + ctypes.sizeof(Completion) * index
        result = int(Completion.from_buffer(self._ring, at).result)
        head.value += 1
        if result < 0:
            raise OSError(-result, f"io_uring: {os.strerror(-result)}")
        return result


_rings: dict[str, Ring] = {}
_receiving: dict[str, ctypes.Array[ctypes.c_char]] = {}


def _ring(kind: str) -> Ring:
    if kind not in _rings:
        _rings[kind] = Ring(kind)
    return _rings[kind]


def uring_recv_start(kind: str, fd: int, size: int) -> None:
    buffer = _receiving[kind] = ctypes.create_string_buffer(size)
    _ring(kind).submit(OP_RECV, fd, ctypes.addressof(buffer), size)


def uring_recv_finish(kind: str) -> bytes:
    length = _ring(kind).wait()
    return _receiving[kind].raw[:length]


def uring_recv(kind: str, fd: int, size: int) -> bytes:
    uring_recv_start(kind, fd, size)
    return uring_recv_finish(kind)


def uring_send(kind: str, fd: int, data: bytes) -> int:
    buffer = ctypes.create_string_buffer(data, len(data))
    _ring(kind).submit(OP_SEND, fd, ctypes.addressof(buffer), len(data))
    return _ring(kind).wait()


def uring_accept(kind: str, listener: int) -> int:
    _ring(kind).submit(OP_ACCEPT, listener)
    return _ring(kind).wait()


def uring_close(kind: str, fd: int) -> None:
    _ring(kind).submit(OP_CLOSE, fd)
    _ring(kind).wait()
