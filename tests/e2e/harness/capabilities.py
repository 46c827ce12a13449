# SPDX-License-Identifier: Apache-2.0
"""Capabilities by number, and a way to give them to a program file."""

import os
import struct
from pathlib import Path

# include/uapi/linux/capability.h
DAC_READ_SEARCH = 2
SETPCAP = 8
TO_ATTACH = {"+sys_ptrace": 19, "+perfmon": 38, "+bpf": 39}


def give_capabilities(program: Path, *numbers: int) -> None:
    """Does what setcap does, which is not installed everywhere. Writes a struct vfs_cap_data of revision 2, effective:
    permitted and inheritable, the lower halves before the upper."""
    bits = sum(1 << number for number in numbers)
    data = struct.pack("<5I", 0x02000001, bits & 0xFFFFFFFF, 0, bits >> 32, 0)
    os.setxattr(program, "security.capability", data)
