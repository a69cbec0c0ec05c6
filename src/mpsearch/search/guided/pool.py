"""Candidates worth a thought: every assignment of small frames; else exact solutions, neighbours of the front, and
a few random changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mpsearch.search.guided.arrays import Floats, Ints
from mpsearch.search.guided.error import ErrorModel
from mpsearch.search.guided.features import Features
from mpsearch.search.guided.frames import Frame
from mpsearch.search.guided.latency import LatencyModel
from mpsearch.search.guided.solve import Model

SMALL = 4096
_PAIRS = 150
_MUTANTS = 60


@dataclass(frozen=True)
class Batch:
    """Assignments [n, groups] of one frame."""

    frame: Frame
    chosen: Ints


def transfer(chosen: Ints, source: Frame, target: Frame) -> Ints:
    """The same choices in another frame, its first where it has not that choice."""
    found = np.zeros(len(chosen), dtype=np.int64)
    for index, option in enumerate(chosen.tolist()):
        name = source.options[index][option]
        if name in target.options[index]:
            found[index] = target.options[index].index(name)
    return found


def neighbours(frame: Frame, chosen: Ints, rng: np.random.Generator, pairs: int = _PAIRS) -> Ints:
    """[n, groups] ``chosen`` itself, all single changes, and up to ``pairs`` double ones."""
    found = [chosen]
    free = [g for g, count in enumerate(frame.counts) if count > 1]
    for group in free:
        for option in range(frame.counts[group]):
            if option != chosen[group]:
                changed = chosen.copy()
                changed[group] = option
                found.append(changed)
    couples = [(a, b) for i, a in enumerate(free) for b in free[i + 1 :]]
    if len(couples) > pairs:
        couples = [couples[i] for i in rng.choice(len(couples), pairs, replace=False)]
    for a, b in couples:
        changed = chosen.copy()
        for group in (a, b):
            others = [o for o in range(frame.counts[group]) if o != chosen[group]]
            changed[group] = others[rng.integers(len(others))]
        found.append(changed)
    return np.array(found)


def mutants(frame: Frame, parents: Sequence[Ints], rng: np.random.Generator, count: int = _MUTANTS) -> Ints:
    """[count, groups] children of two parents with a few groups at random: no model has a say in them."""
    found = []
    counts = np.array(frame.counts)
    for _ in range(count):
        a, b = (parents[int(rng.integers(len(parents)))] for _ in range(2))
        child = np.where(rng.random(len(counts)) < 0.5, a, b)
        fresh = rng.random(len(counts)) < min(1.0, 2.0 / max((counts > 1).sum(), 1))
        found.append(np.where(fresh, rng.integers(0, counts), child))
    return np.array(found).reshape(count, -1)


def exact(
    frame: Frame,
    features: Features,
    latency: LatencyModel,
    error: ErrorModel,
    base: int,
    targets_ms: Sequence[float],
    known: Sequence[Ints],
    rng: np.random.Generator | None,
) -> list[Ints]:
    """For each target the solution of a draw of both posteriors (of their means for the first)."""
    shares = _per_option(frame, features)
    found: list[Ints] = []
    for index, target_ms in enumerate(targets_ms):
        draw = rng if index else None
        powers = error.powers(base, draw)
        values = [(table * powers[group]).sum(axis=1) for group, table in enumerate(shares)]
        model = Model(frame, features.tables(frame), latency.draw(draw))
        solution = model.solve(values, target_ms, [*known, *found])
        if solution is not None:
            found.append(solution)
    return found


def _per_option(frame: Frame, features: Features) -> list[Floats]:
    """For each group [options, ranks] shares."""
    tables = []
    for group, count in enumerate(frame.counts):
        chosen = np.zeros((count, len(frame.counts)), dtype=np.int64)
        chosen[:, group] = np.arange(count)
        tables.append(features.many_shares(frame, chosen)[:, group])
    return tables
