"""``DeviceBoard`` times compiled models on a device; ``DeviceExecutor`` runs the study's photographs there."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mpsearch.board.measure import Plan, Samples, measure
from mpsearch.device import profiling
from mpsearch.device.runtime import od, synap, tensors
from mpsearch.device.work import Device, Work
from mpsearch.errors import SetupError
from mpsearch.evaluate import Artifact, FloatArray
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.onnxio import Tail
from mpsearch.images import PhotoSet
from mpsearch.record import Timing
from mpsearch.toolchain.synap.driver import SynapArtifact

TIMEOUT_S = 300.0
GROUP = 8
"""Photographs a command: enough to hide the connection's delays, few enough to need little space on the board."""

_DUMP = r"""
program=$1 outputs=$2; shift 2
: > outputs.bin
for file in "$@"; do
  rm -f output_float_*.dat
  $program -m model.synap --dump-out "$file" > cli.log 2>&1 || { code=$?; cat cli.log; exit $code; }
  n=0
  while [ $n -lt $outputs ]; do cat output_float_$n.dat >> outputs.bin || exit 1; n=$((n + 1)); done
done
cat cli.log
"""


class _Runs:
    """One inference after the other, taken from the device in processes of many runs each."""

    def __init__(self, take: Callable[[int], Sequence[float]], plan: Plan) -> None:
        self._take, self._plan = take, plan
        self._left: list[float] = []
        self._started = False

    def __call__(self) -> float:
        if not self._left:
            if self._started:  # a new process begins with a slow run, which the plan's warm-up no longer catches
                self._left = list(self._take(self._plan.least + 1)[1:])
            else:
                self._left = list(self._take(self._plan.warm_up + self._plan.least))
            self._started = True
        return self._left.pop(0)


def built(artifact: Artifact) -> SynapArtifact:
    """Raises:
    SetupError: the artifact is no compiled model, so there is nothing to run.
    """
    if not isinstance(artifact, SynapArtifact):
        raise SetupError(f"a board runs compiled models; got {type(artifact).__name__}", hint="Use toolchain synap.")
    return artifact


@dataclass
class DeviceBoard:
    """Implements :class:`mpsearch.evaluate.Board`.

    Args:
        program: ``synap_cli`` on the device, and words before its own options.
    """

    device: Device
    program: tuple[str, ...] = ("synap_cli",)
    plan: Plan = field(default_factory=Plan)
    timeout_s: float = TIMEOUT_S

    def time(self, artifact: Artifact) -> Timing:
        """See :meth:`mpsearch.evaluate.Board.time`."""
        return self.time_model(built(artifact).model)

    def time_model(self, model: Path) -> Timing:
        """Time any ``model.synap``, e.g. a baseline."""
        with self.device.work() as work:
            work.push(model, "model.synap")
            before = self.temperature_c()
            samples = measure(_Runs(lambda runs: self._take(work, runs), self.plan), self.plan)
            after = self.temperature_c()
        return Timing(
            samples.ms, "board", self.device.name, interval_ms=samples.interval_ms,
            conditions=_conditions(samples, before, after),
        )  # fmt: skip

    def profile(self, artifact: Artifact, *, repeat: int = 5) -> tuple[profiling.Layer, ...]:
        """Time layer by layer; the artifact must be built with ``profiling``.

        Raises:
            CandidateError, SetupError, TransientError: as :meth:`time`; SetupError where the driver gives no table.
        """
        with self.device.work() as work, tempfile.TemporaryDirectory() as folder:
            work.push(built(artifact).model, "model.synap")
            argv = synap.profiling_argv(self.program, "model.synap", "profile.txt", repeat)
            ran = work.run(argv, timeout_s=self.timeout_s)
            synap.parse_timing(ran.code, ran.stdout, ran.stderr, repeat=repeat)
            local = Path(folder) / "profile.txt"
            work.pull("profile.txt", local)
            return profiling.parse(local.read_text(errors="replace"))

    def detect(
        self, artifact: Artifact, images: Sequence[Path], *, threshold: float = 0.5, iou: float = 0.45
    ) -> tuple[tuple[od.Detection, ...], ...]:
        """What the vendor's own detector finds in photographs (jpg or png); a cross-check, not a score.

        Raises:
            CandidateError, SetupError, TransientError: as :meth:`time`.
        """
        program = (*self.program[:-1], f"{self.program[-1]}_od")
        with self.device.work() as work:
            work.push(built(artifact).model, "model.synap")
            names = [f"image{index}{path.suffix.lower()}" for index, path in enumerate(images)]
            for path, name in zip(images, names, strict=True):
                work.push(path, name)
            argv = od.argv(program, "model.synap", names, threshold=threshold, iou=iou)
            ran = work.run(argv, timeout_s=self.timeout_s)
        if ran.code != 0:
            raise synap.failure(ran.code, ran.stdout, ran.stderr, stage="score")
        return od.parse(ran.stdout)

    def temperature_c(self) -> float | None:
        """The board's hottest zone; None where it does not say."""
        return synap.parse_temperature(self.device.transport.run(synap.temperature_argv()).stdout)

    def close(self) -> None:
        """See :meth:`mpsearch.evaluate.Board.close`."""
        self.device.close()

    def _take(self, work: Work, runs: int) -> tuple[float, ...]:
        argv = synap.timing_argv(self.program, "model.synap", runs)
        ran = work.run(argv, timeout_s=self.timeout_s)
        return synap.parse_timing(ran.code, ran.stdout, ran.stderr, repeat=runs).samples_ms


