"""One proposal: openings first, then what both models promise most of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from mpsearch.candidate import Candidate
from mpsearch.record import Record
from mpsearch.search.guided import scout
from mpsearch.search.guided.cheap import CheapRung
from mpsearch.search.guided.choice import Chooser, Point, Situation, front, log_error
from mpsearch.search.guided.context import Context
from mpsearch.search.guided.frames import Frame
from mpsearch.search.guided.knowledge import Known
from mpsearch.search.guided.models import Learner, Models

Fresh = Callable[[Candidate], bool]
_DRAWS = 200


class Engine:
    """Holds what costs time to make again and nothing that decides anything."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.space = context.space
        self.learner = Learner(context)
        self.cheap = CheapRung(context, self.learner.frames)
        self._chooser = Chooser(context, self.learner)

    def propose(
        self,
        records: Sequence[Record],
        running: Sequence[Candidate],
        rng: np.random.Generator,
        twins: frozenset[str] = frozenset(),
    ) -> Point:
        """Parameters of a candidate whose outcome is unknown and not being found out; of any one when there is no
        other.

        Args:
            twins: identities (:attr:`Context.twin`) of what was measured or is running.
        """
        taken = {record.candidate.digest for record in records} | {candidate.digest for candidate in running}

        def fresh(candidate: Candidate) -> bool:
            if candidate.digest in taken or self.space.illegal(self.space.graph, candidate):
                return False
            return not (twins and self.context.twin(candidate) in twins)

        point = self._opening(len(taken), fresh) or self._modelled(records, running, fresh, rng)
        point = point or self._random(fresh, rng)
        return {**{name: choices[0] for name, choices in self.space.dimensions.items()}, **point}

    def learn(self, records: Sequence[Record]) -> Models:
        """What the trials say by now, for reports.

        Raises:
            ValueError: fewer than two measured trials.
        """
        known = self.learner.gather(records, self.cheap.known(records))
        if sum(item.latency_ms is not None for item in known) < 2:
            raise ValueError("two measured trials are needed")
        return self.learner.fit(known)

    def _modelled(
        self, records: Sequence[Record], running: Sequence[Candidate], fresh: Fresh, rng: np.random.Generator
    ) -> Point | None:
        known = self.learner.gather(records, self.cheap.known(records))
        measured = [item for item in known if item.latency_ms is not None]
        if len(measured) < 2:
            return None
        frames = self._frames(measured, rng)
        tails = self._tails(frames, rng)
        places = [at for candidate in running if (at := self.learner.encoder.encode(candidate).at) is not None]
        seen = (frame for frame, _ in places)
        for frame in (*frames, *tails, *seen):  # every column must exist before anything is fitted
            self.learner.features.tables(frame)
            self.learner.encoder.encode(frame.plain)
        models = self.learner.fit(known)
        if tails:
            found = (*frames, *self._promising(models, tails, measured))
            frames = list({id(frame): frame for frame in found}.values())
        return self._chooser.choose(Situation(models, frames, measured, running, fresh), rng)

    def _tails(self, frames: Sequence[Frame], rng: np.random.Generator) -> list[Frame]:
        """A few to look at, under each base's best choice of everything else."""
        space = self.learner.frames
        if not space.tails:
            return []
        first = {frame.base: frame for frame in reversed(frames)}
        return scout.draw(space, list(first.values()), rng)

    def _promising(self, models: Models, tails: Sequence[Frame], measured: Sequence[Known]) -> list[Frame]:
        best_known = front(measured)
        steps = np.array([[item.latency_ms, log_error(item.error_px2)] for item in best_known]).reshape(-1, 2)
        end_ms = self.context.limits.budget_ms or max(item.latency_ms or 0.0 for item in measured)
        worst = max(log_error(item.error_px2) for item in measured)
        parents = [item.at for item in best_known if item.at is not None]
        return scout.best(self.learner, models, tails, parents, steps, (end_ms, worst))

    def _opening(self, count: int, fresh: Fresh) -> Point | None:
        """Uniforms first: nothing can be fitted to less than the ends."""
        if count >= 2 * len(self.space.bases):
            return None
        for candidate in (*self.space.uniforms(), *self._all_high()):
            params = self.space.params(candidate)
            if params is not None and fresh(candidate):
                return params
        return None

    def _all_high(self) -> list[Candidate]:
        found = []
        for base in self.space.bases:
            frame = self.learner.frames.deepest(base)
            found.append(self.space.at(frame.point(np.array(frame.counts) - 1)))
        return found

    def _random(self, fresh: Fresh, rng: np.random.Generator) -> Point:
        point: Point = {}
        for _ in range(_DRAWS):
            point = {name: str(rng.choice(choices)) for name, choices in self.space.dimensions.items()}
            if fresh(self.space.at(point)):
                break
        return point

    def _frames(self, measured: Sequence[Known], rng: np.random.Generator) -> list[Frame]:
        """For each base: the frames of its best trials, those that the prior thinks fastest, and one that differs
        from them in one choice."""
        frames, found = self.learner.frames, list[Frame]()
        best_known = {id(item) for item in front(measured)}
        ranked = sorted(measured, key=lambda item: (id(item) not in best_known, item.error_px2 or 0.0))
        seen = [item.at[0] for item in ranked if item.at is not None]
        by_id = {id(frame): frame for frame in seen}
        for base in self.space.bases:
            mine = list(dict.fromkeys(id(frame) for frame in seen if frame.base == base))
            best = [by_id[key] for key in mine[:2]]
            deep = frames.deepest(base)
            start = best[0] if best else deep
            free = [(n, c) for n, c in frames.dimensions.items() if len(c) > 1 and n != "base"]
            extra = []
            if free:
                name, choices = free[rng.integers(len(free))]
                extra = [frames.at({**start.params, name: choices[rng.integers(len(choices))]})]
            found += [*best, deep, *extra]
        legal = [frame for frame in found if not self.space.illegal(self.space.graph, frame.plain)]
        return list({id(frame): frame for frame in legal or found}.values())
