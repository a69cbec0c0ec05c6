"""Overlap, suppression and matching against slow oracles."""

from __future__ import annotations

from itertools import permutations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mpsearch.scoring.faces import iou, nms
from mpsearch.scoring.matching import assign

coordinates = st.integers(0, 20)


@st.composite
def boxes(draw: st.DrawFn, most: int) -> np.ndarray:
    rows = draw(st.lists(st.tuples(coordinates, coordinates, st.integers(0, 12), st.integers(0, 12)), max_size=most))
    return np.array([(x, y, x + w, y + h) for x, y, w, h in rows], float).reshape(-1, 4)


def slow_iou(a: np.ndarray, b: np.ndarray) -> float:
    """By counting unit squares."""
    one, other = ({(x, y) for x in range(int(q[0]), int(q[2])) for y in range(int(q[1]), int(q[3]))} for q in (a, b))
    return len(one & other) / len(one | other) if one | other else 0.0


@given(boxes(5), boxes(5))
def test_iou_counts_squares(a: np.ndarray, b: np.ndarray) -> None:
    found = iou(a, b)
    assert found.shape == (len(a), len(b))
    for i in range(len(a)):
        for j in range(len(b)):
            assert abs(found[i, j] - slow_iou(a[i], b[j])) < 1e-12


@given(boxes(8))
def test_nms_keeps_a_box_exactly_when_no_better_kept_one_covers_it(found: np.ndarray) -> None:
    kept: list[int] = []
    for index in range(len(found)):
        if all(slow_iou(found[index], found[better]) <= 0.45 for better in kept):
            kept.append(index)
    assert nms(found).tolist() == kept


@given(boxes(4), boxes(4))
def test_assignment_makes_the_most_pairs_and_among_those_the_best(a: np.ndarray, b: np.ndarray) -> None:
    rows, columns, values = assign(a, b)
    assert len(set(rows)) == len(rows)
    assert len(set(columns)) == len(columns)
    assert (values >= 0.5).all()
    best = (0, 0.0)
    short, long = (a, b) if len(a) <= len(b) else (b, a)
    for order in permutations(range(len(long)), len(short)):
        pairs = [slow_iou(short[i], long[j]) for i, j in enumerate(order)]
        good = [value for value in pairs if value >= 0.5]
        best = max(best, (len(good), sum(good)))
    assert len(rows) == best[0]
    assert abs(values.sum() - best[1]) < 1e-9
