# SPDX-License-Identifier: Apache-2.0
"""System calls on a descriptor, made by number (x86-64).

Each function makes exactly the call that it is named after; Python and the C library may use another one. They raise
OSError and never repeat a call."""

import ctypes
import mmap
import os
from collections.abc import Sequence
from typing import ClassVar

# arch/x86/entry/syscalls/syscall_64.tbl
NUMBERS = {
    "read": 0,
    "write": 1,
    "close": 3,
    "mprotect": 10,
    "readv": 19,
    "writev": 20,
    "dup": 32,
    "sendfile": 40,
    "accept": 43,
    "sendto": 44,
    "recvfrom": 45,
    "sendmsg": 46,
    "recvmsg": 47,
    "shutdown": 48,
    "getsockopt": 55,
    "splice": 275,
    "accept4": 288,
    "dup3": 292,
    "recvmmsg": 299,
    "sendmmsg": 307,
    "preadv2": 327,
    "pwritev2": 328,
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "close_range": 436,
}

_libc = ctypes.CDLL(None, use_errno=True)  # it releases the GIL, so that other threads run meanwhile
_libc.syscall.restype = ctypes.c_long


def syscall(name: str, *arguments: int) -> int:
    result = int(_libc.syscall(ctypes.c_long(NUMBERS[name]), *(ctypes.c_long(value) for value in arguments)))
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")
    return result


class Vector(ctypes.Structure):
    """struct iovec"""

    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class Message(ctypes.Structure):
    """struct mmsghdr, which begins with a struct msghdr"""

    _fields_ = [
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint),
        ("vectors", ctypes.c_void_p),
        ("count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_uint64),
        ("done", ctypes.c_uint64),
    ]


class Buffers:
    """Buffers of the given sizes to read into, or with the given bytes to write; also as iovecs and as a message."""

    def __init__(self, pieces: Sequence[int | bytes]) -> None:
        self._memory = [
            ctypes.create_string_buffer(piece, piece if isinstance(piece, int) else len(piece)) if piece else None
            for piece in pieces
        ]
        self._vectors = (Vector * len(pieces))()
        for vector, memory in zip(self._vectors, self._memory, strict=True):
            vector.base = ctypes.addressof(memory) if memory else None
            vector.length = len(memory) if memory else 0
        self.address = ctypes.addressof(self._vectors)
        self.count = len(pieces)

    def message(self) -> Message:
        return Message(None, 0, self.address, self.count, None, 0, 0, 0)

    def fill(self, pieces: Sequence[bytes]) -> None:
        for memory, piece in zip(self._memory, pieces, strict=True):
            if memory:
                memory.raw = piece

    def taken(self, length: int) -> bytes:
        """The bytes that a read of this length has put there."""
        return b"".join(memory.raw for memory in self._memory if memory)[:length]


# ---- receiving ----


def read(fd: int, size: int) -> bytes:
    buffer = ctypes.create_string_buffer(size or 1)
    length = syscall("read", fd, ctypes.addressof(buffer), size)
    return buffer.raw[:length]


def recvfrom(fd: int, size: int, flags: int = 0) -> bytes:
    """With MSG_TRUNC, which drops the bytes, it returns as many zeros."""
    buffer = ctypes.create_string_buffer(size or 1)
    length = syscall("recvfrom", fd, ctypes.addressof(buffer), size, flags, 0, 0)
    return buffer.raw[:length]


def readv(fd: int, sizes: list[int]) -> bytes:
    buffers = Buffers(sizes)
    return buffers.taken(syscall("readv", fd, buffers.address, buffers.count))


def preadv2(fd: int, sizes: list[int], flags: int = 0) -> bytes:
    """Reads at offset -1, the current position: a socket has no other."""
    buffers = Buffers(sizes)
    return buffers.taken(syscall("preadv2", fd, buffers.address, buffers.count, -1, -1, flags))


def recvmsg(fd: int, sizes: list[int], flags: int = 0) -> bytes:
    buffers = Buffers(sizes)
    message = buffers.message()
    return buffers.taken(syscall("recvmsg", fd, ctypes.addressof(message), flags))


class Messages:
    """An array of messages. Arrays of the same sizes share their memory, as a program reuses its buffers."""

    _known: ClassVar[dict[str, "Messages"]] = {}

    def __init__(self, sizes: list[list[int]]) -> None:
        self.buffers = [Buffers(vectors) for vectors in sizes]
        self.array = (Message * len(sizes))(*(each.message() for each in self.buffers))
        self.address = ctypes.addressof(self.array)
        self.count = len(sizes)

    @classmethod
    def of(cls, sizes: list[list[int]]) -> "Messages":
        key = repr(sizes)
        if key not in cls._known:
            cls._known[key] = cls(sizes)
        return cls._known[key]


def recvmmsg(fd: int, sizes: list[list[int]], flags: int = 0, seconds: int = -1) -> list[bytes]:
    """With a time limit, it stops after the first message that arrives after the limit."""
    messages = Messages.of(sizes)
    limit = (ctypes.c_long * 2)(seconds, 0)
    address = ctypes.addressof(limit) if seconds >= 0 else 0
    count = syscall("recvmmsg", fd, messages.address, messages.count, flags, address)
    return [messages.buffers[index].taken(messages.array[index].done) for index in range(count)]


