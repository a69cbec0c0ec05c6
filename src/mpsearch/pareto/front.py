"""The Pareto front of latency and error, and the area that it covers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import log10

from mpsearch.record import Measured, Record
from mpsearch.task import LANDMARKS, Task

Objectives = tuple[float, float]
"""Latency in ms, error in the unit of its task; less is better in both."""

ERROR_FLOOR = 1e-6
"""Errors below it count as that: a logarithm needs an end. A thousandth of a pixel (px^2), a pixel in a million
(1 - mIoU), noise 120 dB below its signal (ppm): float32 tells no less apart."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One evaluated candidate of a study.

    Attributes:
        number: the Optuna trial that measured it.
        origin: who proposed it: ``"uniform"``, ``"tail"``, ``"seed"`` or ``"sampler"``.
        model: whose candidate it is, where a study has several models; "" in a study of one.
    """

    number: int
    record: Record
    origin: str = "sampler"
    model: str = ""

    @property
    def label(self) -> str:
        """What messages call it."""
        return f"trial {self.number} of {self.model}" if self.model else f"trial {self.number}"

    @property
    def measured(self) -> Measured | None:
        return self.record.outcome if isinstance(self.record.outcome, Measured) else None

    @property
    def objectives(self) -> Objectives | None:
        """None for a failed trial."""
        if self.measured is None:
            return None
        return self.measured.timing.median_ms, self.measured.score.objective


def task_of(trials: Iterable[Trial]) -> Task:
    """What a study's trials minimise; landmarks where nothing was measured yet."""
    return next((t.measured.score.task for t in trials if t.measured is not None), LANDMARKS)


def log_error(error: float) -> float:
    """Decimal logarithm of an error, with its floor."""
    return log10(max(error, ERROR_FLOOR))


def dominates(a: Objectives, b: Objectives) -> bool:
    """``a`` is nowhere worse than ``b`` and somewhere better."""
    return a[0] <= b[0] and a[1] <= b[1] and a != b


def front(trials: Iterable[Trial]) -> tuple[Trial, ...]:
    """The measured trials that no other dominates, fastest first; equal ones all stay, in order of their numbers (and
    models)."""
    measured = [(trial.objectives, trial) for trial in trials if trial.objectives is not None]
    ordered = sorted(measured, key=lambda pair: (pair[0], pair[1].number))
    found: list[Trial] = []
    best: Objectives | None = None
    for objectives, trial in ordered:
        if best is None or objectives[1] < best[1] or objectives == best:
            found.append(trial)
            best = objectives
    return tuple(found)


def hypervolume(points: Sequence[Objectives], reference: Objectives) -> float:
    """Area in ms x decades of error between the points and ``reference`` (latency in ms, error).

    Points that are not better than the reference in both count nothing. Cut a front at a budget by giving the budget
    as the reference's latency.
    """
    end_ms, worst = reference[0], log_error(reference[1])
    area, level = 0.0, worst
    for latency_ms, error in sorted(points):
        if latency_ms >= end_ms:
            break
        height = log_error(error)
        if height < level:
            area += (end_ms - latency_ms) * (level - height)
            level = height
    return area
