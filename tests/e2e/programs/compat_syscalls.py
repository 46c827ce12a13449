# SPDX-License-Identifier: Apache-2.0
"""System calls on a descriptor as a 32-bit program makes them: by int 0x80, with the numbers of i386, and with
structures whose members have 32 bits. A 64-bit program may make them too, if all addresses are below 4 GB.

`how` says which of the two ways the call goes: by its own number, or by socketcall, as older C libraries do."""

import ctypes
import errno
import mmap
import os
import struct

# arch/x86/entry/syscalls/syscall_32.tbl
NUMBERS = {
    "read": 3,
    "write": 4,
    "close": 6,
    "socketcall": 102,
    "readv": 145,
    "writev": 146,
    "sendfile64": 239,
    "splice": 313,
    "recvmmsg": 337,
    "sendmmsg": 345,
    "sendto": 369,
    "sendmsg": 370,
    "recvfrom": 371,
    "recvmsg": 372,
    "shutdown": 373,
    "preadv2": 378,
    "pwritev2": 379,
    "recvmmsg_time64": 417,
    "io_uring_enter": 426,
}
# include/uapi/linux/net.h
SOCKETCALLS = {
    "send": 9,
    "recv": 10,
    "sendto": 11,
    "recvfrom": 12,
    "shutdown": 13,
    "sendmsg": 16,
    "recvmsg": 17,
    "recvmmsg": 19,
    "sendmmsg": 20,
}

# int call(int number, int ebx, int ecx, int edx, int esi, int edi)
CODE = bytes.fromhex(
    "53 55"  # push rbx; push rbp
    "89 f8 89 f3"  # mov eax, edi; mov ebx, esi
    "87 ca"  # xchg ecx, edx
    "44 89 c6 44 89 cf"  # mov esi, r8d; mov edi, r9d
    "31 ed cd 80"  # xor ebp, ebp; int 0x80
    "5d 5b c3"  # pop rbp; pop rbx; ret
)
SIZE = 1 << 20
MAP_32BIT = 0x40  # an address below 2 GB

# The code is at the start. Each call puts its structures and buffers after it, and reads them before the next call.
_memory = mmap.mmap(
    -1, SIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_32BIT, mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
)
_memory.write(CODE)
_base = ctypes.addressof(ctypes.c_char.from_buffer(_memory))
_call = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_uint] * 6)(_base)


