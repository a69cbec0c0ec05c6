"""Which candidate comes next: a pool for every frame, and the expected gain over the front for all of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mpsearch.candidate import Candidate
from mpsearch.pareto.front import ERROR_FLOOR
from mpsearch.search.guided import acquire, alike, pool, report
from mpsearch.search.guided.acquire import Beliefs
from mpsearch.search.guided.alike import Alike
from mpsearch.search.guided.arrays import Floats, Ints
from mpsearch.search.guided.context import Context
from mpsearch.search.guided.frames import Frame
from mpsearch.search.guided.knowledge import Known
from mpsearch.search.guided.models import Learner, Models
from mpsearch.search.guided.pool import Batch

_NEAR_BUDGET = 0.9
"""Half of the exact solutions are for latencies between this share of the budget and all of it."""
_NEAR = 1 / 3
"""Share of the trials that are for the least error within the budget; the others are for the front's area."""
_BLIND, _BLIND_AT_MOST = 0.1, 0.3
"""Share of the trials that are drawn from the pool blindly, among those expected within the budget; and when the models
predict badly."""
_BAD_ERROR, _BAD_LATENCY = 1.0, 0.05
"""Median leave-one-out errors at which the models are no help: a factor of two, and 5 % of the latency."""
_LEARNT = 8
"""Trials before leave-one-out says anything."""
_SOLVES = 12
"""Exact solutions a proposal for a few groups; fewer for many."""
_ROWS = 6000
"""Candidates that are weighed for one proposal, where frames are too large to list."""
_WORTHLESS = -1.0

Point = dict[str, str]


@dataclass(frozen=True)
class Situation:
    """What the choice is made from.

    Attributes:
        frames: to choose in.
        measured: full evaluations.
        running: candidates that are being measured.
        fresh: whether a candidate's outcome is still unknown and nobody is finding it out.
    """

    models: Models
    frames: Sequence[Frame]
    measured: Sequence[Known]
    running: Sequence[Candidate]
    fresh: Callable[[Candidate], bool]


