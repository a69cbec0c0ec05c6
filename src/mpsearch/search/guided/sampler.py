"""The Optuna sampler: what it knows is rebuilt from the study's trials before every proposal."""

from __future__ import annotations

import time
from collections.abc import Hashable, Mapping, Sequence
from math import inf
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from mpsearch.candidate import Candidate
from mpsearch.record import Record
from mpsearch.search.guided import rungs
from mpsearch.search.guided.choice import Point
from mpsearch.search.guided.context import Context
from mpsearch.search.guided.engine import Engine

_RECORD = "record"
"""Key of the user attribute that holds a trial's record (``mpsearch.study.ledger.RECORD``)."""
_TWIN = "twin"
"""And of what identifies its outcome (``mpsearch.study.ledger.TWIN``)."""


class GuidedSampler(optuna.samplers.BaseSampler):
    """Proposes what the models of latency and error expect most of; see ``docs/guided-search.md``.

    A proposal depends on the seed, the trial's number, the trials that the study holds and the cheap rung's limit that
    it began with, and on nothing else: a resumed study goes on as if it had not stopped.

    Args:
        context: the space, the limits and what is known for free.
    """

    def __init__(self, context: Context, seed: int) -> None:
        self._context, self._seed = context, seed
        self._dimensions: dict[str, BaseDistribution] = {
            name: CategoricalDistribution(choices)
            for name, choices in context.space.dimensions.items()
            if len(choices) > 1
        }
        self.engine = Engine(context)
        self._records: dict[tuple[str, int], Record] = {}
        self._rungs = rungs.Notes()
        self._random = optuna.samplers.RandomSampler(seed=seed)
        self._last: tuple[tuple[Hashable, ...], Point] | None = None

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return dict(self._dimensions)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if not search_space:
            return {}
        point = self._proposal(study, trial.number)
        return {name: point[name] for name in search_space}

    def promise(self, study: optuna.Study) -> float:
        """What the next proposal is expected to gain over the front of all models (:class:`Rivals`); infinite for the
        first ones, which no model chooses."""
        trials = study.get_trials(deepcopy=False)
        rivals = self._context.rivals
        if rivals is None or not self._dimensions:
            return 0.0
        self._proposal(study, len(trials))
        if rivals.promise is not None:
            return rivals.promise
        return inf if len(self._finished(study, trials)) <= 2 * len(self._context.space.bases) else 0.0

    def _proposal(self, study: optuna.Study, number: int) -> Point:
        """For the trial of that number; the last one again where nothing has changed since."""
        trials = study.get_trials(deepcopy=False)
        records = self._finished(study, trials)
        running = self._running(trials, number)
        twins = frozenset(own.user_attrs[_TWIN] for own in trials if _TWIN in own.user_attrs and not _ended(own))
        rivals = self._context.rivals
        seen = [candidate.digest for candidate in (*(record.candidate for record in records), *running)]
        key = (number, *seen, twins, rivals and (rivals.points, rivals.worst, rivals.near))
        if self._last is not None and self._last[0] == key:
            return self._last[1]
        if rivals is not None:
            rivals.promise = None
        rng = np.random.default_rng([self._seed, number])
        start = time.perf_counter()
        self.engine.cheap.limit = rungs.limit(study, self._context.cheap_calls)
        asked = len(self.engine.cheap.asked)
        point = self.engine.propose(records, running, rng, twins)
        seconds = time.perf_counter() - start
        self._rungs.note(study, self.engine.cheap.asked, asked, seconds)
        self._last = key, point
        return point

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._random.sample_independent(study, trial, param_name, param_distribution)

    def reseed_rng(self) -> None:
        self._random.reseed_rng()

    def _finished(self, study: optuna.Study, trials: Sequence[FrozenTrial]) -> list[Record]:
        """One record for each candidate, in order of the trials."""
        found: dict[str, Record] = {}
        for trial in trials:
            if trial.state not in (TrialState.COMPLETE, TrialState.PRUNED) or _RECORD not in trial.user_attrs:
                continue
            key = (study.study_name, trial.number)
            if key not in self._records:
                self._records[key] = Record.from_json(trial.user_attrs[_RECORD])
            record = self._records[key]
            found.setdefault(record.candidate.digest, record)
        return list(found.values())

    def _running(self, trials: Sequence[FrozenTrial], own: int) -> list[Candidate]:
        """What is being measured elsewhere, or waits to be."""
        found = []
        for trial in trials:
            if trial.number == own or trial.state not in (TrialState.RUNNING, TrialState.WAITING):
                continue
            params: Mapping[str, Any] = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
            if all(name in params for name in self._dimensions):
                found.append(self._context.space.at(params))
        return found


def _ended(trial: FrozenTrial) -> bool:
    """Without a result: its candidate is free again."""
    return trial.state is TrialState.FAIL
