"""Local programs: started without a shell, logged, timed, and gone for certain when this returns."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mpsearch.errors import SetupError, TransientError

OnLine = Callable[[str], None]
"""Takes a line without its end; a line may end in ``\\r`` (progress) or ``\\n``."""
GRACE_S = 5.0
"""Between asking a program to stop and killing it."""
_KEEP = 4_000_000
"""Characters of each stream that are kept in memory; the log has everything."""


class ProgramMissing(SetupError):
    """The program is not installed, or cannot be executed."""


class ProgramTimeout(TransientError):
    """The program did not finish in time and was killed."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A program that ended by itself.

    Attributes:
        code: exit code; negative: the signal that ended it.
        stdout, stderr: decoded as UTF-8, broken bytes replaced.
        log: where both streams were written, if anywhere.
    """

    argv: tuple[str, ...]
    code: int
    stdout: str
    stderr: str
    seconds: float
    log: Path | None = None


def run(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
    log: Path | None = None,
    on_line: OnLine | None = None,
    on_error: OnLine | None = None,
    stdin: Path | None = None,
) -> Finished:
    """Run a program to its end.

    Args:
        env: added to this process's environment.
        timeout_s: after it the program and all that it started are stopped.
        log: receives the command line and both streams.
        on_line, on_error: take the lines of standard output and standard error, from other threads.
        stdin: a file; without one there is nothing to read.

    Raises:
        ProgramMissing: no such program, or not executable.
        ProgramTimeout: see ``timeout_s``.
        SetupError: ``cwd`` or ``stdin`` is missing.
    """
    words = tuple(str(word) for word in argv)
    if cwd is not None and not cwd.is_dir():
        raise SetupError(f"{cwd}: no such folder to run {words[0]} in")
    start = time.monotonic()
    process = _start(words, cwd, env, stdin)
    with _Log(log, words) as written:
        readers = [
            _Reader(_pipe(process.stdout), written, on_line),
            _Reader(_pipe(process.stderr), written, on_error),
        ]
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise ProgramTimeout(
                f"{words[0]} did not finish within {timeout_s:g} s and was stopped" + _see(log),
                hint="Raise the timeout if it was only slow.",
            ) from None
        finally:
            stop(process)
            for reader in readers:
                reader.join()
    return Finished(words, code, readers[0].text, readers[1].text, time.monotonic() - start, log)


def _start(
    words: tuple[str, ...], cwd: Path | None, env: Mapping[str, str] | None, stdin: Path | None
) -> subprocess.Popen[bytes]:
    try:
        with open(stdin or os.devnull, "rb") as source:
            return subprocess.Popen(
                words,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                stdin=source,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # so that what it starts can be stopped with it
            )
    except FileNotFoundError as error:
        if stdin is not None and not stdin.exists():
            raise SetupError(f"{stdin}: no such file") from error
        raise ProgramMissing(f"{words[0]}: no such program", hint="Install it, or give its full path.") from error
    except OSError as error:
        raise ProgramMissing(f"{words[0]}: cannot be started: {error.strerror}") from error


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # both are PIPE
    return stream


def stop(process: subprocess.Popen[bytes]) -> None:
    """Stop the program and its children: politely, because ``docker run`` only passes a polite signal on."""
    for number, wait_s in ((signal.SIGTERM, GRACE_S), (signal.SIGKILL, None)):
        try:
            os.killpg(process.pid, number)
        except (ProcessLookupError, PermissionError):
            break
        if process.poll() is not None and number == signal.SIGTERM:
            continue  # it had ended; what it left behind gets the second signal
        try:
            process.wait(wait_s)
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def _see(log: Path | None) -> str:
    return f"; log: {log}" if log else ""


class _Log:
    """A file that two threads write to, or nothing."""

    def __init__(self, path: Path | None, argv: tuple[str, ...]) -> None:
        self._path, self._argv, self._lock = path, argv, threading.Lock()
        self._file: IO[bytes] | None = None

    def __enter__(self) -> _Log:
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("ab")
            self._file.write(f"$ {' '.join(self._argv)}\n".encode())
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, data: bytes) -> None:
        if self._file is not None:
            with self._lock:
                self._file.write(data)
                self._file.flush()


class _Reader(threading.Thread):
    """Drains a pipe."""

    def __init__(self, pipe: IO[bytes], log: _Log, on_line: OnLine | None) -> None:
        super().__init__(daemon=True)
        self._pipe, self._log, self._on_line = pipe, log, on_line
        self._kept = bytearray()
        self.start()

    @property
    def text(self) -> str:
        return self._kept.decode(errors="replace")

    def run(self) -> None:
        line = bytearray()
        with self._pipe:
            while data := self._pipe.read1(65536):  # type: ignore[attr-defined]
                self._log.write(data)
                self._kept += data
                del self._kept[:-_KEEP]
                line = self._lines(line + data)
        if line:
            self._lines(line + b"\n")

    def _lines(self, data: bytearray) -> bytearray:
        if self._on_line is None:
            return bytearray()
        *whole, rest = data.replace(b"\r", b"\n").split(b"\n")
        for line in whole:
            if text := line.decode(errors="replace").strip():
                self._on_line(text)
        return rest


def user() -> str:
    """``uid:gid``, for containers that should write as we do."""
    return f"{os.getuid()}:{os.getgid()}"
