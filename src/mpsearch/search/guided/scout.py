"""Tails worth solving in: the groups' choices of the front, under each of a few tails.

A tail that ends within a group, or between two, reaches what the groups alone cannot say. Every tail is a frame of its
own, and there may be a hundred of them, so only the most promising ones are solved exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from mpsearch.candidate import BASES, DataType
from mpsearch.search.guided import acquire, pool
from mpsearch.search.guided.arrays import Floats, Ints
from mpsearch.search.guided.frames import Frame, Frames
from mpsearch.search.guided.models import Learner, Models
from mpsearch.search.guided.pool import Batch

LOOKED_AT = 24
"""Tails that a proposal looks at, drawn anew each time."""
_PARENTS = 16


def draw(frames: Frames, starts: Sequence[Frame], rng: np.random.Generator) -> list[Frame]:
    """At most :data:`LOOKED_AT` frames with a tail, each otherwise one of ``starts``."""
    every = list(_wider(frames, starts))
    if len(every) > LOOKED_AT:
        every = [every[i] for i in np.sort(rng.choice(len(every), LOOKED_AT, replace=False))]
    return [frames.at(params) for params in every]


def _wider(frames: Frames, starts: Sequence[Frame]) -> Iterator[dict[str, str]]:
    for start in starts:
        for tail in frames.tails:
            if DataType(tail["tail_type"]).rank > BASES[start.base].type.rank:
                yield {**start.params, **tail}


def best(
    learner: Learner,
    models: Models,
    tails: Sequence[Frame],
    parents: Sequence[tuple[Frame, Ints]],
    front: Floats,
    reference: tuple[float, float],
) -> list[Frame]:
    """The tails with the largest expected gain, alone or with the choices of a parent: one in hypervolume, and one in
    the least error within the budget.

    Args:
        tails: frames whose tables were made before ``models`` were fitted.
        parents: the front's assignments.
        front: [m, 2] ms and natural log error.
        reference: the budget in ms, and the worst log error that counts.
    """
    budget_ms, worst = reference
    least = min((step[1] for step in front if step[0] <= budget_ms), default=worst)
    gains = []
    for frame in tails:
        rows = [np.zeros(len(frame.options), dtype=np.int64)]
        rows += [pool.transfer(chosen, source, frame) for source, chosen in parents[-_PARENTS:]]
        belief = learner.beliefs(models, Batch(frame, np.unique(np.array(rows), axis=0)))
        latency, error = acquire.draws(belief, np.random.default_rng(0))
        both = (
            acquire.volume_gain(latency, error, front, reference),
            acquire.budget_gain(latency, error, least, budget_ms),
        )
        gains.append([float((gain.mean(axis=0) * belief.ok).max()) for gain in both])
    return [tails[i] for i in np.argmax(gains, axis=0)] if gains else []
