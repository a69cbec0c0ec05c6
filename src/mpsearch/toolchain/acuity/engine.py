"""Jobs for the engine, each kept on disk under everything that decides it, and its failures as typed errors."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpsearch import canonical
from mpsearch.errors import CandidateError, SetupError, TransientError
from mpsearch.toolchain.acuity.client import JobFailed, Worker
from mpsearch.toolchain.acuity.environment import ENGINE, Environment, lock_digest
from mpsearch.toolchain.synap import messages
from mpsearch.toolchain.synap.messages import Fault

FloatArray = NDArray[np.float32]
Say = Callable[[str], None]
VERSION = 1
"""Of what a stored result holds and how it was made."""
TIMEOUT_S = 1800.0
ATTEMPTS = 3
"""For a fatal error that was seen to pass when repeated. Each attempt has another seed: the engine's ranges come out a
little differently, and with some of them its own compiler finds a bias that does not fit."""
QUIET = {
    "PYTHONPATH": "",  # nothing of mpsearch's own environment
    # What limits threads and arenas: see worker/steady.py.
    "MALLOC_ARENA_MAX": "1",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "OMP_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "VSI_NN_LOG_LEVEL": "2",
    "VIV_VX_DEBUG_LEVEL": "1",
    "NN_EXT_SHOW_PERF": "1",  # the compiler prints its performance model
}
_BOOT = "import sys; sys.path.insert(0, sys.argv.pop(1)); from worker import main; del sys.path[0]; main.run()"


@dataclass(frozen=True, slots=True)
class Network:
    """Layers as the engine imports them.

    Attributes:
        parents: layer id -> ids of what it reads.
        outputs: ids of the output layers.
    """

    parents: Mapping[str, tuple[str, ...]]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """What the engine made of a metafile.

    Attributes:
        folder: with ``metafile.yaml``, ``quantization_info.yaml``, ``quantization_entropy.txt`` (KL divergence only)
            and ``engine.log``.
        outputs: ids of the output layers, in the order of ``outputs.npz``.
        requantized: layers of the second pass.
        compiled: None where nobody asked.
        refusal: why the compiler refused.
        operations: name of the compiled layer, kind such as ``"NN:CONVOLUTION"``, cycles of the vendor's model.
        seconds: by step.
    """

    folder: Path
    outputs: tuple[str, ...]
    requantized: int
    compiled: bool | None
    refusal: str
    operations: tuple[tuple[str, str, int], ...]
    seconds: Mapping[str, float]

    @property
    def cycles(self) -> dict[str, int]:
        """Kind of operation -> sum of cycles. The vendor's model at a nominal 1 GHz: no latency."""
        sums: dict[str, int] = {}
        for _, kind, count in self.operations:
            sums[kind] = sums.get(kind, 0) + count
        return sums

    def arrays(self) -> dict[str, FloatArray]:
        """Output layer's id -> ``[photographs, ...]`` float32."""
        with np.load(self.folder / "outputs.npz") as stored:
            return {lid: stored[str(index)] for index, lid in enumerate(self.outputs)}


def worker_of(environment: Environment, folder: Path, seed: int = 0) -> Worker:
    """A worker in the engine's environment, not yet started; whether that is whole is not asked.

    Args:
        seed: of Python's hashes, which decide in what order the engine walks its sets of layers.
    """
    return Worker(
        (str(environment.python), "-su", "-c", _BOOT, str(Path(__file__).parent)),
        folder,
        env={**QUIET, "PYTHONHASHSEED": str(seed)},
    )


