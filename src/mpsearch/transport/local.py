"""This computer as a device."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from mpsearch import process
from mpsearch.transport.base import Ran, RemoteTimeout
from mpsearch.transport.verify import refused


class LocalTransport:
    """Implements :class:`~mpsearch.transport.base.Transport` without a network."""

    name = "local"

    def run(self, argv: Sequence[str], *, cwd: str = "", timeout_s: float = 60.0) -> Ran:
        try:
            done = process.run(argv, cwd=Path(cwd) if cwd else None, timeout_s=timeout_s)
        except process.ProgramTimeout as error:
            raise RemoteTimeout(f"{self.name}: {error.message}", hint=error.hint) from error
        except process.ProgramMissing as error:
            return Ran(tuple(argv), 127, "", error.message)  # as a shell would say it
        return Ran(done.argv, done.code if done.code >= 0 else 128 - done.code, done.stdout, done.stderr)

    def push(self, local: Path, remote: str) -> None:
        _copy(local, Path(remote), f"writing {remote}")

    def pull(self, remote: str, local: Path) -> None:
        _copy(Path(remote), local, f"reading {remote}")

    def close(self) -> None:
        """Nothing is held."""


def _copy(source: Path, target: Path, action: str) -> None:
    part = target.with_name(target.name + ".part")
    try:
        shutil.copyfile(source, part)
        part.replace(target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise refused("local", action, str(error)) from error
