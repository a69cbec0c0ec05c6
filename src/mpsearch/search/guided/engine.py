"""One proposal: fit both models, make a pool, take what promises most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mpsearch.candidate import BASES, Candidate, DataType
from mpsearch.pareto.front import ERROR_FLOOR_PX2
from mpsearch.record import Record
from mpsearch.search.guided import acquire, failures, pool
from mpsearch.search.guided import error as errors
from mpsearch.search.guided import latency as latencies
from mpsearch.search.guided.acquire import Beliefs
from mpsearch.search.guided.arrays import Floats, Ints
from mpsearch.search.guided.cheap import CheapRung
from mpsearch.search.guided.context import Context, PlainPrior
from mpsearch.search.guided.error import ErrorModel, Observations
from mpsearch.search.guided.features import Features
from mpsearch.search.guided.frames import Frame, Frames
from mpsearch.search.guided.knowledge import Encoder, Known, gather
from mpsearch.search.guided.latency import LatencyModel
from mpsearch.search.guided.pool import Batch

_NEAR_BUDGET = 0.9
"""Half of the exact solutions are for latencies between this share of the budget and all of it."""
_NEAR = 1 / 3
"""Share of the trials that are for the least error within the budget; the others are for the front's area."""
_MODEL_FREE = 0.1
"""Share of the trials that are drawn from the pool blindly, among those expected within the budget."""
_SOLVES = 12
"""Exact solutions a proposal for a few groups; fewer for many."""
_FRAMES = 4


@dataclass(frozen=True)
class Models:
    """Both models, fitted to the same trials."""

    latency: LatencyModel
    error: ErrorModel
    known: list[Known]
    padded: Floats


