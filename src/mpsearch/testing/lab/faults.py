"""Faults on demand: a file of names and how often each shall happen, shared by all programs of a lab."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "MPSEARCH_LAB"
"""Environment variable with the lab's folder, for its programs."""

NAMES = {
    "slow": "every program waits a second first",
    "hang": "a program does not end",
    "cut-push": "the connection breaks in the middle of a push (ssh, adb)",
    "disk-full": "the device has no space (ssh, adb)",
    "garbage": "synap_cli prints noise",
    "killed": "the program is killed by a signal",
    "npu-reserved": "another user holds the NPU",
    "refused-type": "the compiler refuses a data type",
    "wrong-exit": "the program did its work and ends with code 1",
    "throttling": "timings grow while it runs",
    "slow-npu": "the NPU runs at two thirds of its clock",
    "shared-folder": "the compiler meets another conversion's files",
    "fatal-once": "the compiler ends with its fatal line",
    "unauthorized": "the device does not know this computer's key (adb)",
    "offline": "the device does not answer (adb)",
    "wrong-types": "quantization_info.yaml has other types than asked",
    "swapped-outputs": "the compiled model has its outputs in another order",
}
"""Name -> what happens."""


@dataclass(frozen=True)
class Faults:
    """The faults of one lab. A count below 0 means: always."""

    path: Path

    @classmethod
    def of_environment(cls) -> Faults:
        return cls(Path(os.environ[VARIABLE]) / "faults.json")

    def set(self, **counts: int) -> None:
        """Replace all; names with ``_`` for ``-``."""
        wanted = {name.replace("_", "-"): count for name, count in counts.items()}
        if unknown := set(wanted) - set(NAMES):
            raise ValueError(f"no such fault: {', '.join(sorted(unknown))}")
        self._write(wanted)

    def active(self, name: str) -> bool:
        """Whether it is to happen; it stays."""
        return self._read().get(name, 0) != 0

    def take(self, name: str) -> bool:
        """Whether it is to happen now; one less from then on."""
        if not self.path.is_file():
            return False
        with self.path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            counts = self._read()
            left = counts.get(name, 0)
            if left > 0:
                self._write({**counts, name: left - 1})
            return left != 0

    def _read(self) -> dict[str, int]:
        try:
            found: dict[str, int] = json.loads(self.path.read_text())
        except FileNotFoundError:
            return {}
        return found

    def _write(self, counts: Mapping[str, int]) -> None:
        part = self.path.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(counts))
        part.replace(self.path)
