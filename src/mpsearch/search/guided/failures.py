"""Where candidates fail: choices that every failure had and no success, and the neighbourhood of failures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial.distance import cdist

from mpsearch.search.guided.arrays import Floats
from mpsearch.search.guided.knowledge import Known

_REACH = 0.08
_TRUST = 1.0
"""Successes that a place without trials counts for."""
_LEAST = 0.02


def probability(places: Floats, known: Sequence[Known], padded: Floats) -> Floats:
    """[n] that a candidate at ``places`` [n, coordinates] builds and keeps the limits on faces.

    Each failure blames the features it does not share with any success, in equal parts; besides, candidates near to
    failures fail more often.

    Args:
        padded: [known, coordinates] places of ``known``.
    """
    bad = np.array([not item.ok for item in known], dtype=bool)
    if not bad.any():
        return np.ones(len(places))
    distance = cdist(places, padded, "cityblock")
    near = np.exp(-distance / _REACH)
    success = (_TRUST + near[:, ~bad].sum(axis=1)) / (_TRUST + near.sum(axis=1))
    present = padded > 0
    seen_good = present[~bad].any(axis=0)
    blame = np.zeros(padded.shape[1])
    for row in present[bad]:
        suspects = row & ~seen_good
        if suspects.any():
            blame[suspects] += 1 / suspects.sum()
    hurt = (places > 0) * np.minimum(blame, 1.0)
    guilt = 1 - np.prod(1 - np.minimum(hurt, 1 - _LEAST), axis=1)
    found: Floats = np.maximum(success * (1 - guilt), _LEAST)
    return found
