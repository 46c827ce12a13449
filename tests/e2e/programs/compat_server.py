# SPDX-License-Identifier: Apache-2.0
"""A server that reads with the system calls of a 32-bit program (int 0x80), one request for each connection. It prints
its port."""

import ctypes
import mmap
import socket

# int receive(int fd, void *buffer, int size). There recvfrom is number 371, and its arguments are in ebx, ecx, edx,
# esi, edi and ebp.
CODE = bytes.fromhex(
    "53 55"  # push rbx; push rbp
    "89 fb 89 f1"  # mov ebx, edi; mov ecx, esi (edx is the third argument in both)
    "31 f6 31 ff 31 ed"  # xor esi, esi; xor edi, edi; xor ebp, ebp
    "b8 73 01 00 00 cd 80"  # mov eax, 371; int 0x80
    "5d 5b c3"  # pop rbp; pop rbx; ret
)
MAP_32BIT = 0x40  # its addresses have 32 bits

pages = mmap.mmap(
    -1, 8192, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_32BIT, mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
)
pages.write(CODE)
code = ctypes.addressof(ctypes.c_char.from_buffer(pages))
receive = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_uint, ctypes.c_int)(code)

with socket.create_server(("127.0.0.1", 0)) as listener:
    print(listener.getsockname()[1], flush=True)
    while True:
        connection, _ = listener.accept()
        with connection:
            length = receive(connection.fileno(), code + 4096, 4096)
            assert pages[4096 : 4096 + length].startswith(b"GET "), length
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
