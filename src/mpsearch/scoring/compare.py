"""Are two candidates different, or is it noise? Paired over photographs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import wilcoxon

from mpsearch.record import Score

SIGNIFICANT = 0.05
NOISE_RATIO = 1.05
"""The vendor's engine repeats to about 2 %, so a smaller ratio says nothing."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """``a`` against ``b`` over the photographs that both have a value for.

    Attributes:
        images: how many photographs took part.
        p_value: two-sided Wilcoxon signed-rank test; 1 when there is no difference to test.
        ratio: mean error of ``a`` over that of ``b``; infinite when only ``b`` is without error, 1 when both are.
    """

    images: int
    p_value: float
    ratio: float

    @property
    def differ(self) -> bool:
        """The test says so, and by more than the noise of the engine."""
        return self.p_value < SIGNIFICANT and not 1 / NOISE_RATIO <= self.ratio <= NOISE_RATIO


def paired(a: Score, b: Score) -> Comparison:
    """Compare the per-image errors of two candidates.

    Raises:
        ValueError: the scores are of different photographs.
    """
    if len(a.per_image) != len(b.per_image):
        raise ValueError(f"{len(a.per_image)} photographs against {len(b.per_image)}")
    both = [(x, y) for x, y in zip(a.per_image, b.per_image, strict=True) if x is not None and y is not None]
    if not both:
        return Comparison(0, 1.0, 1.0)
    left, right = np.array(both).T
    means = float(left.mean()), float(right.mean())
    ratio = means[0] / means[1] if means[1] else (math.inf if means[0] else 1.0)
    same = bool((left == right).all())
    p_value = 1.0 if same else float(wilcoxon(left, right).pvalue)
    return Comparison(len(both), p_value, ratio)