@dataclass
class Engine:
    """Args:
    cache: ``built/<key>/`` and ``work/``; no space in its name.
    progress: takes short lines such as ``Quantizing... 40%``.
    make: seed -> worker, in place of :func:`worker_of`.
    """

    environment: Environment
    cache: Path
    timeout_s: float = TIMEOUT_S
    progress: Say = field(default=lambda text: None, repr=False)
    make: Callable[[int], Worker] | None = field(default=None, repr=False)
    _workers: dict[int, Worker] = field(default_factory=dict, init=False, repr=False)

    @property
    def version(self) -> str:
        """Of the engine and of all that was installed with it."""
        return f"{ENGINE}-{lock_digest()[:12]}"

    def network(self, model: Path, metafile: str) -> Network:
        """The layers of a model with the outputs of a metafile.

        Raises:
            SetupError: the engine cannot import it.
            CandidateError: not with these outputs.
        """
        folder = self._job("layers", {"model": model.name, "metafile": metafile}, metafile, model, {})
        data = json.loads((folder / "result.json").read_text())
        return Network({lid: tuple(parents) for lid, parents in data["parents"].items()}, tuple(data["outputs"]))

    def evaluate(
        self, model: Path, metafile: str, photos: Path, *, decided_by: object, names: Mapping[str, str], target: str
    ) -> Result:
        """Quantize, run, compile.

        Args:
            photos: ``.npy`` with ``[N, C, H, W]`` float32, normalised.
            decided_by: digests of calibration and evaluation photographs.
            names: ONNX node whose name an entry may use -> layer id.
            target: to compile for; empty: do not.

        Raises:
            CandidateError: the engine refuses the metafile. A refusal of the compiler is in the result.
            SetupError, TransientError: see :class:`mpsearch.toolchain.acuity.client.Worker`.
        """
        key = {"model": model.name, "metafile": metafile, "photos": decided_by, "names": dict(names), "target": target}
        fields = {"photos": str(photos), "names": dict(names), "target": target, "sdk": str(self.environment.sdk)}
        folder = self._job("evaluate", key, metafile, model, fields)
        return read_result(folder)

    def close(self) -> None:
        """End the workers; safe to call twice."""
        while self._workers:
            self._workers.popitem()[1].close()

    def _job(
        self, verb: str, decided_by: Mapping[str, Any], metafile: str, model: Path, fields: Mapping[str, Any]
    ) -> Path:
        """The folder of a finished job, made or known."""
        key = canonical.digest([VERSION, self.version, verb, decided_by])
        done = self.cache / "built" / key[:32]
        if (done / "result.json").is_file():
            return done
        for attempt in range(1, ATTEMPTS + 1):
            with contextlib.suppress(_Again):
                answer, work = self._once(verb, metafile, model, fields, attempt)
                break
        (work / "result.json").write_text(json.dumps(answer))
        done.parent.mkdir(parents=True, exist_ok=True)
        try:
            work.rename(done)
        except OSError:  # another process was faster with the same job
            if not (done / "result.json").is_file():
                raise
            shutil.rmtree(work)
        return done

    def _once(
        self, verb: str, metafile: str, model: Path, fields: Mapping[str, Any], attempt: int
    ) -> tuple[dict[str, Any], Path]:
        base = self.cache / "work"
        base.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f"{verb}-", dir=base))
        (work / "metafile.yaml").write_text(metafile)
        last, worker = attempt == ATTEMPTS, self._worker(attempt - 1)
        asked = {"model": str(model), "metafile": str(work / "metafile.yaml"), "out": str(work), **fields}
        try:
            answer = worker.call(verb, timeout_s=self.timeout_s, progress=self.progress, **asked)
        except JobFailed as error:
            said = f"Error: {error.message}" if error.kind == "Refused" else f"{error.kind}: {error.message}"
            _raise(messages.judge(1, error.log, said), work / "engine.log", last=last)
            raise  # not reached: every verdict raises
        except TransientError as error:
            raise type(error)(error.message, hint=f"{error.hint} Log: {work / 'engine.log'}".strip()) from error
        finally:
            if attempt > 1:  # one at a time: each holds the engine in memory
                self._workers.pop(attempt - 1).close()
        compiled = answer.get("compiled")
        if compiled is not None and not compiled["ok"]:
            verdict = messages.judge(1, compiled["log"], compiled["said"])
            if verdict.fault not in (Fault.CANDIDATE, Fault.UNSURE) or (verdict.fault is Fault.UNSURE and not last):
                (work / "outputs.npz").unlink(missing_ok=True)  # the log says enough
                _raise(verdict, work / "engine.log", last=last)
            answer["compiled"] = {"ok": False, "said": verdict.said}
        return answer, work

    def _worker(self, seed: int) -> Worker:
        if seed not in self._workers:
            work = self.cache / "work"
            made = self.make(seed) if self.make else worker_of(self.environment.require(), work, seed)
            self._workers[seed] = made
        return self._workers[seed]


class _Again(Exception):
    """Failed in a way that was seen to pass when repeated."""


def _raise(verdict: messages.Verdict, log: Path, *, last: bool) -> None:
    message, hint = f"acuity: {verdict.said}", f"{verdict.hint} Log: {log}".strip()
    if verdict.fault is Fault.SETUP:
        raise SetupError(message, hint=hint)
    if verdict.fault is Fault.TRANSIENT:
        raise TransientError(message, hint=hint)
    if verdict.fault is Fault.UNSURE and not last:
        raise _Again
    raise CandidateError(message, stage="build", hint=hint)


def read_result(folder: Path) -> Result:
    """A finished evaluation."""
    data = json.loads((folder / "result.json").read_text())
    compiled = data.get("compiled")
    return Result(
        folder,
        tuple(data["outputs"]),
        data["requantized"],
        None if compiled is None else compiled["ok"],
        "" if compiled is None else compiled.get("said", ""),
        tuple((name, kind, count) for name, kind, count in (compiled or {}).get("operations", ())),
        data["seconds"],
    )