class Chooser:
    """Weighs candidates after the models of a :class:`~mpsearch.search.guided.models.Learner`."""

    def __init__(self, context: Context, learner: Learner) -> None:
        self._context, self._learner = context, learner

    def choose(self, now: Situation, rng: np.random.Generator) -> Point | None:
        """Parameters of the best fresh candidate; None when the pool has none."""
        models, measured = now.models, now.measured
        budget_ms = self._context.limits.budget_ms
        end_ms = budget_ms or max(item.latency_ms or 0.0 for item in measured)
        fastest_ms = min(*(item.latency_ms or end_ms for item in measured), end_ms)
        known_front = front(measured)
        steps = np.array([[item.latency_ms, log_error(item.error_px2)] for item in known_front if item.ok])
        steps = steps.reshape(-1, 2)
        worst = max(log_error(item.error_px2) for item in measured)
        near = budget_ms is not None and rng.random() < _NEAR
        rivals = self._context.rivals
        if rivals is not None:
            theirs = [[latency_ms, log_error(error)] for latency_ms, error in rivals.points]
            steps = np.concatenate([steps, np.array(theirs).reshape(-1, 2)])
            worst = max(worst, log_error(rivals.worst))
            near = near if rivals.near is None else rivals.near
        within = [step[1] for step in steps if step[0] <= end_ms]
        targets = self._targets(fastest_ms, end_ms, rng)
        batches = self._pool(now, known_front, targets, rng)
        blind = self._learner.uses("free") and rng.random() < blind_share(models)
        idle = alike.find(models.known)
        steps = self._with_running(models, steps, now.running)
        seed = int(rng.integers(2**32))
        ranked: list[tuple[float, int, int]] = []
        promised = 0.0
        for index, batch in enumerate(batches):
            belief, known_ms = self._informed(models, batch, idle)
            latency, error = acquire.draws(belief, np.random.default_rng(seed))
            if near and within:
                gain = acquire.budget_gain(latency, error, min(within), end_ms)
            else:
                gain = acquire.volume_gain(latency, error, steps, (end_ms, worst))
            value = gain.mean(axis=0) * belief.ok
            # Where nothing is gained in any draw, what is nearest to the front still comes first.
            value = value + 1e-9 * np.exp(-np.abs(belief.latency[0] / end_ms - 1)) * belief.ok
            promised = max(promised, float(value.max(initial=0.0)))
            if blind:
                value = value * 0 + rng.random(len(value)) * (belief.latency[0] <= 1.02 * end_ms)
            value = np.where(
                belief.latency[0] >= known_ms, _WORTHLESS, value
            )  # its error is known, and no gain in time
            value = np.where(self._crowded(batch, now.running), _WORTHLESS / 2, value)
            ranked += [(float(v), index, row) for row, v in enumerate(value)]
        ranked.sort(key=lambda item: -item[0])
        for value_of, index, row in ranked:
            point = batches[index].frame.point(batches[index].chosen[row])
            if now.fresh(self._context.space.at(point)):
                if rivals is not None:
                    rivals.promise = promised if blind else value_of
                return point
        return None

    def _informed(self, models: Models, batch: Batch, idle: Alike) -> tuple[Beliefs, Floats]:
        """The models' beliefs, with the error where it is known; and the latency at which it was seen, NaN else."""
        belief = self._learner.beliefs(models, batch)
        if not idle:
            return belief, np.full(len(batch.chosen), np.nan)
        error, known_ms = idle.errors(batch.frame.plain, self._learner.features.many_shares(batch.frame, batch.chosen))
        sure = ~np.isnan(error)
        logs = np.log(np.maximum(np.where(sure, error, 1.0), ERROR_FLOOR))
        mean, sd = belief.error
        return replace(belief, error=(np.where(sure, logs, mean), np.where(sure, 0.0, sd))), known_ms

    def _targets(self, fastest_ms: float, end_ms: float, rng: np.random.Generator) -> list[float]:
        """Latencies to solve for: the budget itself, then one near it and one from the whole range in turns, the
        range in equal strata."""
        groups = len(self._context.space.groups)
        count = max(2, int(_SOLVES * min(1.0, 20 / max(groups, 1))))
        strata = (count + 1) // 2
        places = rng.permutation(strata)
        found = [end_ms]
        for index in range(count - 1):
            if index % 2:
                found.append(end_ms * rng.uniform(_NEAR_BUDGET, 1.0))
            else:
                share = (places[index // 2] + rng.random()) / strata
                found.append(fastest_ms + (end_ms - fastest_ms) * share)
        return found

    def _pool(
        self, now: Situation, known_front: Sequence[Known], targets: Sequence[float], rng: np.random.Generator
    ) -> list[Batch]:
        models, learner = now.models, self._learner
        parents = [item.at for item in known_front if item.at is not None]
        full = [item.at for item in models.known if item.at is not None and not item.cheap]
        full += [at for candidate in now.running if (at := learner.encoder.encode(candidate).at) is not None]
        batches = []
        for place, frame in enumerate(now.frames):
            if frame.size <= pool.SMALL and learner.uses("exact"):
                batches.append(Batch(frame, frame.all()))
                continue
            mine = [chosen for own, chosen in full if own is frame]
            found = []
            if learner.uses("exact"):
                found = pool.exact(
                    frame, learner.features, models.latency, models.error, learner.base_of(frame.plain),
                    targets[place :: len(now.frames)], mine, rng if learner.uses("draws") else None,
                )  # fmt: skip
            moved = [pool.transfer(chosen, source, frame) for source, chosen in parents]
            rows: list[Ints] = [np.array(found).reshape(len(found), -1)] if found else []
            rows += [pool.neighbours(frame, chosen, rng, 40) for chosen in (*found, *moved[-8:])]
            if moved or found:
                rows.append(pool.mutants(frame, [*moved, *found], rng))
            if rows:
                every = np.unique(np.concatenate(rows), axis=0)
                batches.append(Batch(frame, _thinned(every, len(found), rows, _ROWS // len(now.frames), rng)))
        return batches

    def _with_running(self, models: Models, steps: Floats, running: Sequence[Candidate]) -> Floats:
        """The front as if what is running had come out as expected, so that the next proposal goes elsewhere."""
        for candidate in running:
            item = self._learner.encoder.encode(candidate)
            if item.at is not None:
                belief = self._learner.beliefs(models, Batch(item.at[0], item.at[1][None]))
                steps = np.concatenate([steps, [[belief.latency[0][0], belief.error[0][0]]]])
        return steps

    def _crowded(self, batch: Batch, running: Sequence[Candidate]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Within one group of something that is being measured: it will say nearly the same."""
        found = np.zeros(len(batch.chosen), dtype=bool)
        for candidate in running:
            at = self._learner.encoder.encode(candidate).at
            if at is not None and at[0] is batch.frame:
                found |= (batch.chosen != at[1]).sum(axis=1) <= 1
        return found


def blind_share(models: Models) -> float:
    """Of the trials that no model decides: more, the worse the models predict what they have not seen."""
    latency, error = report.latency_loo(models), report.error_loo(models)
    if error.count < _LEARNT:
        return _BLIND
    bad = min(1.0, max(latency.error / _BAD_LATENCY, error.error / _BAD_ERROR))
    return _BLIND + (_BLIND_AT_MOST - _BLIND) * bad


def front(measured: Sequence[Known]) -> list[Known]:
    """Those that no other dominates, fastest first."""
    found, least = list[Known](), np.inf
    for item in sorted(measured, key=lambda item: (item.latency_ms or 0.0, item.error_px2 or 0.0)):
        if item.error_px2 is not None and item.error_px2 < least:
            found.append(item)
            least = item.error_px2
    return found


def log_error(error: float | None) -> float:
    """Natural logarithm, with the floor that all tables have."""
    return float(np.log(max(error or 0.0, ERROR_FLOOR)))


def _thinned(every: Ints, exact: int, rows: Sequence[Ints], count: int, rng: np.random.Generator) -> Ints:
    """At most ``count`` rows; the exact solutions among them in any case."""
    if len(every) <= count:
        return every
    kept = every[np.sort(rng.choice(len(every), count, replace=False))]
    return np.unique(np.concatenate([kept, rows[0]]), axis=0) if exact else kept
