"""Which process runs a trial, so that the trials of killed ones can be told from those that are still going on."""

from __future__ import annotations

import datetime
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOREIGN_STALE_AFTER = datetime.timedelta(hours=12)
"""A running trial of another machine is given up after this: nothing here can ask whether it still runs."""
UNOWNED_STALE_AFTER = datetime.timedelta(minutes=1)
"""A trial gets its owner right after it is made; one without was cut off in between."""


def me() -> dict[str, Any]:
    """This process, as stored with its trials."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "started": _started(os.getpid())}


def is_stale(owner: Mapping[str, Any] | None, begun: datetime.datetime | None) -> bool:
    """Is the process behind a running trial gone?

    Args:
        owner: as :func:`me` gave it, None when the trial has none.
        begun: when the trial began, local time.
    """
    age = datetime.datetime.now() - begun if begun is not None else datetime.timedelta()
    if owner is None:
        return age > UNOWNED_STALE_AFTER
    if owner["host"] != socket.gethostname():
        return age > FOREIGN_STALE_AFTER
    if not _alive(owner["pid"]):
        return True
    return bool(_started(owner["pid"]) != owner["started"])


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _started(pid: int) -> str | None:
    """When a process began, in the kernel's clock ticks: a number used again is another process. Linux only."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]