class Engine:
    """Holds what costs time to make again and nothing that decides anything."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.space = context.space
        self.features = Features(self.space, context.prior or PlainPrior(self.space.graph))
        self.frames = Frames(self.space)
        self.encoder = Encoder(self.frames, self.features)
        self.cheap = CheapRung(context, self.frames)
        bases = dict.fromkeys((*self.space.bases, *self.space.uniform_bases))
        keys = [(base, str(a)) for base in bases for a in self.space.algorithms]
        self._base_index = {key: index for index, key in enumerate(keys)}
        wider = {DataType(kind).rank for kind in self.space.types}
        self._ranks = [{BASES[base].type.rank} | wider for base, _ in keys]

    def propose(
        self, records: Sequence[Record], running: Sequence[Candidate], rng: np.random.Generator
    ) -> dict[str, str]:
        """Parameters of a candidate that was neither evaluated nor is running; of any one when there is no other."""
        taken = {record.candidate.digest for record in records} | {candidate.digest for candidate in running}
        opening = self._opening(taken)
        if opening is not None:
            return opening
        known = gather(records, self.cheap.known(records), self.encoder, self.context.limits)
        measured = [item for item in known if item.latency_ms is not None]
        if len(measured) < 2:
            return self._random(taken, rng)
        frames = self._frames(measured, rng)
        for frame in frames:  # every column must exist before anything is fitted
            self.features.tables(frame)
            self.encoder.encode(frame.plain)
        for candidate in running:
            self.encoder.encode(candidate)
        models = self.fit(known)
        front = _front(measured)
        return self._choose(models, frames, front, measured, running, taken, len(records), rng)

    def learn(self, records: Sequence[Record]) -> Models:
        """What the trials say by now, for reports.

        Raises:
            ValueError: fewer than two measured trials.
        """
        known = gather(records, self.cheap.known(records), self.encoder, self.context.limits)
        if sum(item.latency_ms is not None for item in known) < 2:
            raise ValueError("two measured trials are needed")
        return self.fit(known)

    def fit(self, known: list[Known]) -> Models:
        """Both models after what is known."""
        measured = [item for item in known if item.latency_ms is not None]
        with_error = [item for item in known if item.error_px2 is not None]
        padded = np.array([self.encoder.padded(item.place) for item in known])
        places = {id(item): place for item, place in zip(known, padded, strict=True)}
        latency = latencies.fit(
            self.features, [item.latency for item in measured], np.array([places[id(i)] for i in measured]),
            np.array([item.latency_ms for item in measured]), remainder=self._uses("remainder"),
        )  # fmt: skip
        observed = Observations(
            np.array([self._base_of(item.candidate) for item in with_error]),
            np.array([item.shares for item in with_error]),
            np.array([places[id(item)] for item in with_error]),
            np.array([item.cheap for item in with_error]),
            np.array([item.error_px2 for item in with_error]),
        )
        return Models(latency, errors.fit(observed, self._ranks, remainder=self._uses("remainder")), known, padded)

    def _uses(self, part: str) -> bool:
        return part in self.context.parts

    def _base_of(self, candidate: Candidate) -> int:
        return self._base_index.get((candidate.base, str(candidate.algorithm)), 0)

    def _opening(self, taken: set[str]) -> dict[str, str] | None:
        """Uniforms first: nothing can be fitted to less than the ends."""
        if len(taken) >= 2 * len(self.space.bases):
            return None
        for candidate in (*self.space.uniforms(), *self._all_high()):
            params = self.space.params(candidate)
            if params is not None and candidate.digest not in taken:
                return params
        return None

    def _all_high(self) -> list[Candidate]:
        found = []
        for base in self.space.bases:
            frame = self.frames.at({**{n: c[-1] for n, c in self.frames.dimensions.items()}, "base": base})
            found.append(self.space.at(frame.point(np.array(frame.counts) - 1)))
        return found

    def _random(self, taken: set[str], rng: np.random.Generator) -> dict[str, str]:
        point: dict[str, str] = {}
        for _ in range(200):
            point = {name: str(rng.choice(choices)) for name, choices in self.space.dimensions.items()}
            if self.space.at(point).digest not in taken:
                break
        return point

    def _frames(self, measured: Sequence[Known], rng: np.random.Generator) -> list[Frame]:
        """For each base and algorithm: the frames of its best trials, those that the prior thinks fastest, and one that
        differs from them in one choice."""
        found: list[Frame] = []
        front = {id(item) for item in _front(measured)}
        ranked = sorted(measured, key=lambda item: (id(item) not in front, item.error_px2 or 0.0))
        seen = [item.at[0] for item in ranked if item.at is not None]
        for base in self.space.bases:
            mine = list(dict.fromkeys(id(frame) for frame in seen if frame.base == base))
            by_id = {id(frame): frame for frame in seen}
            best = [by_id[key] for key in mine[:2]]
            deepest = {name: choices[-1] for name, choices in self.frames.dimensions.items()}
            deep = self.frames.at({**deepest, **self._plainest(), "base": base})
            start = best[0] if best else deep
            free = [(n, c) for n, c in self.frames.dimensions.items() if len(c) > 1 and n != "base"]
            extra = []
            if free:
                name, choices = free[rng.integers(len(free))]
                extra = [self.frames.at({**start.params, name: choices[rng.integers(len(choices))]})]
            found += [*best, deep, *extra]
        return list({id(frame): frame for frame in found}.values())

    def _plainest(self) -> dict[str, str]:
        """The first choice where more is not faster: algorithm, preprocessing and dropped outputs."""
        return {
            name: choices[0]
            for name, choices in self.frames.dimensions.items()
            if name in ("algorithm", "preprocess") or name.startswith("drop:")
        }

    def _choose(
        self,
        models: Models,
        frames: Sequence[Frame],
        front: Sequence[Known],
        measured: Sequence[Known],
        running: Sequence[Candidate],
        taken: set[str],
        count: int,
        rng: np.random.Generator,
    ) -> dict[str, str]:
        budget_ms = self.context.limits.budget_ms
        end_ms = budget_ms or max(item.latency_ms or 0.0 for item in measured)
        steps = np.array([[item.latency_ms, _log(item.error_px2)] for item in front if item.ok]).reshape(-1, 2)
        worst = max(_log(item.error_px2) for item in measured)
        within = [step[1] for step in steps if step[0] <= end_ms]
        near = budget_ms is not None and rng.random() < _NEAR
        fastest = min(item.latency_ms or end_ms for item in measured)
        targets = self._targets(min(fastest, end_ms), end_ms, rng)
        batches = self._pool(models, frames, front, targets, rng)
        free = rng.random() < _MODEL_FREE and self._uses("free")
        gains: list[tuple[float, int, int]] = []
        beliefs = [self._beliefs(models, batch) for batch in batches]
        steps = self._with_running(models, steps, running)
        draw_rng = int(rng.integers(2**32))
        for index, belief in enumerate(beliefs):
            latency, error = acquire.draws(belief, np.random.default_rng(draw_rng))
            if near and within:
                gain = acquire.budget_gain(latency, error, min(within), end_ms)
            else:
                gain = acquire.volume_gain(latency, error, steps, (end_ms, worst))
            value = gain.mean(axis=0) * belief.ok
            # Where nothing is gained in any draw, what is nearest to the front still comes first.
            value = value + 1e-9 * np.exp(-np.abs(belief.latency[0] / end_ms - 1)) * belief.ok
            if free:
                value = value * 0 + rng.random(len(value)) * (belief.latency[0] <= 1.02 * end_ms)
            gains += [(float(v), index, row) for row, v in enumerate(value)]
        gains.sort(key=lambda item: -item[0])
        for _, index, row in gains:
            batch = batches[index]
            point = batch.frame.point(batch.chosen[row])
            candidate = self.space.at(point)
            if candidate.digest not in taken:
                return {**{name: choices[0] for name, choices in self.space.dimensions.items()}, **point}
        return self._random(taken, rng)

    def _targets(self, fastest_ms: float, end_ms: float, rng: np.random.Generator) -> list[float]:
        """Latencies to solve for: the budget itself, then one near it and one from the whole range in turns, the
        range in equal strata."""
        groups = len(self.space.groups)
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
        self,
        models: Models,
        frames: Sequence[Frame],
        front: Sequence[Known],
        targets: Sequence[float],
        rng: np.random.Generator,
    ) -> list[Batch]:
        batches = []
        parents = [item.at for item in front if item.at is not None]
        for place, frame in enumerate(frames):
            if frame.size <= pool.SMALL and self._uses("exact"):
                batches.append(Batch(frame, frame.all()))
                continue
            full = [item.at for item in models.known if item.at is not None and not item.cheap]
            mine = [chosen for own, chosen in full if own is frame]
            base = self._base_of(frame.plain)
            picked = targets[place :: len(frames)]
            found = []
            if self._uses("exact"):
                own = rng if self._uses("draws") else None
                found = pool.exact(frame, self.features, models.latency, models.error, base, picked, mine, own)
            moved = [pool.transfer(chosen, source, frame) for source, chosen in parents]
            rows: list[Ints] = [np.array(found).reshape(len(found), -1)] if found else []
            rows += [pool.neighbours(frame, chosen, rng, 40) for chosen in (*found, *moved[-8:])]
            if moved or found:
                rows.append(pool.mutants(frame, [*moved, *found], rng))
            if rows:
                batches.append(Batch(frame, np.unique(np.concatenate(rows), axis=0)))
        return batches

    def _beliefs(self, models: Models, batch: Batch) -> Beliefs:
        shares = self.features.many_shares(batch.frame, batch.chosen)
        places = self.encoder.padded(self.encoder.places(batch.frame, shares))
        latency = models.latency.predict(models.latency.rows(batch.frame, batch.chosen), places)
        error = models.error.predict(self._base_of(batch.frame.plain), shares, places)
        if not self._uses("draws"):
            latency, error = (latency[0], 0 * latency[1]), (error[0], 0 * error[1])
        return Beliefs(latency, error, failures.probability(places, models.known, models.padded))

    def _with_running(self, models: Models, steps: Floats, running: Sequence[Candidate]) -> Floats:
        """The front as if what is running had come out as expected, so that the next proposal goes elsewhere."""
        for candidate in running:
            item = self.encoder.encode(candidate)
            if item.at is not None:
                belief = self._beliefs(models, Batch(item.at[0], item.at[1][None]))
                steps = np.concatenate([steps, [[belief.latency[0][0], belief.error[0][0]]]])
        return steps


def _front(measured: Sequence[Known]) -> list[Known]:
    """Those that no other dominates, fastest first."""
    found, least = list[Known](), np.inf
    for item in sorted(measured, key=lambda item: (item.latency_ms or 0.0, item.error_px2 or 0.0)):
        if item.error_px2 is not None and item.error_px2 < least:
            found.append(item)
            least = item.error_px2
    return found


def _log(error_px2: float | None) -> float:
    return float(np.log(max(error_px2 or 0.0, ERROR_FLOOR_PX2)))
