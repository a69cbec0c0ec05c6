"""Where a study looks for a candidate that it has not evaluated, when its sampler has none."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping

from mpsearch.space.space import SearchSpace

ENUMERATED = 4096
"""Spaces of at most so many parameter sets are searched completely for an unknown candidate, larger ones by draws."""
DRAWS = 2000


def around(space: SearchSpace, last: Mapping[str, str], draw: random.Random) -> Iterator[Mapping[str, str]]:
    """Parameters: neighbours of ``last``, one changed parameter first, then more; at the end anything."""
    dimensions = {name: choices for name, choices in space.dimensions.items() if len(choices) > 1}
    if space.size <= ENUMERATED:
        every = [dict(zip(dimensions, p, strict=True)) for p in itertools.product(*dimensions.values())]
        draw.shuffle(every)
        yield from sorted(every, key=lambda point: sum(last.get(name) != value for name, value in point.items()))
        return
    for i in range(DRAWS):
        changed = draw.sample(sorted(dimensions), 1 + i * len(dimensions) // DRAWS)
        fresh = {name: draw.choice(choices) for name, choices in dimensions.items()}
        yield {**fresh, **last, **{name: fresh[name] for name in changed}}
