"""Files that were copied are compared, and complaints of devices are read."""

from __future__ import annotations

import hashlib
import re
import shlex
from pathlib import Path

from mpsearch.errors import MpsearchError
from mpsearch.transport.base import ConnectionLost, DiskFull, RemoteFileError

_FULL = re.compile(r"no space left on device|disk quota exceeded|couldn't create file: .*space", re.IGNORECASE)


def digest_line(remote: str) -> str:
    """Shell that says a file's size, and its digest by what the device has."""
    quoted = shlex.quote(remote)
    return (
        f"wc -c < {quoted}; if command -v sha256sum >/dev/null; then echo sha256; sha256sum < {quoted}; "
        f"elif command -v md5sum >/dev/null; then echo md5; md5sum < {quoted}; else echo none; fi"
    )


def compare(name: str, answer: str, local: Path, remote: str) -> None:
    """Compare a pushed file with its source.

    Args:
        answer: of :func:`digest_line`.

    Raises:
        ConnectionLost: they differ: the copy broke on the way.
        RemoteFileError: the device has no sha256sum and no md5sum.
    """
    words = answer.split()
    if len(words) < 2 or not words[0].isdigit():
        raise ConnectionLost(f"{name}: {remote} is not there after it was copied")
    if words[1] == "none":
        raise RemoteFileError(f"{name}: neither sha256sum nor md5sum on the device", hint="Install busybox there.")
    size, algorithm = words[0], words[1]
    digest = words[2] if len(words) > 2 else ""
    if int(size) != local.stat().st_size or digest != _digest(local, algorithm):
        raise ConnectionLost(
            f"{name}: {remote} arrived with {size} of {local.stat().st_size} bytes, or with other bytes ({algorithm})"
        )


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def refused(name: str, action: str, complaint: str) -> MpsearchError:
    """The error for a device's complaint about a file."""
    said = " ".join(complaint.split())[-300:] or "no reason given"
    if _FULL.search(complaint):
        return DiskFull(f"{name}: {action}: the device is full: {said}", hint="Free space in its work folder.")
    return RemoteFileError(f"{name}: {action}: {said}", hint="Check the base folder in the board's file.")
