"""HiGHS prints a line of its own to the process's standard output now and then ("transformNewIntegerFeasibleSolution",
scipy 1.15 to 1.17), whatever its options say; standard output is for data."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_STDOUT = 1


@contextmanager
def quiet() -> Iterator[None]:
    """Drop what C code prints meanwhile. The whole process is affected, so keep it short."""
    try:
        kept = os.dup(_STDOUT)
    except OSError:  # closed: nothing can be printed
        yield
        return
    if sys.stdout is not None:
        sys.stdout.flush()
    _flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, _STDOUT)
        yield
    finally:
        _flush()
        os.dup2(kept, _STDOUT)
        os.close(nowhere)
        os.close(kept)


def _flush() -> None:
    """C's own buffers; without a C library of that kind there are none to flush."""
    if os.name == "posix":
        ctypes.CDLL(None).fflush(None)
