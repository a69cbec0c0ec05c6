"""What a study asks of its result: the latency budget and the limits on faces missed and invented."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from mpsearch.board.stats import reading_ms
from mpsearch.errors import ConfigError
from mpsearch.record import Measured, Record

FAILED_VIOLATION = 1.0
"""What every constraint of a trial without a result is violated by: as much as a latency of twice the budget."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Constraints of a study (``docs/metric.md``, "Penalty and limits").

    Attributes:
        budget_ms: latency budget; None for a front without one.
        at: what the budget is compared with: ``median``, or a percentile such as ``p95``.
        missed, extra: largest share of the reference faces that may be missed, or found in excess.
    """

    budget_ms: float | None = None
    missed: float = 0.05
    extra: float = 0.05
    at: str = "median"

    def __post_init__(self) -> None:
        if self.budget_ms is not None and not (isfinite(self.budget_ms) and self.budget_ms > 0):
            raise ConfigError(
                f"the budget must be a positive number of milliseconds, got {self.budget_ms}",
                hint="Give e.g. --budget-ms 33, the time of one frame at 30 frames a second.",
            )
        for name in ("missed", "extra"):
            share = getattr(self, name)
            if not (isfinite(share) and share >= 0):
                raise ConfigError(f"limits.{name} must be a share of the faces, 0 or more, got {share}")

    def violations(self, record: Record) -> dict[str, float]:
        """Constraint -> how far it is violated; 0 or less is kept. The same keys for every record.

        ``latency`` is relative to the budget, ``missed`` and ``extra`` are shares of the reference faces.
        """
        names = ("latency", "missed", "extra") if self.budget_ms is not None else ("missed", "extra")
        if not isinstance(record.outcome, Measured):
            return dict.fromkeys(names, FAILED_VIOLATION)
        score = record.outcome.score
        faces = max(score.faces, 1)
        found = {"missed": score.missed / faces - self.missed, "extra": score.extra / faces - self.extra}
        if self.budget_ms is not None:
            found["latency"] = reading_ms(record.outcome.timing, self.at) / self.budget_ms - 1
        return {name: found[name] for name in names}

    def feasible(self, record: Record) -> bool:
        """Measured, and nothing violated."""
        return isinstance(record.outcome, Measured) and all(v <= 0 for v in self.violations(record).values())

    def to_json(self) -> dict[str, Any]:
        return {"budget_ms": self.budget_ms, "missed": self.missed, "extra": self.extra, "at": self.at}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Limits:
        return cls(data["budget_ms"], data["missed"], data["extra"], data.get("at", "median"))
