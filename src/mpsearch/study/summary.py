"""How far a study is."""

from __future__ import annotations

from dataclasses import dataclass

from mpsearch.pareto.front import Trial, front
from mpsearch.pareto.limits import Limits
from mpsearch.pareto.pick import best, gap, nearest

NONE_WITHIN_BUDGET = 4
"""Exit code of a study that finished without a candidate within its budget."""


@dataclass(frozen=True, slots=True)
class Summary:
    """State of a study after some trial.

    Attributes:
        evaluations: candidates evaluated, failed ones too, duplicates not.
        total: the number asked for.
        duplicates: proposals answered from a record.
        rejected: candidates that a cheaper rung kept from an evaluation.
        best_within_budget: lowest error within budget and limits.
        nearest: where nothing is within them, the measured trial that violates them least.
        gap: what ``nearest`` violates, in words.
        exhausted: the space has no candidate left that was not evaluated.
    """

    evaluations: int
    total: int
    failures: int
    duplicates: int
    front_size: int
    best_within_budget: Trial | None
    nearest: Trial | None
    gap: str
    exhausted: bool
    rejected: int = 0

    @property
    def exit_code(self) -> int:
        return 0 if self.best_within_budget is not None else NONE_WITHIN_BUDGET


def summarise(
    trials: tuple[Trial, ...],
    limits: Limits,
    *,
    total: int,
    duplicates: int = 0,
    rejected: int = 0,
    exhausted: bool = False,
) -> Summary:
    """Count and pick."""
    found = best(trials, limits)
    close = None if found else nearest(trials, limits)
    return Summary(
        evaluations=len(trials),
        total=total,
        failures=sum(1 for trial in trials if trial.measured is None),
        duplicates=duplicates,
        front_size=len(front(trials)),
        best_within_budget=found,
        nearest=close,
        gap=gap(close, limits) if close else "",
        exhausted=exhausted,
        rejected=rejected,
    )
