"""Files and folders of a cache that several processes fill at once: whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path


def made(folder: Path) -> Path:
    """The folder, created where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def publish(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file whole or not at all, also when several processes do."""
    handle, name = tempfile.mkstemp(dir=made(path.parent), suffix=path.suffix)
    os.close(handle)
    write(Path(name))
    os.chmod(name, 0o644)
    os.replace(name, path)


def publish_folder(work: Path, done: Path) -> None:
    """``work`` becomes ``done``; when another process was faster, its folder stays and ``work`` goes."""
    made(done.parent)
    try:
        work.rename(done)
    except OSError:
        if not done.is_dir():
            raise
        shutil.rmtree(work)


def user() -> str:
    """``uid:gid``, for containers that should write as we do."""
    return f"{os.getuid()}:{os.getgid()}"
