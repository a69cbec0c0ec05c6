"""``SnpeBoard``: DLCs timed and profiled on a device."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from mpsearch.board.drift import Check, DriftWatch
from mpsearch.board.measure import Plan, Samples, measure
from mpsearch.device.snpe import commands, replies, sensors, tensors
from mpsearch.device.snpe.commands import How
from mpsearch.device.work import Device, Work
from mpsearch.errors import CandidateError, SetupError
from mpsearch.evaluate import Artifact, FloatArray
from mpsearch.record import Timing
from mpsearch.toolchain.snpe import diagview
from mpsearch.toolchain.snpe.artifact import SnpeArtifact
from mpsearch.toolchain.snpe.dlcinfo import DlcTensor

TIMEOUT_S = 300.0
PLAN = Plan(warm_up=1, least=6, most=20, limit_s=60.0)
"""Each sample is a mean over ``How.duration_s`` already."""
REFERENCE_PLAN = Plan(warm_up=1, least=6, most=6)
Diagview = Callable[[Path], str]
"""Log of ``snpe-net-run`` -> what the host's ``snpe-diagview`` makes of it, as CSV."""


def built(artifact: Artifact) -> SnpeArtifact:
    """Raises:
    SetupError: the artifact is no DLC, so there is nothing to run.
    """
    if not isinstance(artifact, SnpeArtifact):
        raise SetupError(f"an SNPE board runs DLCs; got {type(artifact).__name__}", hint="Use toolchain snpe.")
    return artifact


