"""Make the engine's environment: interpreter, packages of the lock file, the compiler's libraries, a first start.

Every step is skipped where it is done, and the stamp is written last: what was interrupted goes on where it stopped,
and is never taken as whole.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import re
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mpsearch import process
from mpsearch.errors import SetupError
from mpsearch.toolchain.acuity import python310
from mpsearch.toolchain.acuity.engine import worker_of
from mpsearch.toolchain.acuity.environment import ENGINE, LOCK, Environment, lock_digest

Say = Callable[[str], None]
SIZE_GB = 2.2
"""While it is being installed; 1.9 afterwards."""
_PIP_S = 3600.0


def install(
    environment: Environment, *, python: str | None = None, fresh: bool = False, say: Say = lambda text: None
) -> None:
    """Make it, or go on making it.

    Args:
        python: the interpreter to use, in place of one that is looked for.
        fresh: throw away what is there.
        say: takes progress.

    Raises:
        SetupError: no Python 3.10, no room, no network, an installation by somebody else at this moment.
    """
    folder = environment.folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        if fresh or environment.state == "outdated":
            shutil.rmtree(folder, ignore_errors=True)
        if environment.state == "installed":
            say(f"acuitylite {ENGINE} is installed in {folder}")
            return
        if environment.state == "unfinished":
            say(f"going on with an unfinished installation in {folder}")
        _room(folder.parent)
        _interpreter(environment, python, say)
        _packages(environment, say)
        _libraries(environment, say)
        say("starting the engine once ...")
        about = _first_start(environment)
        said = {"lock": lock_digest(), "engine": about["engine"], "python": about["python"]}
        part = environment.stamp.with_suffix(".part")
        part.write_text(json.dumps(said))
        part.replace(environment.stamp)
        say(f"acuitylite {about['engine']} (Python {about['python']}) is installed in {folder}")


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SetupError(f"{folder}: another process is installing the engine", hint="Wait for it.") from None
        yield


def _room(folder: Path) -> None:
    free = shutil.disk_usage(folder).free / 1e9
    if free < SIZE_GB:
        raise SetupError(
            f"{folder}: {free:.1f} GB free, the engine needs {SIZE_GB}",
            hint="Free some, or name another folder in MPSEARCH_ACUITY.",
        )


def _interpreter(environment: Environment, python: str | None, say: Say) -> None:
    pip = [str(environment.python), "-m", "pip", "--version"]
    if environment.python.exists() and process.run(pip, timeout_s=60).code == 0:
        return
    found = python310.find(python)
    say(f"environment with {found}: {environment.folder}")
    ran = process.run([str(found), "-m", "venv", "--clear", str(environment.folder)], timeout_s=300)
    if ran.code != 0:
        raise SetupError(f"{found} -m venv ended with {ran.code}: {_last(ran.stdout + ran.stderr)}")


def _packages(environment: Environment, say: Say) -> None:
    """With pip, which keeps finished downloads and skips what is installed."""
    wanted = len(re.findall(r"^\w", LOCK.read_text(), re.MULTILINE))
    seen: set[str] = set()

    def on_line(line: str) -> None:
        found = re.match(r"(?:Collecting|Requirement already satisfied:) ([\w.-]+)", line)
        if found is not None and found[1] not in seen:
            seen.add(found[1])
            say(f"{len(seen)}/{wanted} {found[1]}")
        elif line.startswith("Downloading"):
            say(f"      {line}")
        elif line.startswith("Installing collected packages"):
            say("unpacking, which takes a minute ...")

    argv = [str(environment.python), "-m", "pip", "--disable-pip-version-check", "install", "--no-input"]
    argv += ["--progress-bar", "off", "--no-deps", "--require-hashes", "--requirement", str(LOCK)]
    log = environment.folder / "install.log"
    ran = process.run(argv, timeout_s=_PIP_S, on_line=on_line, log=log)
    if ran.code != 0:
        raise SetupError(
            f"pip ended with {ran.code}: {_last(ran.stderr + ran.stdout)}",
            hint=f"Without network, or behind a proxy? Run the command again when it is back. Log: {log}",
        )


def _libraries(environment: Environment, say: Say) -> None:
    """The wheel holds what compiled networks are built against as an archive."""
    if environment.sdk.is_dir():
        return
    say("unpacking the compiler's libraries ...")
    (archive,) = environment.folder.glob("lib/python3.10/site-packages/acuitylib/vsi_sdk.tar.gz")
    with tempfile.TemporaryDirectory(dir=environment.folder) as part:
        with tarfile.open(archive) as opened:
            if hasattr(tarfile, "data_filter"):
                opened.extractall(part, filter="data")
            else:  # Python 3.11.0 to 3.11.3; the archive's digest was checked with its wheel's
                opened.extractall(part)
        (Path(part) / "vsi_sdk").rename(environment.folder / "vsi_sdk")


def _first_start(environment: Environment) -> Mapping[str, Any]:
    """What the engine says of itself."""
    with tempfile.TemporaryDirectory(dir=environment.folder) as start:
        worker = worker_of(environment, Path(start))
        try:
            worker.start()
            return worker.about
        finally:
            worker.close()


def _last(text: str) -> str:
    """The lines that say what went wrong, not what pip would advise besides."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    told = [line for line in lines if line.startswith("ERROR")] or lines
    return " / ".join(told[-2:])[:400] or "it said nothing"
