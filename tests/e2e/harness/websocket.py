# SPDX-License-Identifier: Apache-2.0
"""A WebSocket client on a raw socket (RFC 6455): the test chooses every byte and how the bytes are split."""

import base64
import os

from harness.client import Address, Client, Response, request

TEXT, BINARY, CLOSE = 1, 2, 8
NO_MASK = bytes(4)  # with this mask the payload is sent as it is


def upgrade(target: str) -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    fields = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}")
    return request(target, "GET", *fields)


def header(opcode: int, length: int, mask: bytes = NO_MASK) -> bytes:
    """The header of a masked frame; a client has to mask its frames (§5.2)."""
    if length < 126:
        return bytes([0x80 | opcode, 0x80 | length]) + mask
    return bytes([0x80 | opcode, 0x80 | 126]) + length.to_bytes(2) + mask


def frame(opcode: int, payload: bytes, mask: bytes = NO_MASK) -> bytes:
    masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    return header(opcode, len(payload), mask) + masked


class WebSocket(Client):
    """A connection after its upgrade, or after the application's refusal: `answer` is the response."""

    def __init__(self, address: Address, target: str = "/ws", mptcp: bool = False) -> None:
        super().__init__(address, mptcp=mptcp)
        self.answer: Response = self.ask(upgrade(target))

    def message(self) -> tuple[int, bytes]:
        """The server's next frame: its opcode and its payload."""
        first, second = self.take(2)
        length = second if second < 126 else int.from_bytes(self.take(2))
        return first & 0xF, self.take(length)

    def echoes(self, opcode: int, payload: bytes, mask: bytes = NO_MASK) -> bool:
        self.send(frame(opcode, payload, mask))
        return self.message() == (opcode, payload)
