"""Several models in one study: one loop that gives every trial to the model that promises most for all.

Each model has its own ledger, space and sampler; what they share is the budget, the number of trials and the front.
Like the loop of one model it keeps nothing to itself, so that it can stop at any point and go on from what is stored.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import optuna

from mpsearch.pareto.front import Trial, front
from mpsearch.pareto.limits import Limits
from mpsearch.study.ledger import Ledger
from mpsearch.study.run import StudyRun, ending
from mpsearch.study.storage import storage_errors
from mpsearch.study.summary import Summary, summarise

FLOOR = 8
"""One trial in so many goes to the model with the fewest: what its models expect may be wrong, or nothing yet."""
NEAR = 1 / 3
"""Share of the other trials that are for the least error within the budget, as within one model."""


@runtime_checkable
class Promises(Protocol):
    """A sampler that can say what its next proposal is worth to all models."""

    def promise(self, study: optuna.Study) -> float:
        """The expected gain over the front of all; only those asked for the same trial compare."""


class Shared(Protocol):
    """What a sampler is told of the other models (:class:`mpsearch.search.guided.context.Rivals`)."""

    points: tuple[tuple[float, float], ...]
    worst: float
    near: bool | None


@dataclass(frozen=True)
class Member:
    """One model.

    Attributes:
        rivals: what its sampler reads of the others; None where it has no use for that.
    """

    name: str
    run: StudyRun
    ledger: Ledger
    rivals: Shared | None = None

    @property
    def trials(self) -> tuple[Trial, ...]:
        """Its evaluated candidates, with its name."""
        return tuple(replace(trial, model=self.name) for trial in self.ledger.trials)


class Together:
    """Runs several models.

    Args:
        members: with different names, opened with the same limits.
        seed: of the draws that decide what a trial is for.
        stopped: whether a model shall get no further trial; where that is so for all, it is for none.
    """

    def __init__(
        self,
        members: Sequence[Member],
        limits: Limits,
        *,
        seed: int = 0,
        stopped: Callable[[str], bool] = lambda name: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.members, self._limits, self._seed = tuple(members), limits, seed
        self._stopped, self._clock = stopped, clock
        self._total = 0
        self._empty: set[str] = set()

    @property
    def trials(self) -> tuple[Trial, ...]:
        """Of all models, one after the other."""
        return tuple(trial for member in self.members for trial in member.trials)

    def summary(self) -> Summary:
        """Of what is stored now."""
        return summarise(
            self.trials,
            self._limits,
            total=self._total,
            duplicates=sum(member.ledger.duplicates for member in self.members),
            rejected=sum(len(member.ledger.rejected) for member in self.members),
            exhausted=not self._able(),
        )

    def run(self, total: int, *, timeout_s: float | None = None) -> Summary:
        """As :meth:`mpsearch.study.run.StudyRun.run`; ``total`` counts the candidates of all models together."""
        end = ending(self._clock, total, timeout_s)
        self._total = total
        self._empty.clear()
        for member in self.members:
            member.run.begin(total)
        with storage_errors(self.members[0].ledger.where):
            if self._count() < total:
                for member in self.members:
                    member.run.prepare()
            while self._count() < total and self._clock() < end:
                chosen = self._next()
                if chosen is None:
                    break
                if not chosen.run.step():
                    self._empty.add(chosen.name)
                for member in self.members:
                    member.ledger.refresh()
        return self.summary()

    def _count(self) -> int:
        return sum(len(member.ledger.trials) for member in self.members)

    def _next(self) -> Member | None:
        """Whose the next trial is; None where nothing is left to try."""
        able = self._able()
        count = self._count()
        near = random.Random(f"{self._seed}:{count}").random() < NEAR
        for member in able:
            self._tell(member, near)
        opening = [member for member in able if member.run.opening]
        if len(able) < 2 or opening or count % FLOOR == FLOOR - 1:
            return _fewest(opening or able)
        promised = [(_promise(member), member) for member in able]
        most = max(promise for promise, _ in promised)
        return _fewest([member for promise, member in promised if promise == most])

    def _able(self) -> list[Member]:
        """Those that may get a trial and have something left to try."""
        going = [member for member in self.members if not self._stopped(member.name)] or self.members
        return [member for member in going if member.name not in self._empty]

    def _tell(self, member: Member, near: bool) -> None:
        """What the others have reached."""
        if member.rivals is None:
            return
        others = [trial for other in self.members if other is not member for trial in other.trials]
        reached = front(trial for trial in others if self._keeps(trial))
        member.rivals.points = tuple(trial.objectives for trial in reached if trial.objectives is not None)
        member.rivals.worst = max(
            (trial.objectives[1] for trial in others if trial.objectives is not None), default=0.0
        )
        member.rivals.near = near

    def _keeps(self, trial: Trial) -> bool:
        """The limits on faces; the front goes on beyond the budget."""
        return all(over <= 0 for name, over in self._limits.violations(trial.record).items() if name != "latency")


def _promise(member: Member) -> float:
    """What the next trial of a model is worth; the same for all where samplers cannot say it."""
    sampler = member.ledger.study.sampler
    return sampler.promise(member.ledger.study) if isinstance(sampler, Promises) else 0.0


def _fewest(members: Sequence[Member]) -> Member | None:
    """The one with the fewest trials, the first of several."""
    return min(members, key=lambda member: len(member.ledger.trials), default=None)
