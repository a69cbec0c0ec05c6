"""The seam to a device: run, push, pull, close.

The contract, for every implementation and stand-in:

* a file arrives whole and verified, under its final name, or not at all;
* a program's exit code and both streams come back; a connection that breaks on the way is a ``TransientError`` and
  never looks like a program that ended;
* a broken connection is made anew by the next call; if that fails it is a ``SetupError``;
* several threads may use one transport at a time;
* any text is a legal file name or argument, newlines included, NUL excluded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mpsearch.errors import SetupError, TransientError


class Unreachable(SetupError):
    """No connection to the device can be made: address, keys, cable, permission."""


class ConnectionLost(TransientError):
    """The connection broke; the next call makes a new one."""


class RemoteTimeout(TransientError):
    """A program on the device did not finish in time and was killed there."""


class DiskFull(SetupError):
    """The device has no space left."""


class RemoteFileError(SetupError):
    """A file cannot be written or read on the device."""


@dataclass(frozen=True, slots=True)
class Ran:
    """A program that ended on the device.

    Attributes:
        code: exit code; 128 + signal where the device's shell says so.
        stderr: empty where the connection cannot tell it from ``stdout``.
    """

    argv: tuple[str, ...]
    code: int
    stdout: str
    stderr: str

    @property
    def text(self) -> str:
        """Both streams, for messages."""
        return "\n".join(part.strip() for part in (self.stdout, self.stderr) if part.strip())


class Transport(Protocol):
    """A device's shell and files. Constructors open nothing."""

    @property
    def name(self) -> str:
        """For messages and records, e.g. ``ssh root@10.0.0.5``."""

    def run(self, argv: Sequence[str], *, cwd: str = "", timeout_s: float = 60.0) -> Ran:
        """Run a program; stdin is empty.

        Raises:
            Unreachable, ConnectionLost, RemoteTimeout.
        """

    def push(self, local: Path, remote: str) -> None:
        """Copy a file to the device; its folder must exist. Verified by size and digest.

        Raises:
            Unreachable, ConnectionLost, DiskFull, RemoteFileError.
        """

    def pull(self, remote: str, local: Path) -> None:
        """Copy a file from the device. Verified by size.

        Raises:
            Unreachable, ConnectionLost, RemoteFileError.
        """

    def close(self) -> None:
        """Safe to call twice."""
