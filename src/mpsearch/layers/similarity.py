"""How alike two outputs of one layer are, in the five numbers that quantization-effect-checker made usual.

========== ====================================================================================================
CosSim     cosine of the angle between the two, taken as vectors
MSE        mean squared difference
SAR        sign agreement rate: the share of places where both are >= 0, or both below
PearsonR   correlation of the values; none where either is constant
DKL        relative entropy of their histograms: 10 bins each over its own range, empty bins counted as 1e-10
========== ====================================================================================================

DKL looks at the shape of a distribution alone: a layer that is off by a factor has DKL 0. Read it beside the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from mpsearch.scoring.outputs import cosine

FloatArray = NDArray[np.float32]

COLUMNS = ("Layer", "CosSim", "MSE", "SAR", "PearsonR", "DKL")
BINS = 10
EMPTY = 1e-10


@dataclass(frozen=True, slots=True)
class Similarity:
    """Of one layer; see the module for the five numbers.

    Attributes:
        pearson_r: None where either side is constant.
    """

    cos_sim: float
    mse: float
    sar: float
    pearson_r: float | None
    dkl: float

    def row(self, layer: str) -> dict[str, str | float | None]:
        """As a row with :data:`COLUMNS`."""
        values = (layer, self.cos_sim, self.mse, self.sar, self.pearson_r, self.dkl)
        return dict(zip(COLUMNS, values, strict=True))


def similarity(reference: FloatArray, found: FloatArray) -> Similarity:
    """``found`` against the float model's ``reference``, both of the same shape, not empty and finite.

    Two outputs that are zero everywhere are alike (cosine 1), one alone is not (0).

    Raises:
        ValueError: shapes that differ, no value, or a value that is not finite.
    """
    if reference.shape != found.shape or not reference.size:
        raise ValueError(f"shapes {list(reference.shape)} and {list(found.shape)} cannot be compared")
    a, b = reference.reshape(-1).astype(np.float64), found.reshape(-1).astype(np.float64)
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("values that are not finite")
    difference = a - b
    return Similarity(
        cos_sim=cosine(float(a @ b), float(a @ a), float(b @ b)),
        mse=float(difference @ difference) / a.size,
        sar=float(np.mean((a >= 0) == (b >= 0))),
        pearson_r=_pearson(a, b),
        dkl=_relative_entropy(a, b),
    )


def mean(several: Iterable[Similarity]) -> Similarity:
    """Of one layer over several photographs: the mean of each number, of ``pearson_r`` where there is one."""
    found = list(several)

    def over(name: str) -> float | None:
        values = [value for one in found if (value := getattr(one, name)) is not None]
        return math.fsum(values) / len(values) if values else None

    return Similarity(**{field.name: over(field.name) for field in fields(Similarity)})  # type: ignore[arg-type]


def _pearson(a: NDArray[np.float64], b: NDArray[np.float64]) -> float | None:
    # Not "the spread is 0": the mean of equal numbers is not always that number.
    if (a == a[0]).all() or (b == b[0]).all():
        return None
    x, y = a - a.mean(), b - b.mean()
    norm = math.sqrt(float(x @ x)) * math.sqrt(float(y @ y))
    return max(-1.0, min(1.0, float(x @ y) / norm)) if norm > 0 else None


def _relative_entropy(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    p, q = _shares(a), _shares(b)
    return float(np.sum(p * np.log(p / q)))


def _shares(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The histogram's densities, scaled to sum to 1 as ``scipy.stats.entropy`` does."""
    density = np.histogram(values, bins=BINS, density=True)[0]
    density = np.where(density == 0, EMPTY, density)
    shares: NDArray[np.float64] = density / density.sum()
    return shares
