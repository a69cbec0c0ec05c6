"""Two candidates in pairs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mpsearch.record import Score
from mpsearch.scoring.compare import paired


def score(*per_image: float | None) -> Score:
    return Score(None, None, 1.0, len(per_image), 0, 0, per_image=per_image)


ERRORS = tuple(float(value) for value in np.random.default_rng(0).uniform(1, 5, 20))


def test_a_candidate_does_not_differ_from_itself() -> None:
    comparison = paired(score(*ERRORS), score(*ERRORS))
    assert (comparison.images, comparison.p_value, comparison.ratio, comparison.differ) == (20, 1.0, 1.0, False)


def test_a_steady_ten_per_cent_is_a_difference_either_way_round() -> None:
    worse = score(*(error * 1.1 for error in ERRORS))
    assert paired(worse, score(*ERRORS)).differ
    assert paired(score(*ERRORS), worse).differ
    assert paired(worse, score(*ERRORS)).ratio == pytest.approx(1.1)


def test_a_steady_two_per_cent_is_the_engines_noise() -> None:
    comparison = paired(score(*(error * 1.02 for error in ERRORS)), score(*ERRORS))
    assert comparison.p_value < 0.05
    assert not comparison.differ


def test_one_bad_photograph_is_no_difference_in_pairs() -> None:
    comparison = paired(score(ERRORS[0] * 100, *ERRORS[1:]), score(*ERRORS))
    assert comparison.ratio > 1.05
    assert not comparison.differ


def test_only_photographs_with_faces_in_both_take_part() -> None:
    comparison = paired(score(None, 2.0, 3.0), score(1.0, None, 3.0))
    assert (comparison.images, comparison.ratio) == (1, 1.0)
    assert paired(score(None), score(1.0)).images == 0


def test_a_perfect_candidate_makes_the_ratio_infinite_or_zero() -> None:
    perfect, bad = score(*[0.0] * 20), score(*ERRORS)
    assert paired(bad, perfect).ratio == math.inf
    assert paired(perfect, bad).ratio == 0
    assert paired(bad, perfect).differ
    assert paired(perfect, perfect).ratio == 1


def test_scores_of_different_photographs_cannot_be_paired() -> None:
    with pytest.raises(ValueError, match="2 photographs against 1"):
        paired(score(1.0, 2.0), score(1.0))