@dataclass
class SnpeBoard:
    """Implements :class:`mpsearch.evaluate.Board`.

    Args:
        photograph: makes one, normalised ``[1, C, H, W]``, for the programs that need an input.
        reader: reads the device's profiling log; None cannot.
        reference: makes a model that stays the same all study long; timed every ``every_s`` seconds, so that a device
            that became slower or faster is noticed. None watches nothing.
    """

    device: Device
    how: How
    photograph: Callable[[], FloatArray]
    plan: Plan = PLAN
    timeout_s: float = TIMEOUT_S
    reader: Diagview | None = None
    reference: Callable[[], SnpeArtifact] | None = None
    every_s: float = 300.0
    _version: str = field(default="", init=False)
    _watch: DriftWatch | None = field(default=None, init=False, repr=False)
    _look: Callable[[], float] = field(default=lambda: 1.0, init=False, repr=False)

    def time(self, artifact: Artifact) -> Timing:
        """See :meth:`mpsearch.evaluate.Board.time`. A sample is the mean time between results of one measurement."""
        model = built(artifact)
        reference = self._built_reference()  # before the device is taken
        with self.device.work() as work:
            work.push(model.dlc, commands.MODEL)
            if self.how.measure == "parallel":
                self._push_input(work, replace(model.info.inputs[0], type="Float_32"), count=self.how.group)
            check = self._check(work, reference)
            before_c = self._temperature_c(work)
            clocks = work.run(sensors.clock_argv(self.how.sysmon, clear=True)).code == 0
            power = self._power_w(work, model)
            samples = measure(lambda: self._sample(work, model, self._timing(model)), self.plan)
            mhz = sensors.clock_mhz(work.run(sensors.clock_argv(self.how.sysmon)).stdout) if clocks else None
            found = self._conditions(model, samples, before_c, self._temperature_c(work))
        found["snpe"] = self._snpe_version()
        found |= {f"power_{name}_w": f"{value:.3g}" for name, value in power.items()}
        if mhz is not None:
            found["dsp_mhz"] = f"{mhz:.0f}"
        found["reference"] = str(check or "not watched")
        return Timing(
            samples.ms, "board", self.device.name, interval_ms=samples.interval_ms,
            correction=check.correction if check else 1.0, conditions=found, mean_s=self._mean_s(samples),
        )  # fmt: skip

    def profile(self, artifact: Artifact, *, runs: int = 5) -> diagview.Diagview:
        """Time layer by layer, over so many inferences.

        Raises:
            CandidateError, SetupError, TransientError: as :meth:`time`; SetupError without ``snpe-diagview``.
        """
        if self.reader is None:
            raise SetupError("snpe-diagview is needed on this computer", hint="Set toolkit.sdk in the board's file.")
        model = built(artifact)
        with self.device.work() as work, tempfile.TemporaryDirectory() as folder:
            work.push(model.dlc, commands.MODEL)
            self._push_input(work, model.info.inputs[0], count=runs)
            argv = commands.net_run(self.how, model.runtime, model.perf_profile, profiling="detailed")
            ran = work.run(argv, timeout_s=self.timeout_s)
            if ran.code != 0:
                raise replies.failure(commands.NET_RUN, ran.code, ran.stdout, ran.stderr, stage="time")
            # SNPEDiag.log on RVC4, SNPEDiag_0.log in the documents.
            logs = work.run(["sh", "-c", f"ls {commands.OUTPUT}/SNPEDiag*.log 2>/dev/null || true"]).stdout.split()
            if not logs:
                raise SetupError(f"{self.device.name}: snpe-net-run left no SNPEDiag*.log")
            local = Path(folder) / "SNPEDiag.log"
            work.pull(logs[0], local)
            return diagview.parse(self.reader(local))

    def _snpe_version(self) -> str:
        """Of the programs on the board; asked once. Results of two versions were seen to differ."""
        if not self._version:
            ran = self.device.transport.run(commands.version(self.how))
            self._version = replies.version(ran.stdout) or "unknown"
        return self._version

    def close(self) -> None:
        """See :meth:`mpsearch.evaluate.Board.close`."""
        self.device.close()

    def _built_reference(self) -> SnpeArtifact | None:
        """None where nothing is watched, also because the tools refuse the reference."""
        if self.reference is None:
            return None
        try:
            return self.reference()
        except CandidateError:
            self.reference = None
            return None

    def _check(self, work: Work, reference: SnpeArtifact | None) -> Check | None:
        """How fast the reference is now, a new look where the last is too old."""
        if reference is None:
            return None

        argv = self._timing(reference, work.keep(reference.dlc, "reference.dlc"))
        self._look = lambda: self._sample(work, reference, argv)
        if self._watch is None:
            self._watch = DriftWatch(lambda: self._look(), every_s=self.every_s, plan=REFERENCE_PLAN)
        return self._watch.check()

    def _timing(self, model: SnpeArtifact, name: str = commands.MODEL) -> tuple[str, ...]:
        return commands.timing(self.how, model.runtime, model.perf_profile, model=name)

    def _power_w(self, work: Work, model: SnpeArtifact) -> dict[str, float]:
        """Sensor -> W, from a measurement of its own whose time does not count."""
        if work.run(sensors.power_argv(self.how.sys)).code != 0:
            return {}
        argv = ("sh", "-c", commands.WATCH, "mpsearch-watch", self.how.sys, *self._timing(model))
        return sensors.power_w(work.run(argv, timeout_s=self.timeout_s).stderr)

    def _sample(self, work: Work, model: SnpeArtifact, argv: tuple[str, ...]) -> float:
        """One measurement: ms between results."""
        ran = work.run(argv, timeout_s=self.timeout_s)
        how, code = self.how, ran.code
        if how.measure == "parallel":
            return 1000 / replies.parallel(code, ran.stdout, ran.stderr, runtime=model.runtime)
        if code == 0 and "Total throughput" not in ran.stdout:
            text = work.run(["cat", commands.REPORT]).stdout
            return 1000 / replies.report(text, threads=how.threads, runtime=model.runtime)
        rate = replies.throughput(code, ran.stdout, ran.stderr, threads=how.threads, runtime=model.runtime)
        return 1000 / rate

    def _push_input(self, work: Work, tensor: DlcTensor, *, count: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / "file"
            local.write_bytes(tensors.encode(self.photograph(), tensor))
            work.push(local, "input.raw")
            local.write_text(commands.input_list(["input.raw"] * count))
            work.push(local, commands.INPUTS)

    def _temperature_c(self, work: Work) -> float | None:
        return sensors.temperature_c(work.run(sensors.temperature_argv(self.how.sys)).stdout)

    def _mean_s(self, samples: Samples) -> float:
        """``snpe-throughput-net-run`` is told how long it works, ``snpe-parallel-run`` how often."""
        how = self.how
        return how.duration_s if how.measure == "throughput" else how.group * samples.median_ms / 1000

    def _conditions(
        self, model: SnpeArtifact, samples: Samples, before_c: float | None, after_c: float | None
    ) -> dict[str, str]:
        found = {
            "samples": f"{len(samples.ms)} means over {self._mean_s(samples):.2g} s",
            "stopped": samples.stopped,
            "tool": f"{commands.TIMERS[self.how.measure]}, {self.how.threads} thread(s)",
            "runtime": model.runtime,
            "perf_profile": model.perf_profile,
        }
        if before_c is not None and after_c is not None:
            found["temperature_c"] = f"{before_c:.1f} to {after_c:.1f}"
        return found