def splice_in(fd: int, size: int) -> bytes:
    """Moves bytes from the socket to a pipe and reads them there."""
    end, start = os.pipe()
    try:
        return os.read(end, syscall("splice", fd, 0, start, 0, size, 0))
    finally:
        os.close(end)
        os.close(start)


class ZerocopyReceive(ctypes.Structure):
    """struct tcp_zerocopy_receive. No address is given, so nothing is mapped and the bytes are copied."""

    _fields_ = [
        ("address", ctypes.c_uint64),
        ("length", ctypes.c_uint32),
        ("skip_hint", ctypes.c_uint32),
        ("unread", ctypes.c_uint32),
        ("error", ctypes.c_int32),
        ("copy_address", ctypes.c_uint64),
        ("copy_length", ctypes.c_int32),
        ("flags", ctypes.c_uint32),
        ("control", ctypes.c_uint64),
        ("control_length", ctypes.c_uint64),
        ("message_flags", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
    ]


def zerocopy_receive(fd: int, size: int) -> bytes:
    """Receives with getsockopt and TCP_ZEROCOPY_RECEIVE."""
    buffer = ctypes.create_string_buffer(size)
    option = ZerocopyReceive(copy_address=ctypes.addressof(buffer), copy_length=size)
    length = ctypes.c_uint32(ctypes.sizeof(option))
    syscall("getsockopt", fd, 6, 35, ctypes.addressof(option), ctypes.addressof(length))
    return buffer.raw[: option.copy_length]


# ---- sending ----

MSG_ZEROCOPY = 0x4000000  # include/linux/socket.h; Python 3.11 has no name for it

# With MSG_ZEROCOPY the kernel sends from the caller's pages, also after the call has returned, until it reports on the
# error queue that it is done with them. A buffer that is freed or reused before then changes the bytes that the client
# receives. The buffers of such calls are small and few: this process keeps them until it ends.
_kept_for_zerocopy: list[object] = []


def write(fd: int, data: bytes) -> int:
    buffer = ctypes.create_string_buffer(data, len(data) or 1)
    return syscall("write", fd, ctypes.addressof(buffer), len(data))


def sendto(fd: int, data: bytes, flags: int = 0) -> int:
    buffer = ctypes.create_string_buffer(data, len(data) or 1)
    if flags & MSG_ZEROCOPY:
        _kept_for_zerocopy.append(buffer)
    return syscall("sendto", fd, ctypes.addressof(buffer), len(data), flags, 0, 0)


def writev(fd: int, pieces: list[bytes]) -> int:
    buffers = Buffers(pieces)
    return syscall("writev", fd, buffers.address, buffers.count)


def pwritev2(fd: int, pieces: list[bytes], flags: int = 0) -> int:
    buffers = Buffers(pieces)
    return syscall("pwritev2", fd, buffers.address, buffers.count, -1, -1, flags)


def sendmsg(fd: int, pieces: list[bytes], flags: int = 0) -> int:
    buffers = Buffers(pieces)
    if flags & MSG_ZEROCOPY:
        _kept_for_zerocopy.append(buffers)
    message = buffers.message()
    return syscall("sendmsg", fd, ctypes.addressof(message), flags)


def sendmmsg(fd: int, pieces: list[list[bytes]], flags: int = 0) -> list[int]:
    """Returns how much of each message was sent, for those that were sent."""
    assert not flags & MSG_ZEROCOPY  # the next call refills the buffers
    messages = Messages.of([list(map(len, each)) for each in pieces])
    for buffers, each in zip(messages.buffers, pieces, strict=True):
        buffers.fill(each)
    count = syscall("sendmmsg", fd, messages.address, messages.count, flags)
    return [messages.array[index].done for index in range(count)]


def sendfile(fd: int, data: bytes) -> int:
    file = os.memfd_create("data")
    try:
        os.write(file, data)
        offset = ctypes.c_long(0)
        return syscall("sendfile", fd, file, ctypes.addressof(offset), len(data))
    finally:
        os.close(file)


def splice_out(fd: int, data: bytes) -> int:
    """Moves bytes from a pipe to the socket."""
    end, start = os.pipe()
    try:
        os.write(start, data)
        return syscall("splice", end, 0, fd, 0, len(data), 0)
    finally:
        os.close(end)
        os.close(start)


# ---- memory that becomes inaccessible in the middle of a call ----


class Cliff:
    """`good` bytes of accessible memory, followed by a page that is not accessible."""

    def __init__(self, good: int) -> None:
        pages = -(-good // mmap.PAGESIZE) * mmap.PAGESIZE
        self._map = mmap.mmap(-1, pages + mmap.PAGESIZE)
        base = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        syscall("mprotect", base + pages, mmap.PAGESIZE, 0)
        self.address = base + pages - good
        self._start = pages - good

    def put(self, data: bytes) -> None:
        self._map[self._start : self._start + len(data)] = data

    def taken(self, length: int) -> bytes:
        return self._map[self._start : self._start + length]


def read_off_a_cliff(fd: int, good: int, size: int) -> bytes:
    """Reads up to `size` bytes into memory of which only the first `good` bytes are accessible."""
    cliff = Cliff(good)
    return cliff.taken(syscall("read", fd, cliff.address, size))


def write_off_a_cliff(fd: int, data: bytes, size: int) -> int:
    cliff = Cliff(len(data))
    cliff.put(data)
    return syscall("write", fd, cliff.address, size)
