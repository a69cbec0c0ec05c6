"""Files and folders that several processes may read or fill at once: whole or not at all."""

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
    """Let ``write`` fill a file that becomes ``path`` in one step, or vanishes when the writing fails.

    No reader ever sees half a file, and of several writers the last one counts. Folders are made.

    Raises:
        OSError: the folder cannot be written.
    """
    handle, name = tempfile.mkstemp(dir=made(path.parent), prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    part = Path(name)
    try:
        write(part)
        part.chmod(0o644)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def publish_folder(work: Path, done: Path) -> None:
    """``work`` becomes ``done``; when another process was faster, its folder stays and ``work`` goes."""
    made(done.parent)
    try:
        work.rename(done)
    except OSError:
        if not done.is_dir():
            raise
        shutil.rmtree(work)
