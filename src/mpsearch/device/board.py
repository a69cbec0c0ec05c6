"""``DeviceBoard``: compiled models timed, profiled and cross-checked on a device."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from mpsearch.board.drift import Check
from mpsearch.board.measure import Plan, measure
from mpsearch.device import profiling
from mpsearch.device.runtime import od, synap, tensors
from mpsearch.device.timing import Reference, Runs, Take, conditions
from mpsearch.device.work import Device, Work
from mpsearch.errors import CandidateError, SetupError
from mpsearch.evaluate import Artifact, FloatArray
from mpsearch.record import Timing
from mpsearch.toolchain.synap.driver import SynapArtifact

TIMEOUT_S = 300.0
Input = Literal["random", "photograph", "both"]
_MODEL, _PHOTOGRAPH = "model.synap", "photograph.bin"


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
        input: what is inferred: the tool's own random bytes, a photograph, or the bytes with the photograph's median
            beside them in the conditions.
        photograph: makes it, normalised ``[1, C, H, W]``; needed unless ``input`` is ``random``.
        reference: timed now and then, so that a device that became slower or faster is noticed; None watches nothing.
    """

    device: Device
    program: tuple[str, ...] = ("synap_cli",)
    plan: Plan = field(default_factory=Plan)
    timeout_s: float = TIMEOUT_S
    input: Input = "random"
    photograph: Callable[[], FloatArray] | None = None
    reference: Reference | None = None

    def time(self, artifact: Artifact) -> Timing:
        """See :meth:`mpsearch.evaluate.Board.time`."""
        model = built(artifact)
        if self.input == "random" or self.photograph is None:
            return self._time(model.model, None, {})
        try:
            return self._time(model.model, tensors.encode(self.photograph(), model.info), {})
        except CandidateError as error:
            if error.stage != "score":
                raise
            return self._time(model.model, None, {"input": "random: the model takes frames of a camera"})

    def time_model(self, model: Path) -> Timing:
        """Time any ``model.synap``, e.g. a baseline, on random bytes."""
        return self._time(model, None, {})

    def profile(self, artifact: Artifact, *, runs: int = 5) -> tuple[profiling.Layer, ...]:
        """Time layer by layer, in so many processes; the artifact must be built with ``profiling``.

        Raises:
            CandidateError, SetupError, TransientError: as :meth:`time`; SetupError where the driver gives no table.
        """
        tables = []
        with self.device.work() as work, tempfile.TemporaryDirectory() as folder:
            work.push(built(artifact).model, _MODEL)
            local = Path(folder) / "profile.txt"
            for _ in range(runs):
                argv = synap.profiling_argv(self.program, _MODEL, "profile.txt", 2)  # the first run warms up
                ran = work.run(argv, timeout_s=self.timeout_s)
                synap.parse_timing(ran.code, ran.stdout, ran.stderr, repeat=2)
                work.pull("profile.txt", local)
                tables.append(profiling.parse(local.read_text(errors="replace")))
        return profiling.merge(tables)

    def detect(
        self, artifact: Artifact, images: Sequence[Path], *, threshold: float = 0.5, iou: float = 0.45
    ) -> tuple[tuple[od.Detection, ...], ...]:
        """What the vendor's own detector finds in photographs (jpg or png); a cross-check, not a score.

        Raises:
            CandidateError, SetupError, TransientError: as :meth:`time`.
        """
        program = (*self.program[:-1], f"{self.program[-1]}_od")
        with self.device.work() as work:
            work.push(built(artifact).model, _MODEL)
            names = [f"image{index}{path.suffix.lower()}" for index, path in enumerate(images)]
            for path, name in zip(images, names, strict=True):
                work.push(path, name)
            argv = od.argv(program, _MODEL, names, threshold=threshold, iou=iou)
            ran = work.run(argv, timeout_s=self.timeout_s)
        if ran.code != 0:
            raise synap.failure(ran.code, ran.stdout, ran.stderr, stage="score")
        return od.parse(ran.stdout)

    def lengthened(self, runs: int) -> DeviceBoard:
        """See :meth:`mpsearch.board.measure.Lengthens.lengthened`."""
        least = max(self.plan.least, runs)
        return replace(self, plan=replace(self.plan, least=least, most=max(self.plan.most, least)))

    def temperature_c(self) -> float | None:
        """The board's hottest zone; None where it does not say."""
        return synap.parse_temperature(self.device.transport.run(synap.temperature_argv()).stdout)

    def close(self) -> None:
        """See :meth:`mpsearch.evaluate.Board.close`."""
        self.device.close()

    def _time(self, model: Path, photograph: bytes | None, more: dict[str, str]) -> Timing:
        if self.reference is not None:
            self.reference.prepare()
        with self.device.work() as work:
            check = (
                self.reference.check(work, lambda path: self._taker(work, path)) if self.reference else "not watched"
            )
            work.push(model, _MODEL)
            if photograph is not None:
                self._push(work, photograph)
            real = photograph is not None and self.input == "photograph"
            before_c = self.temperature_c()
            samples = measure(Runs(self._taker(work, _MODEL, _PHOTOGRAPH if real else "random"), self.plan), self.plan)
            found = {"input": "photograph" if real else "random", "reference": str(check), **more}
            if photograph is not None and not real:
                short = Plan(self.plan.warm_up, self.plan.width, self.plan.least, self.plan.least, self.plan.limit_s)
                other = measure(Runs(self._taker(work, _MODEL, _PHOTOGRAPH), short), short)
                share = other.median_ms / samples.median_ms
                found["photograph"] = f"{other.median_ms:.3f} ms, {share:.3f} of random"
            found = {**conditions(samples, before_c, self.temperature_c()), **found}
        return Timing(
            samples.ms, "board", self.device.name, interval_ms=samples.interval_ms,
            correction=check.correction if isinstance(check, Check) else 1.0, conditions=found,
        )  # fmt: skip

    def _push(self, work: Work, data: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / _PHOTOGRAPH
            local.write_bytes(data)
            work.push(local, _PHOTOGRAPH)

    def _taker(self, work: Work, model: str, source: str = "random") -> Take:
        def take(runs: int) -> tuple[float, ...]:
            argv = synap.timing_argv(self.program, model, runs, (source,))
            ran = work.run(argv, timeout_s=self.timeout_s)
            return synap.parse_timing(ran.code, ran.stdout, ran.stderr, repeat=runs).samples_ms

        return take
