"""The interpreter for the engine: CPython 3.10, for which it has a wheel and old enough libraries."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from mpsearch.errors import SetupError

WAYS = (
    "uv python install 3.10",
    "pyenv install 3.10",
    "apt-get install python3.10-venv (Ubuntu 22.04; elsewhere from a package archive)",
)
_PROBE = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
_WITHIN_S = 30.0


def find(given: str | None = None, *, environ: Mapping[str, str] = os.environ) -> Path:
    """A CPython 3.10 that can make environments.

    Args:
        given: the user's own choice, a path or a program's name; nothing else is tried then.

    Raises:
        SetupError: none, with the ways to get one; or not on x86-64 Linux.
    """
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise SetupError(
            f"the engine has wheels for x86-64 Linux only, this is {platform.machine()} {platform.system()}",
            hint="Run mpsearch in a container, or leave the engine out: the simulator needs none.",
        )
    tried = []
    for path in [given] if given else _places(environ):
        found, why = _check(path)
        if found is not None:
            return found
        tried.append(f"{path}: {why}")
    raise SetupError(
        f"no Python 3.10 for the engine ({'; '.join(tried) or 'none on the PATH, from pyenv or from uv'})",
        hint=f"Get one with any of: {'; '.join(WAYS)}. Then again, or name it with --python.",
    )


def _places(environ: Mapping[str, str]) -> Iterator[str]:
    path = environ.get("PATH", "")
    if on_path := shutil.which("python3.10", path=path):
        yield on_path
    root = Path(environ.get("PYENV_ROOT") or Path(environ.get("HOME", "/")) / ".pyenv")
    versions = sorted(root.glob("versions/3.10.*"), key=lambda place: int(place.name.rpartition(".")[2] or 0))
    yield from (str(place / "bin" / "python3.10") for place in reversed(versions))
    if uv := shutil.which("uv", path=path):
        ran = _run([uv, "python", "find", "--no-project", "3.10"])
        if ran is not None and ran.returncode == 0:
            yield ran.stdout.strip()


def _check(path: str) -> tuple[Path | None, str]:
    """The interpreter, or why it will not do. A pyenv shim for a version that is not switched on ends with an error."""
    ran = _run([path, "-c", _PROBE])
    if ran is None:
        return None, "cannot be started"
    if ran.returncode != 0:
        last = (ran.stderr.strip().splitlines() or ["it ended with an error"])[-1]
        without = "it lacks venv (on Debian and Ubuntu: apt-get install python3.10-venv)"
        return None, without if "No module" in last else last
    if ran.stdout.strip() != "3.10":
        return None, f"it is Python {ran.stdout.strip()}"
    return Path(path), ""


def _run(argv: list[str]) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(argv, capture_output=True, text=True, timeout=_WITHIN_S, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return None
