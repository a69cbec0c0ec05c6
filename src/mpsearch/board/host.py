"""This computer as a board: onnxruntime on its CPU, timed by the plan, with a reference against drift."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from mpsearch.board.drift import DriftWatch
from mpsearch.board.measure import Plan, Run, Samples, Verdict, compare, measure
from mpsearch.errors import CandidateError, ConfigError
from mpsearch.evaluate import Artifact
from mpsearch.record import Timing
from mpsearch.toolchain.host import kernels
from mpsearch.toolchain.host.build import model_of
from mpsearch.toolchain.host.runtime import Runtime, is_integer

NAME = "host"
_DTYPES = {
    "tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8, "tensor(int8)": np.int8, "tensor(int32)": np.int32, "tensor(int64)": np.int64,
}  # fmt: skip


class HostBoard:
    """Implements :class:`~mpsearch.evaluate.Board`.

    Args:
        reference: a model file that is timed now and then; None watches nothing and says so.
        image: what is timed, ``[1, C, H, W]``; None takes numbers from a fixed generator.
        clock: seconds; both the runs and the limits are read from it.
    """

    def __init__(
        self,
        *,
        runtime: Runtime | None = None,
        plan: Plan | None = None,
        reference: Path | None = None,
        every_s: float = 60.0,
        image: NDArray[np.float32] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._runtime, self._plan = runtime or Runtime(), plan or Plan()
        self._image, self._clock = image, clock
        self._watch = None
        if reference is not None:
            self._watch = DriftWatch(_Later(lambda: self._run(reference)), every_s=every_s, clock=clock)

    @property
    def watch(self) -> DriftWatch | None:
        """What the reference said so far."""
        return self._watch

    def time(self, artifact: Artifact) -> Timing:
        """See :meth:`mpsearch.evaluate.Board.time`.

        Raises:
            CandidateError: onnxruntime does not load or run it.
            SetupError: an artifact that was not built for the host.
        """
        built = model_of(artifact)
        return self._time(built.path, {"kernels": kernels.count(built.kernels)} if built.kernels else {})

    def time_file(self, path: Path) -> Timing:
        """A model as it is, quantized by whomever.

        Raises:
            CandidateError: onnxruntime does not load or run it.
            ConfigError: an input without a fixed shape.
        """
        return self._time(path, {"kernels": _kernels_of(path, self._runtime)})

    def compare(self, first: Artifact, second: Artifact) -> Verdict:
        """Time two candidates in turns; see :func:`mpsearch.board.measure.compare`."""
        with self._runtime.pinned():
            a, b = self._run(model_of(first).path), self._run(model_of(second).path)
            return compare(a, b, self._plan, clock=self._clock)

    def close(self) -> None:
        """Nothing is held."""

    def _time(self, path: Path, more: Mapping[str, str]) -> Timing:
        with self._runtime.pinned():
            check = self._watch.check() if self._watch else None
            samples = measure(self._run(path), self._plan, clock=self._clock)
        conditions = {
            **self._runtime.describe(),
            **plan_text(self._plan, samples),
            "reference": str(check) if check else "not watched",
            **more,
        }
        return Timing(
            samples.ms, "host", NAME, interval_ms=samples.interval_ms,
            correction=check.correction if check else 1.0, conditions=conditions,
        )  # fmt: skip

    def _run(self, path: Path) -> Run:
        session = self._runtime.session(path)
        feed = inputs_of(session, self._image)

        def run() -> float:
            start = self._clock()
            try:
                session.run(None, feed)
            except Exception as error:  # onnxruntime raises pybind exceptions of many kinds
                raise CandidateError(f"onnxruntime cannot run {path.name}: {error}", stage="time") from error
            return (self._clock() - start) * 1e3

        return run


class _Later:
    """A run that is prepared when it is first wanted: constructors load no models."""

    def __init__(self, prepare: Callable[[], Run]) -> None:
        self._prepare = prepare
        self._run: Run | None = None

    def __call__(self) -> float:
        self._run = self._run or self._prepare()
        return self._run()


def time_model(path: Path, *, runtime: Runtime | None = None, plan: Plan | None = None) -> Timing:
    """Time any ONNX file on this computer, float or prequantized, as it is.

    Raises:
        CandidateError: onnxruntime does not load or run it.
        ConfigError: no such file, or an input without a fixed shape.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: no such file")
    return HostBoard(runtime=runtime or Runtime.default(), plan=plan).time_file(path)


def plan_text(plan: Plan, samples: Samples) -> dict[str, str]:
    """A plan and how it ended, for the conditions of a timing."""
    why = {"narrow": "the interval was narrow enough", "runs": "all runs were made", "time": "the time was over"}
    return {
        "plan": f"{plan.warm_up} runs dropped, {plan.least} to {plan.most} runs, {plan.limit_s:g} s, "
        f"interval {plan.width:.1%} of the median",
        "stopped": why[samples.stopped],
    }


def inputs_of(session: ort.InferenceSession, image: NDArray[np.float32] | None) -> dict[str, NDArray[Any]]:
    """Something to run: the image where it fits the only input, else fixed random numbers.

    Raises:
        ConfigError: an input without a fixed shape, or of a type that is no number.
    """
    wanted = session.get_inputs()
    if image is not None and len(wanted) == 1 and list(wanted[0].shape) == list(image.shape):
        return {wanted[0].name: image}
    rng, feed = np.random.default_rng(0), {}
    for value in wanted:
        if value.type not in _DTYPES or any(not isinstance(size, int) for size in value.shape):
            raise ConfigError(
                f"input {value.name!r} is {value.type} {value.shape}: a timing needs numbers of a fixed shape",
                hint="Export the model with fixed sizes.",
            )
        whole = np.issubdtype(_DTYPES[value.type], np.integer)
        numbers = rng.integers(0, 127, value.shape) if whole else rng.random(value.shape)
        feed[value.name] = numbers.astype(_DTYPES[value.type])
    return feed


def _kernels_of(path: Path, runtime: Runtime) -> str:
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        optimised = Path(scratch) / "optimised.onnx"
        runtime.session(path, optimised=optimised)
        nodes = onnx.load(str(optimised)).graph.node
    return f"{sum(map(is_integer, nodes))} integer kernels of {len(nodes)} nodes"