class Arena:
    """The memory of one call."""

    def __init__(self) -> None:
        self._next = 4096

    def put(self, data: bytes) -> int:
        """Returns the address of a copy."""
        at = self._next
        self._next += -(-len(data) // 16) * 16
        assert self._next <= SIZE
        _memory[at : at + len(data)] = data
        return _base + at

    def words(self, *words: int) -> int:
        return self.put(b"".join(struct.pack("<I", word & 0xFFFFFFFF) for word in words))

    def vectors(self, pieces: list[bytes]) -> int:
        """An array of struct iovec."""
        addresses = [self.put(piece) if piece else 0 for piece in pieces]
        return self.words(*[word for pair in zip(addresses, map(len, pieces), strict=True) for word in pair])

    def message(self, pieces: list[bytes]) -> list[int]:
        """The words of a struct msghdr."""
        return [0, 0, self.vectors(pieces), len(pieces), 0, 0, 0]

    def messages(self, messages: list[list[bytes]]) -> int:
        """An array of struct mmsghdr."""
        return self.words(*[word for message in messages for word in (*self.message(message), 0)])


def bytes_at(address: int, length: int) -> bytes:
    return _memory[address - _base : address - _base + length]


def words_at(address: int, count: int) -> tuple[int, ...]:
    return struct.unpack(f"<{count}I", bytes_at(address, 4 * count))


def call(name: str, *arguments: int, how: bytes = b"direct", arena: Arena | None = None) -> int:
    values = [argument & 0xFFFFFFFF for argument in arguments]
    if how == b"socketcall":
        result = _call(NUMBERS["socketcall"], SOCKETCALLS[name], (arena or Arena()).words(*values), 0, 0, 0)
    else:
        result = _call(NUMBERS[name], *values, *[0] * (5 - len(values)))
    if result < 0:
        raise OSError(-result, f"{name}: {os.strerror(-result)}")
    return int(result)


def no_address(how: bytes) -> list[int]:
    """The last arguments of sendto and recvfrom. Of the sixth, `call` leaves the register 0."""
    return [0, 0] if how == b"socketcall" else [0]


def taken(address: int, count: int, length: int) -> bytes:
    """The bytes that a read of this length put into `count` vectors."""
    words = words_at(address, 2 * count)
    return b"".join(bytes_at(words[i], words[i + 1]) for i in range(0, 2 * count, 2) if words[i + 1])[:length]


# ---- receiving ----


def compat_read(fd: int, size: int) -> bytes:
    buffer = Arena().put(bytes(size))
    return bytes_at(buffer, call("read", fd, buffer, size))


def compat_recvfrom(fd: int, size: int, flags: int = 0, how: bytes = b"direct") -> bytes:
    arena = Arena()
    buffer = arena.put(bytes(size))
    return bytes_at(buffer, call("recvfrom", fd, buffer, size, flags, *no_address(how), how=how, arena=arena))


def compat_recv(fd: int, size: int, flags: int = 0) -> bytes:
    arena = Arena()
    buffer = arena.put(bytes(size))
    return bytes_at(buffer, call("recv", fd, buffer, size, flags, how=b"socketcall", arena=arena))


def compat_readv(fd: int, sizes: list[int]) -> bytes:
    vectors = Arena().vectors(list(map(bytes, sizes)))
    return taken(vectors, len(sizes), call("readv", fd, vectors, len(sizes)))


def compat_preadv2(fd: int, sizes: list[int]) -> bytes:
    vectors = Arena().vectors(list(map(bytes, sizes)))
    return taken(vectors, len(sizes), call("preadv2", fd, vectors, len(sizes), -1, -1))


def compat_recvmsg(fd: int, sizes: list[int], flags: int = 0, how: bytes = b"direct") -> bytes:
    arena = Arena()
    message = arena.message(list(map(bytes, sizes)))
    length = call("recvmsg", fd, arena.words(*message), flags, how=how, arena=arena)
    return taken(message[2], len(sizes), length)


def compat_recvmmsg(
    fd: int, sizes: list[list[int]], flags: int = 0, seconds: int = -1, how: bytes = b"direct"
) -> list[bytes]:
    arena = Arena()
    messages = arena.messages([list(map(bytes, each)) for each in sizes])
    time64 = how == b"time64"
    limit = arena.put(struct.pack("<qq" if time64 else "<ii", seconds, 0)) if seconds >= 0 else 0
    name = "recvmmsg_time64" if time64 else "recvmmsg"
    count = call(name, fd, messages, len(sizes), flags, limit, how=how, arena=arena)
    headers = [words_at(messages + 32 * index, 8) for index in range(count)]
    return [taken(header[2], header[3], header[7]) for header in headers]


# ---- sending ----


def compat_write(fd: int, data: bytes) -> int:
    return call("write", fd, Arena().put(data), len(data))


def compat_sendto(fd: int, data: bytes, flags: int = 0, how: bytes = b"direct") -> int:
    arena = Arena()
    buffer = arena.put(data)
    return call("sendto", fd, buffer, len(data), flags, *no_address(how), how=how, arena=arena)


def compat_send(fd: int, data: bytes, flags: int = 0) -> int:
    arena = Arena()
    return call("send", fd, arena.put(data), len(data), flags, how=b"socketcall", arena=arena)


def compat_writev(fd: int, pieces: list[bytes]) -> int:
    return call("writev", fd, Arena().vectors(pieces), len(pieces))


def compat_pwritev2(fd: int, pieces: list[bytes]) -> int:
    return call("pwritev2", fd, Arena().vectors(pieces), len(pieces), -1, -1)


def compat_sendmsg(fd: int, pieces: list[bytes], flags: int = 0, how: bytes = b"direct") -> int:
    arena = Arena()
    return call("sendmsg", fd, arena.words(*arena.message(pieces)), flags, how=how, arena=arena)


def compat_sendmmsg(fd: int, pieces: list[list[bytes]], flags: int = 0, how: bytes = b"direct") -> list[int]:
    arena = Arena()
    messages = arena.messages(pieces)
    count = call("sendmmsg", fd, messages, len(pieces), flags, how=how, arena=arena)
    return [words_at(messages + 32 * index, 8)[7] for index in range(count)]


def compat_sendfile(fd: int, data: bytes) -> int:
    file = os.memfd_create("data")
    try:
        os.write(file, data)
        return call("sendfile64", fd, file, Arena().put(bytes(8)), len(data))
    finally:
        os.close(file)


def compat_splice_in(fd: int, size: int) -> bytes:
    end, start = os.pipe()
    try:
        return os.read(end, call("splice", fd, 0, start, 0, size))
    finally:
        os.close(end)
        os.close(start)


# ---- ending ----


def compat_shutdown(fd: int, kind: int, how: bytes = b"direct") -> int:
    return call("shutdown", fd, kind, how=how)


def compat_close(fd: int) -> int:
    return call("close", fd)


def compat_fault() -> int:
    """A socketcall whose arguments are at an address that is not mapped. Returns the errno."""
    result = _call(NUMBERS["socketcall"], SOCKETCALLS["recv"], 16, 0, 0, 0)
    assert -result == errno.EFAULT
    return int(-result)
