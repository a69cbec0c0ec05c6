"""A stored study for reading: the records of its model, or of all its models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mpsearch.config import Study
from mpsearch.errors import ConfigError
from mpsearch.pareto.front import Trial
from mpsearch.pareto.limits import Limits
from mpsearch.study.folder import storage_url, stored_name
from mpsearch.study.ledger import Ledger

ASKED_TOGETHER = "asked_together"
"""Key of the number of trials that was asked of all models, with each of them."""


@dataclass(frozen=True)
class Part:
    """One model and its ledger."""

    study: Study
    ledger: Ledger

    @property
    def trials(self) -> tuple[Trial, ...]:
        """Evaluated candidates; with the model's name, where it is one of several."""
        return self._named(self.ledger.trials)

    @property
    def rejected(self) -> tuple[Trial, ...]:
        """Candidates that a cheaper rung kept from an evaluation."""
        return self._named(self.ledger.rejected)

    def _named(self, trials: tuple[Trial, ...]) -> tuple[Trial, ...]:
        name = self.study.member
        return tuple(replace(trial, model=name) for trial in trials) if name else trials


@dataclass(frozen=True)
class Stored:
    """Attributes:
    name: of the study in its storage.
    parts: one a model, in the order of the file; those that were never run are left out.
    absent: names of those.
    limits: to read the records by.
    """

    name: str
    parts: tuple[Part, ...]
    absent: tuple[str, ...]
    limits: Limits

    @property
    def several(self) -> bool:
        """Whether trials of different models stand side by side."""
        return len(self.parts) + len(self.absent) > 1

    @property
    def trials(self) -> tuple[Trial, ...]:
        """Of all models, one model after the other."""
        return tuple(trial for part in self.parts for trial in part.trials)

    @property
    def rejected(self) -> tuple[Trial, ...]:
        """Candidates of all models that were no trials, because a cheaper rung kept them from an evaluation."""
        return tuple(trial for part in self.parts for trial in part.rejected)

    @property
    def duplicates(self) -> int:
        return sum(part.ledger.duplicates for part in self.parts)

    @property
    def scales(self) -> tuple[str, ...]:
        """How latencies of different boards are compared, where there are several: a line a model."""
        known = [part for part in self.parts if len(part.ledger.scale.paces) > 1]
        return tuple(f"{part.study.member}{': ' * self.several}{part.ledger.scale}" for part in known)

    @property
    def asked(self) -> int:
        """How many trials were asked for."""
        key = ASKED_TOGETHER if self.several else "asked"
        found = [int(part.ledger.study.user_attrs.get(key, 0)) for part in self.parts]
        return max(found, default=0) or self.parts[0].study.trials

    def part_of(self, trial: Trial) -> Part:
        """Whose trial it is."""
        return next(part for part in self.parts if part.study.member == trial.model or not self.several)


def open_all(
    studies: Sequence[Study],
    storage: str | None,
    target: str | None = None,
    toolchain: str = "simulator",
    budget_ms: float | None = None,
) -> Stored:
    """The stored study of one model or of several.

    Raises:
        ConfigError: none of them is stored, or the storage cannot be used.
    """
    parts, absent = list[Part](), list[Study]()
    for study in studies:
        try:
            ledger = Ledger.open(storage_url(study, storage), stored_name(study, target, toolchain))
        except ConfigError:
            if study is studies[-1] and not parts:
                raise
            absent.append(study)
            continue
        parts.append(Part(study, ledger))
    first = parts[0]
    study, kept = first.study, first.ledger.limits
    budget = kept.budget_ms if budget_ms is None else budget_ms
    limits = Limits(budget, study.limits.missed, study.limits.extra, study.budget.at)
    name = first.ledger.name
    if len(studies) > 1:
        name = stored_name(study, target, toolchain).replace(study.title, study.name, 1)
    return Stored(name, tuple(parts), tuple(study.member for study in absent), limits)
