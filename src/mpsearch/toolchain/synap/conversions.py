"""Conversions: one process, one start folder and one output folder each, kept by everything that decides them."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from mpsearch import process
from mpsearch.errors import CandidateError, MpsearchError, SetupError, TransientError
from mpsearch.process import user
from mpsearch.toolchain.synap import messages
from mpsearch.toolchain.synap.command import Command
from mpsearch.toolchain.verdict import Fault, Verdict

Say = Callable[[str], None]
TIMEOUT_S = 1800.0
_FILES = ("model.synap", "model_info.txt", "quantization_info.yaml", "quantization_entropy.txt")
_PROGRESS = re.compile(r"Converting\.\.\.|Quantizing\.\.\.\s*\d+%|Compiling\.\.\.|Encrypting\.\.\.")


@dataclass
class Conversions:
    """Args:
    folder: ``built/<key>/`` and ``work/``; mounted in a container.
    progress: takes short lines such as ``Quantizing... 40%``.
    """

    folder: Path
    command: Command
    timeout_s: float = TIMEOUT_S
    progress: Say = field(default=lambda text: None, repr=False)
    _version: str = field(default="", init=False)

    @property
    def version(self) -> str:
        """Of the toolkit; asked once.

        Raises:
            SetupError: no toolkit, or none that answers.
        """
        if not self._version:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._version = ask_version(self.command, self.folder)
        return self._version

    def convert(self, key: str, metafile: str, arguments: list[str]) -> tuple[Path, float]:
        """The folder of a conversion, made or known, and how many seconds it took.

        Args:
            key: digest of everything that decides it.
            arguments: of ``synap convert``; the metafile is ``metafile.yaml`` in the start folder.

        Raises:
            CandidateError, SetupError, TransientError: by whose fault it is.
        """
        done = self.folder / "built" / key[:32]
        if not (done / "model.synap").is_file():
            try:
                self._once(done, metafile, arguments)
            except _Unsure:
                self._once(done, metafile, arguments, last=True)
        return done, float((done / "seconds").read_text())

    def complaint(self, metafile: str, arguments: list[str]) -> str:
        """What the toolkit says to a metafile that it must refuse; empty where it takes it. Nothing is kept.

        Raises:
            SetupError, TransientError: the toolkit cannot be used.
        """
        work, argv = self._prepare(metafile, arguments)
        try:
            ran = process.run(argv, cwd=work, timeout_s=self.timeout_s, on_line=self._on_line)
        finally:
            shutil.rmtree(work)
        return f"{ran.stderr}\n{ran.stdout}" if ran.code else ""

    def _prepare(self, metafile: str, arguments: list[str]) -> tuple[Path, tuple[str, ...]]:
        """A start folder with the metafile, and the command line."""
        base = self.folder / "work"
        base.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix="convert-", dir=base))
        (work / "metafile.yaml").write_text(metafile)
        return work, self.command.convert(arguments, cwd=work, mount=self.folder, user=user())

    def _once(self, done: Path, metafile: str, arguments: list[str], *, last: bool = False) -> None:
        work, argv = self._prepare(metafile, arguments)
        log = work / "convert.log"
        out = work / "out"
        try:
            ran = process.run(argv, cwd=work, timeout_s=self.timeout_s, log=log, on_line=self._on_line)
        except process.ProgramTimeout:
            shutil.rmtree(out, ignore_errors=True)
            raise
        if ran.code != 0:
            shutil.rmtree(out, ignore_errors=True)  # the toolkit leaves its whole build behind; the log says enough
            _fail(messages.judge(ran.code, ran.stdout, ran.stderr), log, last=last)
        if not (out / "model.synap").is_file() or not (out / "model_info.txt").is_file():
            raise SetupError(
                f"the converter ended without error and left no model.synap and model_info.txt in {out}",
                hint=f"Is it SyNAP's? Log: {log}",
            )
        for name in _FILES:
            if (out / name).is_file():
                shutil.move(out / name, work / name)
        shutil.rmtree(out)
        (work / "seconds").write_text(f"{ran.seconds:.3f}")
        done.parent.mkdir(exist_ok=True)
        try:
            work.rename(done)
        except OSError:  # another process was faster with the same conversion
            if not (done / "model.synap").is_file():
                raise
            shutil.rmtree(work)

    def _on_line(self, line: str) -> None:
        for found in _PROGRESS.finditer(line):
            self.progress(found[0])


class _Unsure(MpsearchError):
    """Failed in a way that was seen to pass when repeated."""


def _fail(verdict: Verdict, log: Path, *, last: bool) -> None:
    message = f"synap convert: {verdict.said}"
    hint = f"{verdict.hint} Log: {log}".strip()
    if verdict.fault is Fault.SETUP:
        raise SetupError(message, hint=hint)
    if verdict.fault is Fault.TRANSIENT:
        raise TransientError(message, hint=hint)
    if verdict.fault is Fault.UNSURE and not last:
        raise _Unsure(message, hint=hint)
    raise CandidateError(message, stage="build", hint=hint)


def ask_version(command: Command, folder: Path) -> str:
    """The toolkit's version, e.g. ``3.2.0``; for ``doctor`` too.

    Raises:
        SetupError: not installed, or it does not answer with a version.
    """
    argv = command.version(mount=folder.absolute(), user=user())
    try:
        ran = process.run(argv, timeout_s=300)
    except process.ProgramMissing as error:
        raise SetupError(
            f"SyNAP toolkit: {error.message}",
            hint="Install the wheel from github.com/synaptics-synap/toolkit/releases (not PyPI's `synap`), "
            "or set toolkit.docker in the board's file.",
        ) from error
    except process.ProgramTimeout as error:
        raise SetupError(f"SyNAP toolkit: {error.message}", hint="Try the command by hand.") from error
    found = re.search(r"\d+\.\d+(?:\.\d+)?\S*", ran.stdout + ran.stderr) if ran.code == 0 else None
    if found is None:
        said = "; ".join(f"{ran.stdout}\n{ran.stderr}".strip().splitlines()[-2:])
        raise SetupError(f"SyNAP toolkit: {' '.join(argv)} ended with {ran.code}: {said}", hint="Try it by hand.")
    return found[0]
