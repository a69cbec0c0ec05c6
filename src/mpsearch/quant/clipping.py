"""Ranges that cut off outliers: what the calibrations of SNPE's quantizers search, from a histogram.

``sqnr`` (what ``enhanced`` means) follows AIMET's published TF-Enhanced quantizer: of a grid of steps and offsets it
takes the one with the least expected square error, in which what saturates counts :data:`GAMMA` times. ``mse`` weighs
both alike, ``entropy`` shrinks the range from its ends and takes the least Kullback-Leibler divergence, ``percentile``
cuts half of the rest off each end.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Range = tuple[float, float]
Floats = NDArray[np.float64]
BINS = 512
GAMMA = 3.0
PERCENTILE = 99.99
_STEPS, _SYMMETRIC_STEPS, _OFFSETS = 16, 100, 20
_EMPTY = 1e-4
"""Of a count: what an empty bin weighs in a divergence."""


def clip(calibration: str, counts: NDArray[np.int64], whole: Range, *, steps: int, symmetric: bool) -> Range:
    """The range that ``calibration`` chooses.

    Args:
        calibration: ``min-max``, ``sqnr``, ``mse``, ``entropy`` or ``percentile``.
        counts: how many values fall into equal parts of ``whole``.
        whole: smallest and largest value seen.
        steps: of the integers, 255 for 8 bits.
        symmetric: whether the range will be made symmetric around 0.
    """
    low, high = whole
    if calibration == "min-max" or not high > low or counts.sum() == 0:
        return whole
    if calibration == "percentile":
        return _percentile(counts, whole)
    weights, centres = _coarse(counts, whole)
    if calibration == "entropy":
        return _least_divergence(weights, whole, steps, symmetric)
    gamma = GAMMA if calibration == "sqnr" else 1.0
    tried = list(_symmetric(whole, steps) if symmetric else _asymmetric(whole, steps))
    return min(tried, key=lambda found: _cost(weights, centres, found, steps, gamma))


def _percentile(counts: NDArray[np.int64], whole: Range) -> Range:
    low, high = whole
    edges = np.linspace(low, high, len(counts) + 1)
    share = np.cumsum(counts) / counts.sum()
    outside = (1 - PERCENTILE / 100) / 2
    first = int(np.searchsorted(share, outside, side="right"))
    last = int(np.searchsorted(share, 1 - outside, side="left"))
    return float(edges[first]), float(edges[min(last, len(counts) - 1) + 1])


def _coarse(counts: NDArray[np.int64], whole: Range) -> tuple[Floats, Floats]:
    """:data:`BINS` shares and the middles of their bins."""
    parts = np.array_split(counts, BINS) if len(counts) > BINS else np.array_split(counts, len(counts))
    weights = np.array([part.sum() for part in parts], np.float64)
    width = (whole[1] - whole[0]) / len(counts)
    ends = whole[0] + np.cumsum([0, *(len(part) for part in parts)]) * width
    return weights / weights.sum(), (ends[:-1] + ends[1:]) / 2


def _asymmetric(whole: Range, steps: int) -> Iterator[Range]:
    """A grid of steps and offsets, each cut to what was seen; the whole range last."""
    low, high = min(whole[0], 0.0), max(whole[1], 0.0)
    for part in range(1, _STEPS + 2):
        step = (high - low) / steps * part / _STEPS
        for index in range(_OFFSETS + 1):
            start = step * round(-steps + steps * index / _OFFSETS)
            found = max(low, start), min(high, start + step * steps)
            if found[1] > found[0]:
                yield found
    yield low, high


def _symmetric(whole: Range, steps: int) -> Iterator[Range]:
    largest = max(-whole[0], whole[1])
    for part in range(1, _SYMMETRIC_STEPS + 2):
        yield -largest * part / _SYMMETRIC_STEPS, largest * part / _SYMMETRIC_STEPS


def _cost(weights: Floats, centres: Floats, found: Range, steps: int, gamma: float) -> float:
    """Expected square error of rounding inside the range and, ``gamma`` times, of what lies outside it."""
    low, high = found
    step = (high - low) / steps
    inside = np.clip(centres, low, high)
    rounded = np.round(inside / step) * step - inside
    return float(weights @ (np.where(inside == centres, rounded**2, gamma * (centres - inside) ** 2)))


def _least_divergence(weights: Floats, whole: Range, steps: int, symmetric: bool) -> Range:
    """Both ends move inwards, the one with less behind it first; 16-bit tensors keep their range."""
    low, high = whole
    if steps != 255 or len(weights) <= steps:
        return whole
    edges = np.linspace(low, high, len(weights) + 1)
    start, stop = 0, len(weights)
    best, chosen = np.inf, whole
    while stop - start > steps:
        divergence = _divergence(weights, start, stop, steps)
        if divergence < best:
            best, chosen = divergence, (float(edges[start]), float(edges[stop]))
        may_left, may_right = edges[start + 1] <= 0, edges[stop - 1] >= 0  # 0 stays inside
        if not (may_left or may_right):
            break
        prefers_left = -edges[start] > edges[stop] if symmetric else weights[start] <= weights[stop - 1]
        if may_left and (prefers_left or not may_right):
            start += 1
        else:
            stop -= 1
    return chosen


def _divergence(weights: Floats, start: int, stop: int, steps: int) -> float:
    p = weights[start:stop].copy()
    seen = p > 0
    step = np.arange(len(p)) * steps // len(p)
    mass, filled = np.bincount(step, weights=p), np.bincount(step, weights=seen)
    q = np.where(seen, (mass / np.maximum(filled, 1))[step], 0.0)
    p[0] += weights[:start].sum()
    p[-1] += weights[stop:].sum()
    if q.sum() == 0:
        return np.inf
    p, q = (np.maximum(part / part.sum(), _EMPTY / len(part)) for part in (p, q))
    return float((p * np.log(p / q)).sum())