def _conditions(samples: Samples, before: float | None, after: float | None) -> dict[str, str]:
    found = {"runs": str(len(samples.ms)), "stopped": samples.stopped}
    if before is not None and after is not None:
        found["temperature_c"] = f"{before:.1f} to {after:.1f}"
    return found


@dataclass
class DeviceExecutor:
    """Implements :class:`mpsearch.evaluate.Executor` on the device: real inputs in, dumped floats out.

    Args:
        python: interpreter on the device; where it has SyNAP's bindings, the model is loaded once for many photographs,
            else ``synap_cli`` loads it for each.

    Photographs are letterboxed and normalised here, so that a board's score means the same as the simulator's.
    """

    device: Device
    graph: ModelGraph
    evaluation: PhotoSet
    program: tuple[str, ...] = ("synap_cli",)
    python: str | None = None
    timeout_s: float = TIMEOUT_S
    _bindings: bool | None = field(default=None, init=False)
    _pushed: dict[str, list[str]] = field(default_factory=dict, init=False, repr=False)

    def batches(self, artifact: Artifact) -> Iterator[Mapping[str, FloatArray]]:
        """See :meth:`mpsearch.evaluate.Executor.batches`.

        All photographs run before the first batch is handed out, so that the board is not held while others score.
        """
        model = built(artifact)
        tail = Tail(self.graph, artifact.candidate)
        delivered = [t for several in self.graph.delivered(artifact.candidate).values() for t in several]
        for arrays in self._run(model):
            yield tail.complete(dict(zip(delivered, arrays, strict=True)))

    def _run(self, model: SynapArtifact) -> list[list[FloatArray]]:
        done = []
        with self.device.work() as work, tempfile.TemporaryDirectory() as folder:
            inputs = self._inputs(work, model, Path(folder))
            work.push(model.model, "model.synap")
            bindings = self._has_bindings(work)
            for start in range(0, len(inputs), GROUP):
                group = inputs[start : start + GROUP]
                argv = self._argv(len(model.info.outputs), group, bindings)
                ran = work.run(argv, timeout_s=self.timeout_s)
                if ran.code != 0:
                    raise synap.failure(ran.code, ran.stdout, ran.stderr, stage="score")
                local = Path(folder) / "outputs.bin"
                work.pull("outputs.bin", local)
                done.append(tensors.decode(local.read_bytes(), model.info, synap.outputs(ran.stdout), len(group)))
        return done

    def _has_bindings(self, work: Work) -> bool:
        """Whether the board's Python can do it; the script for it is copied there."""
        if self._bindings is None:
            self._bindings = self.python is not None and work.run([self.python, "-c", "import numpy, synap"]).code == 0
        if self._bindings:
            work.push(Path(__file__).parent / "runtime" / "onboard.py", "onboard.py")
        return self._bindings

    def _argv(self, outputs: int, group: list[str], bindings: bool) -> list[str]:
        if bindings and self.python is not None:
            return [self.python, "onboard.py", "model.synap", "outputs.bin", *group]
        return ["sh", "-c", _DUMP, "mpsearch-dump", " ".join(self.program), str(outputs), *group]

    def _inputs(self, work: Work, model: SynapArtifact, folder: Path) -> list[str]:
        """Paths on the device of all photographs in the model's input type, copied there once."""
        key = "-".join(str(part) for part in (work.kept, *model.info.inputs))
        known = self._pushed.get(key)
        if known is not None and work.run(["ls", *known]).code == 0:
            return known
        name = f"set{len(self._pushed)}"
        paths = []
        for index, image in enumerate(self.evaluation.batches(1)):
            local = folder / "input.bin"
            local.write_bytes(tensors.encode(image, model.info))
            paths.append(f"{work.kept}/{name}-{index}.bin")
            work.push(local, paths[-1])
        self._pushed[key] = paths
        return paths
