"""What changes nothing: groups and cuts whose choice never moved the error by a bit.

A head that no landmark depends on, or a cut in front of nothing but a Reshape, gives the very same error whatever is
chosen there. Where two observations are equal to the last bit, what they differ in is taken for such a choice, until a
pair that differs in nothing else disagrees. A candidate that differs from a measured one in such choices alone has a
known error; unless it is faster, nothing can be learnt from it.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from mpsearch.candidate import RANKS, Candidate
from mpsearch.search.guided.arrays import Bools, Floats, Ints
from mpsearch.search.guided.knowledge import Known

_STEPS = 10_000
_PAIRS_AT_MOST = 400
"""Observations that are compared with each other; the newest ones."""


@dataclass(frozen=True)
class Alike:
    """Made by :func:`find`.

    Attributes:
        groups: [groups] which of them change nothing.
        marks: names of other choices that change nothing: ``cut`` of an output, ``preprocess`` ...
    """

    groups: Bools
    marks: frozenset[str]
    _seen: dict[Hashable, tuple[float, float]]

    def __bool__(self) -> bool:
        return bool(self.groups.any() or self.marks)

    def errors(self, plain: Candidate, shares: Floats) -> tuple[Floats, Floats]:
        """For [n, groups, ranks] under ``plain``: the known error, NaN where it is not; and the least latency in ms
        that it was measured at."""
        found = np.full((2, len(shares)), np.nan)
        if self:
            front = _masked(_marks(plain), self.marks)
            codes = np.ascontiguousarray(np.where(self.groups, -1, _codes(shares)))
            for row, code in enumerate(codes):
                known = self._seen.get((front, code.tobytes()))
                if known is not None:
                    found[:, row] = known
        return found[0], found[1]


def find(known: Sequence[Known]) -> Alike:
    """Compare every two observations of the same kind (all photographs, few, or all on another computer)."""
    items = [item for item in known if item.error_px2 is not None][:_PAIRS_AT_MOST]
    if not items:
        return Alike(np.zeros(0, dtype=bool), frozenset(), {})
    codes = _codes(np.array([item.shares for item in items]))
    marks = [_marks(item.candidate) for item in items]
    names = sorted({name for own in marks for name in own})
    rows = np.concatenate([codes, np.array([[_number(own.get(n)) for n in names] for own in marks])], axis=1)
    errors = np.array([item.error_px2 for item in items])
    kinds = np.array([item.cheap + 2 * item.elsewhere for item in items])
    first, second = np.triu_indices(len(items), 1)
    same_kind = kinds[first] == kinds[second]
    differs = (rows[first] != rows[second])[same_kind]
    equal = (errors[first] == errors[second])[same_kind]
    idle = _idle(differs[equal], differs[~equal])
    groups = idle[: codes.shape[1]]
    free = frozenset(name for name, off in zip(names, idle[codes.shape[1] :], strict=True) if off)
    seen: dict[Hashable, tuple[float, float]] = {}
    if groups.any() or free:
        masked = np.ascontiguousarray(np.where(groups, -1, codes))
        for item, own, code in zip(items, marks, masked, strict=True):
            if item.latency_ms is not None and item.error_px2 is not None and item.ok:
                key = (_masked(own, free), code.tobytes())
                least = min(item.latency_ms, seen.get(key, (0.0, np.inf))[1])
                seen[key] = (item.error_px2, least)
    return Alike(groups, free, seen)


def _idle(equal: Bools, unequal: Bools) -> Bools:
    """[columns] what only ever differed without consequence.

    Args:
        equal, unequal: [pairs, columns] where pairs of equal and of unequal errors differ. A pair of unequal errors
            proves that one of its columns matters; the pairs that differ in the fewest are believed first.
    """
    matters = np.zeros(equal.shape[1], dtype=bool)
    while True:
        idle: Bools = np.any(equal[~(equal & matters).any(axis=1)], axis=0)
        broken = unequal[~(unequal & ~idle).any(axis=1)]
        if not len(broken) or not broken.any():
            return idle
        sizes = broken.sum(axis=1)
        matters |= broken[sizes == sizes[sizes > 0].min()].any(axis=0)


def _codes(shares: Floats) -> Ints:
    """[n, groups] a number for each group's shares [n, groups, ranks]."""
    steps = np.rint(shares * _STEPS).astype(np.int64)
    found: Ints = (steps * (_STEPS + 1) ** np.arange(RANKS, dtype=np.int64)).sum(axis=2)
    return found


def _marks(candidate: Candidate) -> dict[str, Hashable]:
    """Everything but types. What an output is delivered as, and whether at all, is one choice."""
    found: dict[str, Hashable] = {
        "base": candidate.base, "algorithm": str(candidate.algorithm), "preprocess": candidate.preprocess,
        **{f"cut:{output}": tensors for output, tensors in candidate.cuts},
        **{f"cut:{output}": "dropped" for output in candidate.dropped}, **dict(candidate.options),
    }  # fmt: skip
    return found


def _masked(marks: dict[str, Hashable], free: frozenset[str]) -> Hashable:
    return tuple(sorted((name, str(value)) for name, value in marks.items() if name not in free))


def _number(value: Hashable) -> int:
    """Equal values give equal numbers within one process."""
    return 0 if value is None else hash(value)
