"""Can the budget be met at all?

Asked before the first trial where there is a cost model. On a device that is an expectation, off by as much as the
model is; there the first few measurements are asked as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import floor, sqrt
from pathlib import Path

import numpy as np

from mpsearch import digits
from mpsearch.board.cost import CostModel
from mpsearch.candidate import Candidate
from mpsearch.device import spec as device
from mpsearch.graph.model import ModelGraph
from mpsearch.pareto.limits import Limits
from mpsearch.pareto.table import short
from mpsearch.record import Measured, Record
from mpsearch.search.guided.arrays import Floats
from mpsearch.search.guided.context import Context, PlainPrior, Prior
from mpsearch.search.guided.engine import Engine
from mpsearch.search.guided.features import Features
from mpsearch.search.guided.frames import Frame, Frames
from mpsearch.search.guided.solve import Model
from mpsearch.search.prior import prior_of
from mpsearch.space.space import SearchSpace
from mpsearch.workbench import Workbench

_MAIN = ("fixed", "unit", "edge")
_SLOWEST = 3
_STEP = 32
"""Input sizes are multiples of this: detectors have strides up to 32."""
_SURE = 1.96
_TELLING = 4
"""Measured trials after which the latency model is asked."""


@dataclass(frozen=True)
class Reach:
    """The fastest candidate of a space, and what else would make it faster.

    Attributes:
        latency_ms, sd_ms: expected, and how unsure that is (0 for a cost model).
        by: who says so.
        off_by: median error of who says so, as a share, where a device may disagree; 0 where it cannot.
        cut_saves_ms: what the cuts that the fastest candidate has are worth.
        other_cut: a cut that the space leaves out: output, tensors, ms that it would save; None where there is none.
        slowest: unit -> ms, the slowest first.
        fixed_ms: what neither a smaller input nor a smaller model saves.
        size: height and width of the model's input.
    """

    fastest: Candidate
    latency_ms: float
    sd_ms: float
    by: str
    cut_saves_ms: float
    other_cut: tuple[str, tuple[str, ...], float] | None
    slowest: tuple[tuple[str, float], ...]
    fixed_ms: float
    size: tuple[int, int]
    off_by: float = 0.0

    def misses(self, budget_ms: float) -> bool:
        """Surely over the budget; probably, where ``off_by`` says that it is an expectation."""
        return self.latency_ms * (1 - self.off_by) - _SURE * self.sd_ms > budget_ms

    def share(self, budget_ms: float) -> float:
        """Of the work that may stay; 0 or less where the fixed part alone is too much."""
        return (budget_ms - self.fixed_ms) / max(self.latency_ms - self.fixed_ms, 1e-9)

    def smaller_input(self, budget_ms: float) -> tuple[int, int] | None:
        """Height and width at which the budget would be met, if time follows pixels; None where none would."""
        share = self.share(budget_ms)
        if share <= 0:
            return None
        height, width = (floor(side * sqrt(share) / _STEP) * _STEP for side in self.size)
        return (height, width) if height and width else None

    def explain(self, budget_ms: float) -> tuple[str, ...]:
        """Lines for the user: how far off, and what would have to change."""
        ms, over = digits.milliseconds, self.latency_ms - budget_ms
        takes = digits.unsure(self.latency_ms, self.sd_ms) if self.sd_ms else ms(self.latency_ms)
        cannot, by = "cannot", self.by
        if self.off_by:
            cannot = "can probably not"
            by += f" (median error {self.off_by:.0%} on networks that it was not fitted to)"
        lines = [
            f"the budget of {ms(budget_ms)} ms {cannot} be met: the fastest candidate takes {takes} ms by {by}, "
            f"{ms(over)} ms too much: {short(self.fastest)}"
        ]
        if self.other_cut is not None:
            output, tensors, saves_ms = self.other_cut
            enough = "enough" if saves_ms >= over else "not enough alone"
            lines.append(
                f"cut: {output} at {', '.join(tensors)}, which the search space leaves out, saves {ms(saves_ms)} ms "
                f"({enough})"
            )
        elif self.cut_saves_ms > 0:
            lines.append(f"cut: the cheapest cuts are in already and save {ms(self.cut_saves_ms)} ms")
        else:
            lines.append("cut: no cut makes it faster")
        smaller = self.smaller_input(budget_ms)
        if smaller is None:
            lines.append(f"input: no size is small enough; {ms(self.fixed_ms)} ms are fixed")
        else:
            now = f"{self.size[0]}x{self.size[1]}"
            lines.append(f"input: about {smaller[0]}x{smaller[1]} in place of {now} (time follows pixels)")
        units = ", ".join(f"{name} {ms(own)} ms ({own / self.latency_ms:.0%})" for name, own in self.slowest)
        lines.append(f"units: the slowest are {units}")
        share = self.share(budget_ms)
        if share > 0:
            lines.append(f"model: one with at most {100 * share:.3g}% of the work would do")
        else:
            lines.append(
                f"model: none is small enough, with nothing left of the work: {ms(self.fixed_ms)} ms are fixed"
            )
        return tuple(lines)


def expected(space: SearchSpace, prior: Prior, *, off_by: float = 0.0) -> Reach:
    """After a cost model, before any trial.

    Args:
        off_by: see :class:`Reach`.
    """
    by = "the cost model" if isinstance(prior, CostModel) else "the cost model, corrected by the board's layer times"
    return replace(_Search(space, prior, Features(space, prior), None).run(by), off_by=off_by)


def learnt(context: Context, records: Sequence[Record]) -> Reach:
    """After the first trials.

    Raises:
        ValueError: fewer than two measured trials.
    """
    engine = Engine(replace(context, cheap_error=None))
    features = engine.learner.features
    prior = context.prior or PlainPrior(context.space.graph)
    for _ in range(2):  # looking at candidates makes columns, which the second fit knows of
        model = engine.learn(records).latency
        found = _Search(context.space, prior, features, model.fit.weights)
        reach = found.run(f"what {len(records)} trials say")
    row = features.latency_row(reach.fastest)[: len(model.fit.mean)]
    sd_ms = float(model.fit.spread_of(np.pad(row, (0, len(model.fit.mean) - len(row)))[None])[0])
    return replace(reach, sd_ms=max(sd_ms, model.fit.setting.noise * reach.latency_ms))


class Watch:
    """Looks whether a study's budget can be met: before it begins and, on a device, once after its first trials.

    Args:
        cache: of the study.
    """

    def __init__(self, bench: Workbench, limits: Limits, *, cache: Path) -> None:
        profile = bench.bench.profile
        self._context = Context(bench.space, limits, prior_of(bench.bench, cache))
        self._budget_ms = bench.budget_ms
        self._modelled = profile is not None and not device.is_spec(bench.bench.target)
        self._off_by = 0.0 if profile is None or self._modelled else profile.off_by
        self._looked = self._modelled  # there :meth:`before` says it all

    @property
    def sure(self) -> bool:
        """Whether what it said rests on measurements, or on the model that gives the latencies."""
        return self._looked

    def before(self, records: Sequence[Record]) -> tuple[str, ...]:
        """Lines for the user; what stored measurements have taught counts for more than what a model expects."""
        prior = self._context.prior
        if not self._looked and len(_latencies(records)) >= _TELLING:
            return self.after(records)
        if prior is None or (not self._modelled and min(_latencies(records), default=np.inf) <= self._budget_ms):
            return ()
        return self._said(expected(self._context.space, prior, off_by=self._off_by))

    def after(self, records: Sequence[Record]) -> tuple[str, ...]:
        """Lines for the user, the first time that there is something to say."""
        latencies = _latencies(records)
        if self._looked or len(latencies) < _TELLING:
            return ()
        self._looked = True
        return () if min(latencies) <= self._budget_ms else self._said(learnt(self._context, records))

    def _said(self, found: Reach) -> tuple[str, ...]:
        return found.explain(self._budget_ms) if found.misses(self._budget_ms) else ()


def _latencies(records: Sequence[Record]) -> list[float]:
    return [r.outcome.timing.median_ms for r in records if isinstance(r.outcome, Measured)]


class _Search:
    """Least latency over all frames, by one exact solution each."""

    def __init__(self, space: SearchSpace, prior: Prior, features: Features, weights: Floats | None) -> None:
        self._space, self._prior, self._features, self._given = space, prior, features, weights
        self._graph: ModelGraph = space.graph
        self._frames = Frames(space)

    def run(self, by: str) -> Reach:
        fastest, latency_ms = min((self._descend(base) for base in self._space.bases), key=lambda pair: pair[1])
        uncut = self._ms(replace(fastest, cuts=()))
        types = self._graph.assign(fastest)
        scale = self._scale(fastest, latency_ms)
        units = {
            unit.name: self._prior.work(unit.name, types[unit.name]).total_ms * scale
            for unit in self._prior.plan(fastest).units
        }
        slowest = tuple(sorted(units.items(), key=lambda pair: -pair[1])[:_SLOWEST])
        shape = self._graph.tensors[self._graph.inputs[0]].shape
        size = (shape[-2], shape[-1]) if len(shape) == 4 else (1, 1)
        return Reach(
            fastest, latency_ms, 0.0, by, uncut - latency_ms, self._other_cut(fastest, latency_ms), slowest,
            self._prior.base_ms(fastest) * scale, size,
        )  # fmt: skip

    def _descend(self, base: str) -> tuple[Candidate, float]:
        """One dimension after the other, from the deepest cuts on."""
        frame = self._frames.deepest(base)
        best = self._fastest(frame)
        for name, choices in self._frames.dimensions.items():
            for choice in choices if name != "base" else ():
                other = self._frames.at({**frame.params, name: choice})
                if other is not frame and (found := self._fastest(other))[1] < best[1]:
                    frame, best = other, found
        return best

    def _fastest(self, frame: Frame) -> tuple[Candidate, float]:
        tables = self._features.tables(frame)
        chosen = Model(frame, tables, self._weights()).fastest()
        candidate = self._space.at(frame.point(chosen))
        return candidate, self._ms(candidate)

    def _other_cut(self, fastest: Candidate, latency_ms: float) -> tuple[str, tuple[str, ...], float] | None:
        """The cut outside the space that saves most."""
        found = [
            (output, cut, latency_ms - self._ms(self._space.canonical(with_cut)))
            for output, cut, with_cut in self._cuts_besides(fastest)
        ]
        best = max(found, key=lambda item: item[2], default=None)
        return best if best is not None and best[2] > 0.001 * latency_ms else None

    def _cuts_besides(self, fastest: Candidate) -> Iterator[tuple[str, tuple[str, ...], Candidate]]:
        known = {(o, tuple(t or ())) for c in self._space.cuts for o in c.outputs for t in c.tensors[o].values()}
        taken = {tensor for _, tensors in fastest.cuts for tensor in tensors}
        for output, cuts in self._graph.cut_points.items():
            if output in fastest.dropped:
                continue
            for cut in cuts:
                if (output, cut) not in known and not taken.intersection(cut):
                    others = tuple(pair for pair in fastest.cuts if pair[0] != output)
                    yield output, cut, replace(fastest, cuts=(*others, (output, cut)))

    def _ms(self, candidate: Candidate) -> float:
        row = self._features.latency_row(candidate)
        return float(row @ self._weights()[: len(row)])

    def _weights(self) -> Floats:
        """One for what the prior expects; the fitted ones as far as they go."""
        terms = list(self._features.latency.index)
        found = np.array([float(term[0] in _MAIN) for term in terms])
        if self._given is not None:
            found *= np.median([w for w, t in zip(self._given, terms, strict=False) if t[0] in _MAIN])
            found[: len(self._given)] = self._given
        return found

    def _scale(self, candidate: Candidate, latency_ms: float) -> float:
        """What a millisecond of the prior takes."""
        row = self._features.latency_row(candidate)
        main = np.array([term[0] in _MAIN for term in self._features.latency.index][: len(row)])
        return latency_ms / max(float(row[main].sum()), 1e-12)
