"""Parameters from timings: least squares on log(model / measured) with a log-normal prior on each parameter.

The prior keeps few rows from bending a parameter far from what is known of the hardware; a parameter that no row speaks
for stays at its prior. (This is the maximum a posteriori estimate for log-normal errors.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, inf, log

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares


@dataclass(frozen=True, slots=True)
class Parameter:
    """A positive number to be found.

    Attributes:
        field: of the profile.
        centre: of the prior.
        sigma: of the prior, in log: how far the parameter may easily go.
        least: lower bound.
        board: the board whose profile it belongs to, or None for all that are fitted together.
    """

    field: str
    centre: float
    sigma: float
    least: float = 0.0
    board: str | None = None


def solve(
    log_ratios: Callable[[Sequence[float]], Sequence[float]],
    parameters: Sequence[Parameter],
    *,
    row_sigma: float,
    start: Sequence[float] | None = None,
    evaluations: int = 40,
) -> tuple[float, ...]:
    """The most probable values, in the order of ``parameters``.

    Args:
        log_ratios: values -> log(model / measured) of each row.
        row_sigma: scatter to expect of a row, in log.
        start: where to begin; by default the priors' centres.
        evaluations: at most so many steps.
    """
    centre = np.array([log(item.centre) for item in parameters])
    sigma = np.array([item.sigma for item in parameters])
    least = np.array([log(item.least) if item.least > 0 else -inf for item in parameters])
    begin = centre if start is None else np.log(np.asarray(start, dtype=float))

    def residuals(point: NDArray[np.float64]) -> NDArray[np.float64]:
        off = np.asarray(log_ratios([exp(x) for x in point])) / row_sigma
        return np.concatenate([off, (point - centre) / sigma])

    found = least_squares(
        residuals, np.maximum(begin, least + 1e-9), bounds=(least, np.full_like(least, inf)), xtol=1e-6, ftol=1e-6,
        diff_step=np.full_like(centre, 1e-4), max_nfev=evaluations,
    )  # fmt: skip
    return tuple(exp(x) for x in found.x)
