"""From statistics to ranges: the calibration algorithms of the metafile's ``quantization.algorithm``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpsearch.quant.ranges import Range
from mpsearch.quant.statistics import Histograms, Statistics

FloatArray = NDArray[np.float64]
_OUTSIDE = 1e-11
_STEPS = 128
"""Thresholds that are tried."""


@dataclass(frozen=True, slots=True)
class Options:
    """``quantization.options`` of the metafile, with the engine's defaults.

    Attributes:
        moving_average_weight: of what was seen so far; the new photograph counts ``1 - weight`` (so with the default
            0.01 nearly only the last photograph counts; that is what the engine's numbers show).
        parts: not the metafile's but the engine's own toss, see :func:`mpsearch.quant.ranges.converters`.
        divergence_nbins: bins of the histogram of magnitudes; 0: ``2 ** divergence_first_quantize_bits``.
    """

    moving_average_weight: float = 0.01
    divergence_nbins: int = 0
    divergence_first_quantize_bits: int = 11
    parts: bool = False

    def __post_init__(self) -> None:
        if not 0.0 <= self.moving_average_weight < 1.0:
            raise ValueError(f"moving_average_weight {self.moving_average_weight} must be in [0, 1)")
        if self.divergence_nbins < 0 or not 4 <= self.divergence_first_quantize_bits <= 13:
            raise ValueError("divergence_nbins must be 0 or more, divergence_first_quantize_bits 4 to 13")


def moving_average(known: Statistics, options: Options) -> Callable[[str], Range]:
    """Exponential average of each photograph's minimum and maximum, in calibration order."""
    weight = options.moving_average_weight

    def of(tensor: str) -> Range:
        rows = known.extremes[tensor].astype(np.float64)
        average = rows[0]
        for row in rows[1:]:
            average = weight * average + (1.0 - weight) * row
        return float(np.float32(average[0])), float(np.float32(average[1]))

    return of


def kl_divergence(found: Histograms, options: Options, *, levels: int = 256) -> Callable[[str], Range]:
    """The clipped range whose quantized histogram is nearest to the real one (Kullback-Leibler), 8-bit tensors only.

    With 65536 levels nothing is gained by clipping: 16-bit tensors keep their whole range. How the engine searches is
    not documented. Its table shows that it tries 16 thresholds, (k / 16 + half a bin) of the largest magnitude; this
    variant, of some hundred among the nearest, comes within one of those for half of the tensors.
    """
    bins = options.divergence_nbins or 1 << options.divergence_first_quantize_bits
    done: dict[str, Range] = {}

    def of(tensor: str) -> Range:
        if tensor not in done:
            done[tensor] = _nearest(found.counts[tensor], found.ranges[tensor], bins, levels)
        return done[tensor]

    return of


def _nearest(counts: NDArray[np.int64], whole: Range, bins: int, levels: int) -> Range:
    """The threshold t at which P, the histogram of magnitudes, and its ``levels``-step version below t differ least.

    Q spreads each step's mass over the bins of the step that are not empty, takes what lies above t into its last bin,
    and is :data:`_OUTSIDE` elsewhere, so that cutting off what really occurs is dear.
    """
    low, high = whole
    largest = max(-low, high)
    if largest <= 0 or bins <= levels:
        return whole
    centres = np.abs(low + (np.arange(len(counts)) + 0.5) * ((high - low) / len(counts)))
    histogram = np.histogram(centres, bins=bins, range=(0.0, largest), weights=counts)[0]
    p = histogram / histogram.sum()
    best, threshold = np.inf, largest
    for kept in range(levels, bins + 1, max(bins // _STEPS, 1)):
        divergence = _divergence(p, kept, levels)
        if divergence < best:
            best, threshold = divergence, largest * kept / bins
    return max(low, -threshold), min(high, threshold)


def _divergence(p: FloatArray, kept: int, levels: int) -> float:
    inside = p[:kept].copy()
    inside[-1] += p[kept:].sum()
    step = np.arange(kept) * levels // kept
    mass = np.bincount(step, weights=inside, minlength=levels)
    filled = np.bincount(step, weights=inside > 0, minlength=levels)
    q = np.full(len(p), _OUTSIDE)
    q[:kept] = np.where(inside > 0, (mass / np.maximum(filled, 1))[step], _OUTSIDE)
    seen = p > 0
    return float((p[seen] * np.log(p[seen] / (q[seen] / q.sum()))).sum())
