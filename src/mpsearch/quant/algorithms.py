"""From statistics to ranges: the calibration algorithms of the metafile's ``quantization.algorithm``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpsearch.quant.ranges import Range
from mpsearch.quant.statistics import Histograms, Statistics

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Options:
    """``quantization.options`` of the metafile, with the engine's defaults.

    Attributes:
        moving_average_weight: of what was seen so far; the new photograph counts ``1 - weight`` (so with the default
            0.01 nearly only the last photograph counts; that is what the engine's numbers show).
        divergence_nbins: bins of the histogram of magnitudes; 0: ``2 ** divergence_first_quantize_bits``.
    """

    moving_average_weight: float = 0.01
    divergence_nbins: int = 0
    divergence_first_quantize_bits: int = 11

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
