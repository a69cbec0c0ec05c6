"""A worker from mpsearch's side: started when it is needed, killed when it hangs, started again after it died."""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from mpsearch import process
from mpsearch.errors import MpsearchError, SetupError, TransientError
from mpsearch.toolchain.acuity.worker.channel import DIED, HELLO, PROTOCOL, Garbage, Message, decode, encode

Say = Callable[[str], None]
START_S = 180.0
"""Importing the engine takes 5 s on an idle machine."""
_LINES = 5


class WorkerCrashed(TransientError):
    """The worker ended in the middle of a job."""


class WorkerHung(TransientError):
    """The worker did not answer in time and was killed."""


class WorkerGarbled(TransientError):
    """The worker said something that is not the protocol, and was killed."""


class JobFailed(MpsearchError):
    """The engine raised; the worker lives. Who is to blame is for the caller to judge.

    Attributes:
        kind: class of the engine's error.
        log: the last lines that the engine printed.
    """

    def __init__(self, message: str, *, kind: str, log: str) -> None:
        super().__init__(message)
        self.kind, self.log = kind, log


class Worker:
    """Args:
    argv: the program; it speaks the protocol of :mod:`mpsearch.toolchain.acuity.worker.channel`.
    folder: each process gets a start folder of its own in it, because the engine builds beside where it was started.
    env: added to this process's environment.
    """

    def __init__(
        self, argv: Sequence[str], folder: Path, *, env: Mapping[str, str] | None = None, start_s: float = START_S
    ) -> None:
        self._argv, self._folder, self._env, self._start_s = tuple(argv), folder, dict(env or {}), start_s
        self._process: subprocess.Popen[bytes] | None = None
        self._home = folder
        self._lines: queue.Queue[bytes] = queue.Queue()
        self._number = 0
        self.about: Message = {}

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def call(self, verb: str, *, timeout_s: float, progress: Say = lambda text: None, **fields: object) -> Message:
        """One job; starts the worker where there is none.

        Raises:
            WorkerCrashed, WorkerHung, WorkerGarbled: the worker is gone, and the next call starts another.
            JobFailed: the engine's own failure.
            SetupError: no worker can be started.
        """
        if not self.alive:
            self.start()
        self._number += 1
        end = time.monotonic() + timeout_s
        try:
            self._say({"id": self._number, "do": verb, **fields})
            while True:
                message = self._next(end)
                if message.get("id") != self._number:
                    raise Garbage(f"an answer to {message.get('id')!r} in place of {self._number}")
                if "progress" in message:
                    progress(str(message["progress"]))
                elif "failed" in message:
                    failed = message["failed"]
                    if failed["type"] == DIED:
                        raise WorkerCrashed(f"the engine's process {failed['message']}", hint=_hint(failed["message"]))
                    raise JobFailed(failed["message"], kind=failed["type"], log=failed["log"])
                else:
                    return dict(message["done"])
        except queue.Empty:
            self.close()
            raise WorkerHung(
                f"the engine did not finish `{verb}` within {timeout_s:g} s; its worker was stopped",
                hint="The next evaluation starts another one.",
            ) from None
        except (Garbage, KeyError, TypeError, ValueError) as error:
            self.close()
            raise WorkerGarbled(f"the engine's worker broke the protocol in `{verb}`: {error}") from error
        except BaseException as error:
            if not isinstance(error, JobFailed):
                self.close()
            raise

    def start(self) -> None:
        """Raises:
        SetupError: it does not start, says something else than hello, or speaks another version of the protocol.
        """
        self.close()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._home = Path(tempfile.mkdtemp(prefix="worker-", dir=self._folder))
        log = self._home / "worker.log"
        try:
            with log.open("wb") as errors:
                self._process = subprocess.Popen(
                    self._argv,
                    cwd=self._home,
                    env={**os.environ, **self._env},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    start_new_session=True,  # so that the compilers that it starts can be stopped with it
                )
        except OSError as error:
            shutil.rmtree(self._home, ignore_errors=True)
            raise SetupError(f"{self._argv[0]}: the engine's worker cannot be started: {error.strerror}") from error
        self._lines = queue.Queue()
        assert self._process.stdout is not None  # a pipe
        threading.Thread(target=_drain, args=(self._process.stdout, self._lines), daemon=True).start()
        try:
            self.about = _greeted(self._next(time.monotonic() + self._start_s))
        except (queue.Empty, Garbage, TransientError) as error:
            last = " / ".join(log.read_text(errors="replace").strip().splitlines()[-_LINES:])
            self.close()
            what = f"no word within {self._start_s:g} s" if isinstance(error, queue.Empty) else str(error)
            raise SetupError(
                f"the engine's worker does not start: {what}" + (f"; it printed: {last}" if last else ""),
                hint="Install the engine again: mpsearch toolchain install acuity --fresh",
            ) from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the worker, with all that it started; safe to call twice."""
        if self._process is None:
            return
        found, self._process = self._process, None
        assert found.stdin is not None  # a pipe
        with contextlib.suppress(BrokenPipeError):  # it has ended already
            found.stdin.close()
        process.stop(found)
        shutil.rmtree(self._home, ignore_errors=True)

    def _say(self, message: Message) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(encode(message))
            self._process.stdin.flush()
        except (BrokenPipeError, OSError) as error:
            raise self._crashed() from error

    def _next(self, end: float) -> Message:
        """Raises:
        queue.Empty: nothing until ``end``.
        """
        line = self._lines.get(timeout=max(0.0, end - time.monotonic()))
        if not line:
            raise self._crashed()
        return decode(line)

    def _crashed(self) -> WorkerCrashed:
        assert self._process is not None
        code = self._process.wait()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        return WorkerCrashed(f"the engine's worker {how}", hint=_hint(how))


def _hint(how: str) -> str:
    return "Out of memory?" if how.endswith("signal 9") else ""


def _greeted(message: Message) -> Message:
    if message.get("hello") != HELLO:
        raise Garbage(f"{message} in place of a hello")
    if message.get("protocol") != PROTOCOL:
        raise SetupError(
            f"the engine's worker speaks version {message.get('protocol')} of the protocol, mpsearch {PROTOCOL}",
            hint="Two versions of mpsearch are mixed: install mpsearch again.",
        )
    return message


def _drain(pipe: IO[bytes], lines: queue.Queue[bytes]) -> None:
    """Lines into a queue; an empty one at the end."""
    with pipe:
        for line in pipe:
            lines.put(line)
    lines.put(b"")
