# SPDX-License-Identifier: Apache-2.0
"""Headers of the PROXY protocol, which a load balancer sends as the first bytes of a connection."""

from socket import AF_INET, AF_INET6, inet_pton

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
CLIENT = "192.0.2.1"


def version_1(client: str = CLIENT, server: str = "192.0.2.2") -> bytes:
    return f"PROXY TCP{6 if ':' in client else 4} {client} {server} 1234 80\r\n".encode()


def version_2(client: str = CLIENT, server: str = "192.0.2.2", extra: bytes = b"", local: bool = False) -> bytes:
    """`extra` stands for type-length-values."""
    family = AF_INET6 if ":" in client else AF_INET
    addresses = inet_pton(family, client) + inet_pton(family, server) + b"\x04\xd2\x00\x50"
    rest = b"" if local else addresses + extra
    kind = 0 if local else 0x21 if family == AF_INET6 else 0x11
    return SIGNATURE + bytes([0x20 if local else 0x21, kind]) + len(rest).to_bytes(2, "big") + rest


HEADERS = {
    "v1": version_1(),
    "v1 TCP6": version_1("2001:db8::1", "2001:db8::2"),
    "v1 UNKNOWN": b"PROXY UNKNOWN\r\n",
    "v1 longest": b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n",
    "v2": version_2(),
    "v2 IPv6": version_2("2001:db8::1", "2001:db8::2"),
    "v2 LOCAL": version_2(local=True),
    "v2 with TLVs": version_2(extra=b"\x04\x01\x00" + b"\n\r\n\r" * 64),
}
