"""Where the engine's environment is, and whether it is whole. Changes nothing."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mpsearch.errors import SetupError

ENGINE = "6.33.0"
PLACE = "MPSEARCH_ACUITY"
"""Environment variable: a folder in place of the one in the user's cache."""
LOCK = Path(__file__).parent / "requirements.txt"
INSTALL = "mpsearch toolchain install acuity"


@dataclass(frozen=True, slots=True)
class Environment:
    """Attributes:
    folder: made by :func:`mpsearch.toolchain.acuity.install.install`.
    """

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def sdk(self) -> Path:
        """What the compiler builds against."""
        return self.folder / "vsi_sdk" / "prebuilt-sdk" / "x86_64_linux"

    @property
    def stamp(self) -> Path:
        """Written last: without it the installation is not finished."""
        return self.folder / "installed.json"

    @property
    def state(self) -> str:
        """``"installed"``, ``"unfinished"``, ``"outdated"`` (made from another lock file) or ``"absent"``."""
        if not self.folder.is_dir():
            return "absent"
        try:
            made_from = json.loads(self.stamp.read_text())["lock"]
        except (OSError, ValueError, KeyError, TypeError):
            return "unfinished"
        if made_from != lock_digest():
            return "outdated"
        return "installed" if self.python.exists() and self.sdk.is_dir() else "unfinished"

    def require(self) -> Environment:
        """Raises:
        SetupError: it is not whole; says what to do.
        """
        reasons = {
            "absent": f"the engine acuitylite {ENGINE} is not installed ({self.folder} is missing)",
            "unfinished": f"{self.folder}: the engine's installation was not finished",
            "outdated": f"{self.folder}: the engine was installed for another version of mpsearch",
        }
        if (state := self.state) in reasons:
            raise SetupError(reasons[state], hint=f"Run: {INSTALL} (about 2 GB; it goes on where it stopped)")
        return self


def find(environ: Mapping[str, str] = os.environ) -> Environment:
    """The user's environment, installed or not."""
    if place := environ.get(PLACE):
        return Environment(Path(place).expanduser().absolute())
    cache = Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Environment(cache.absolute() / "mpsearch" / f"acuity-{ENGINE}")


def lock_digest() -> str:
    """sha256 of the lock file."""
    return hashlib.sha256(LOCK.read_bytes()).hexdigest()
