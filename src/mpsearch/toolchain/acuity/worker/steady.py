"""The same job, the same bits.

acuitylite 6.33.0 repeats itself to about 2 % in landmark error only: sums in float32 are ordered by where operands lie
in memory, and one rounding edge crossed in a deep 8-bit network changes about half of what follows. With addresses,
hashes and threads fixed, runs repeated in one folder are equal to the last bit (measured 2026-11-22). Other paths or
environments still move addresses, by which the engine orders sets of its own objects.
"""

from __future__ import annotations

import ctypes
import os
import sys

_ADDR_NO_RANDOMIZE = 0x0040000
_ASK = 0xFFFFFFFF


def steady() -> None:
    """Start this program again without address randomisation; where the system forbids it (some containers), go on."""
    libc = ctypes.CDLL(None)
    now = libc.personality(_ASK)
    if now == -1 or now & _ADDR_NO_RANDOMIZE or libc.personality(now | _ADDR_NO_RANDOMIZE) == -1:
        return
    if libc.personality(_ASK) & _ADDR_NO_RANDOMIZE:
        os.execv(sys.executable, sys.orig_argv)
