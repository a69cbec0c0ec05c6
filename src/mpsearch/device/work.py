"""A device while it is ours: the lease, a folder for one trial, and nothing left behind."""

from __future__ import annotations

import shlex
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from mpsearch.device.lease import Lease, dead
from mpsearch.errors import ConfigError, MpsearchError
from mpsearch.transport.base import Ran, Transport
from mpsearch.transport.verify import refused

_KEPT = "kept-"


@dataclass(frozen=True, slots=True)
class Work:
    """A trial's folder on the device.

    Attributes:
        folder: removed at the end.
        kept: a folder for files that several trials need; removed when the device is closed.
    """

    transport: Transport
    lease: Lease
    folder: str
    kept: str

    def run(self, argv: Sequence[str], *, timeout_s: float = 120.0) -> Ran:
        """Run in the folder, alone on the device from beginning to end.

        Raises:
            LeaseLost: another had the device meanwhile: what the program said is worth nothing.
        """
        self.lease.renew()
        ran = self.transport.run(argv, cwd=self.folder, timeout_s=timeout_s)
        self.lease.renew()
        return ran

    def push(self, local: Path, name: str) -> None:
        """Copy into the folder; a name that begins with ``/`` is a path of its own."""
        self.transport.push(local, name if name.startswith("/") else f"{self.folder}/{name}")

    def keep(self, local: Path, name: str) -> str:
        """Copy where later trials find it, unless it is there; returns its path on the device."""
        path = f"{self.kept}/{name}"
        if self.transport.run(["ls", path]).code != 0:
            self.transport.push(local, path)
        return path

    def pull(self, name: str, local: Path) -> None:
        """Copy out of the folder."""
        self.transport.pull(f"{self.folder}/{name}", local)


@dataclass
class Device:
    """A board that is reached through a transport.

    Args:
        base: absolute folder on the device; made if needed, and the only place that is written to.
    """

    name: str
    transport: Transport
    base: str
    lease: Lease
    _used: bool = field(default=False, init=False)
    _tidy: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        if not self.base.startswith("/") or self.base.rstrip("/") == "":
            raise ConfigError(f"board {self.name}: base {self.base!r} must be an absolute folder, and not /")
        self.base = self.base.rstrip("/")

    @contextmanager
    def work(self) -> Iterator[Work]:
        """Hold the device, with an empty folder.

        Raises:
            Unreachable, ConnectionLost, RemoteFileError, TransientError: from transport and lease.
        """
        if not self._used:
            self._make(self.base)
            self._used = True
        folder = f"{self.base}/trial-{uuid.uuid4().hex[:12]}"
        kept = f"{self.base}/{_KEPT}{self.lease.holder}"
        with self.lease.held():
            try:
                if not self._tidy:
                    self._remove_what_the_dead_kept()
                # Whoever holds the lease is alone: older trials' folders are of holders that died.
                self._make(f"{folder}", kept, before=f"rm -rf {shlex.quote(self.base)}/trial-*")
                yield Work(self.transport, self.lease, folder, kept)
            finally:
                with suppress(MpsearchError):  # a broken connection leaves the folder to the next holder
                    self.transport.run(["rm", "-rf", folder])

    def close(self) -> None:
        """Remove what was kept and hang up; safe to call twice."""
        if self._used:
            self._used = False
            with suppress(MpsearchError):
                self.transport.run(["rm", "-rf", f"{self.base}/{_KEPT}{self.lease.holder}"])
        self.transport.close()

    def _remove_what_the_dead_kept(self) -> None:
        """Of this computer's dead processes at once, of others after a day."""
        old = ["find", self.base, "-maxdepth", "1", "-name", f"{_KEPT}*", "-mtime", "+0"]
        listed = self.transport.run(["ls", "-1", self.base]).stdout.split("\n")
        gone = [f"{self.base}/{name}" for name in listed if name.startswith(_KEPT) and dead(name.removeprefix(_KEPT))]
        gone += [path for path in self.transport.run(old).stdout.split("\n") if path.startswith(self.base)]
        if gone:
            self.transport.run(["rm", "-rf", *gone])
        self._tidy = True

    def _make(self, *folders: str, before: str = ":") -> None:
        line = f"{before}; mkdir -p {shlex.join(folders)}"
        ran = self.transport.run(["sh", "-c", line])
        if ran.code != 0:
            raise refused(self.transport.name, f"making {folders[0]}", ran.text)
