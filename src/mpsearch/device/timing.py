"""Inferences of a device, one after the other, and the reference model that tells whether it became slower."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from mpsearch.board.drift import Check, DriftWatch
from mpsearch.board.measure import Plan, Run, Samples
from mpsearch.device.work import Work
from mpsearch.errors import CandidateError

Take = Callable[[int], Sequence[float]]
"""Does so many runs in one process and says how many milliseconds each took."""
REFERENCE_PLAN = Plan(warm_up=3, least=9, most=60, limit_s=5.0)
_REFERENCE = "reference.synap"


class Runs:
    """One inference after the other, taken from the device in processes of many runs each."""

    def __init__(self, take: Take, plan: Plan) -> None:
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


class Reference:
    """A model that stays the same all study long, timed now and then; see :mod:`mpsearch.board.drift`.

    Args:
        build: makes the model; called once, when it is first needed.
        every_s: at least so much time lies between two looks.
    """

    def __init__(self, build: Callable[[], Path], *, every_s: float = 60.0) -> None:
        self._build = build
        self._model: Path | None = None
        self._refused = ""
        self._run: Run | None = None
        self._watch = DriftWatch(self._one, every_s=every_s, plan=REFERENCE_PLAN)

    @property
    def checks(self) -> tuple[Check, ...]:
        """What was found so far."""
        return self._watch.checks

    def prepare(self) -> None:
        """Build it. Done before a device is taken, because a conversion can last minutes.

        Raises:
            SetupError, TransientError: from the toolchain.
        """
        if self._model is None and not self._refused:
            try:
                self._model = self._build()
            except CandidateError as error:
                self._refused = error.message

    def check(self, work: Work, take: Callable[[str], Take]) -> Check | str:
        """The latest look at it, a new one where the last is too old; words where there is no reference.

        Args:
            take: path of a model on the device -> its runs.
        """
        self.prepare()
        if self._model is None:
            return f"not watched: {self._refused}"
        model, made = self._model, list[Runs]()

        def one() -> float:
            if not made:
                made.append(Runs(take(work.keep(model, _REFERENCE)), REFERENCE_PLAN))
            return made[0]()

        self._run = one
        return self._watch.check()

    def _one(self) -> float:
        if self._run is None:
            raise RuntimeError("a reference is looked at with check()")
        return self._run()


def conditions(samples: Samples, before_c: float | None, after_c: float | None) -> dict[str, str]:
    """How a timing went, for its record."""
    found = {"runs": str(len(samples.ms)), "stopped": samples.stopped}
    if before_c is not None and after_c is not None:
        found["temperature_c"] = f"{before_c:.1f} to {after_c:.1f}"
    return found
