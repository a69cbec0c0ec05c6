"""Steps of a build: each tool in a process and a folder of its own, kept by everything that decides its result."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mpsearch import files, process
from mpsearch.errors import CandidateError, MpsearchError, SetupError, TransientError
from mpsearch.toolchain.snpe import messages
from mpsearch.toolchain.snpe.tools import Tools, release, version
from mpsearch.toolchain.verdict import Fault, Verdict

Say = Callable[[str], None]
TIMEOUT_S = 1800.0
OLDEST = (2, 20)
"""16-bit activations were right on the CPU and wrong on the DSP before SNPE 2.20, as users report."""
_GET = (
    "Get the SDK from qpm.qualcomm.com and set toolkit.sdk in the board's file, or toolkit.docker to Luxonis' "
    "modelconverter-rvc4 image."
)


@dataclass(frozen=True, slots=True)
class Step:
    """One tool's part of a build.

    Attributes:
        argv: file names are relative to the step's folder, or absolute.
        makes: what it must leave there; "": it only prints.
        says: file for what it prints; "": only the log has it.
    """

    argv: tuple[str, ...]
    makes: str = ""
    says: str = ""


@dataclass
class Builds:
    """Args:
    folder: of the cache; mounted in a container.
    progress: takes short lines such as ``snpe-dlc-quant ...``.
    """

    folder: Path
    tools: Tools
    timeout_s: float = TIMEOUT_S
    progress: Say = field(default=lambda text: None, repr=False)
    _version: str = field(default="", init=False)

    @property
    def version(self) -> str:
        """Of the SDK; asked once.

        Raises:
            SetupError: no tools, or none that answer.
        """
        if not self._version:
            self._version = ask_version(self.tools, files.made(self.folder))
        return self._version

    def place(self, kind: str, key: str) -> Path:
        """Where the folder of a part is, or will be."""
        return self.folder / kind / key[:32]

    def made(self, kind: str, key: str, steps: Sequence[Step], inputs: Mapping[str, str]) -> tuple[Path, float]:
        """The folder in which ``steps`` ran, now or before, and how many seconds they took.

        Args:
            kind: name of the part of the cache.
            key: digest of everything that decides the result.
            inputs: text files that are there when the first step starts.

        Raises:
            CandidateError, SetupError, TransientError: by whose fault it is.
        """
        done = self.place(kind, key)
        if not done.is_dir():
            try:
                self._once(done, steps, inputs)
            except _Unsure:
                self._once(done, steps, inputs, last=True)
        return done, float((done / "seconds").read_text())

    def _once(self, done: Path, steps: Sequence[Step], inputs: Mapping[str, str], *, last: bool = False) -> None:
        work = Path(tempfile.mkdtemp(prefix=f"{done.parent.name}-", dir=files.made(self.folder / "work")))
        for name, text in inputs.items():
            (work / name).write_text(text, encoding="utf-8")
        seconds = 0.0
        for step in steps:
            seconds += self._run(work, step, last=last)
        commands = [list(step.argv) for step in steps]
        (work / "commands.json").write_text(json.dumps({"version": self.version, "commands": commands}, indent=2))
        (work / "seconds").write_text(f"{seconds:.3f}")
        files.publish_folder(work, done)

    def _run(self, work: Path, step: Step, *, last: bool) -> float:
        program = step.argv[0]
        self.progress(f"{program} ...")
        log = work / f"{program}.log"
        argv = self.tools.command(step.argv, cwd=work, mount=self.folder, user=process.user())
        env = self.tools.environment(os.environ)
        ran = process.run(argv, cwd=work, env=env, timeout_s=self.timeout_s, log=log)
        if ran.code != 0 or (step.makes and not (work / step.makes).is_file()):
            found = messages.judge(ran.code, ran.stdout, ran.stderr, program)
            for dlc in work.glob("*.dlc"):  # the log says enough
                dlc.unlink()
            fail(program, found, log, last=last)
        if step.says:
            (work / step.says).write_text(ran.stdout, encoding="utf-8")
        return ran.seconds

    def share(self, path: Path, write: Callable[[Path], object]) -> Path:
        """A file of the cache, written if it is not there."""
        if not path.is_file():
            files.publish(path, write)
        return path

    def share_folder(self, path: Path, fill: Callable[[Path], object]) -> Path:
        """A folder of the cache, filled if it is not there."""
        if not path.is_dir():
            part = Path(tempfile.mkdtemp(prefix=f"{path.name}-", dir=files.made(path.parent)))
            try:
                fill(part)
                part.chmod(0o755)
                files.publish_folder(part, path)
            finally:
                shutil.rmtree(part, ignore_errors=True)
        return path


class _Unsure(MpsearchError):
    """Failed in a way that may pass when repeated."""


def fail(program: str, verdict: Verdict, log: Path, *, last: bool) -> None:
    """Raise what the verdict means."""
    message = f"{program}: {verdict.said}"
    hint = f"{verdict.hint} Log: {log}".strip()
    if verdict.fault is Fault.SETUP:
        raise SetupError(message, hint=hint)
    if verdict.fault is Fault.TRANSIENT:
        raise TransientError(message, hint=hint)
    if verdict.fault is Fault.UNSURE and not last:
        raise _Unsure(message, hint=hint)
    raise CandidateError(message, stage="build", hint=hint)


def missing(tools: Tools) -> tuple[str, ...]:
    """The programs that a build needs and that are not where they should be; none are looked for in a container."""
    if tools.docker or tools.prefix:
        return ()
    return tuple(name for name in tools.needed if _here(tools, name) is None)


def _here(tools: Tools, name: str) -> str | None:
    path = tools.environment({}).get(
        "PATH", os.environ.get("PATH", "")
    )  # an SDK's programs are not looked for elsewhere
    return shutil.which(name, path=path)


def find(tools: Tools, name: str, folder: Path) -> str:
    """Where one of the programs is: in the SDK, on the PATH, in the container, or behind the command in front.

    Raises:
        SetupError: it is not there.
    """
    found: str | None
    if tools.docker or tools.prefix:
        argv = tools.whereabouts(name, cwd=folder, mount=folder.absolute(), user=process.user())
        ran = process.run(argv, env=tools.environment(os.environ), timeout_s=300)
        found, place = (ran.stdout.strip() if ran.code == 0 else ""), tools.docker or " ".join(tools.prefix)
    else:
        found, place = _here(tools, name), str(tools.sdk) if tools.sdk else "the PATH"
    if not found:
        raise SetupError(f"missing in {place}", hint=_GET)
    return found


def ask_version(tools: Tools, folder: Path) -> str:
    """The SDK's version, e.g. ``2.32.0.250228``; for ``doctor`` too.

    Raises:
        SetupError: not installed, it does not answer with a version, or it is too old.
    """
    argv = tools.command((tools.quantizer, "--version"), cwd=folder, mount=folder.absolute(), user=process.user())
    try:
        ran = process.run(argv, env=tools.environment(os.environ), timeout_s=300)
    except process.ProgramMissing as error:
        raise SetupError(f"SNPE: {error.message}", hint=_GET) from error
    except process.ProgramTimeout as error:
        raise SetupError(f"SNPE: {error.message}", hint="Try the command by hand.") from error
    found = version(ran.stdout + ran.stderr)
    if not found:
        said = "; ".join(f"{ran.stdout}\n{ran.stderr}".strip().splitlines()[-2:]) or "nothing"
        raise SetupError(f"SNPE: {' '.join(argv)} ended with {ran.code} and said {said}", hint="Try it by hand.")
    if release(found) < OLDEST:
        raise SetupError(
            f"SNPE {found} is too old: 16-bit activations are wrong on its DSP", hint="Install 2.32 or later."
        )
    return found
