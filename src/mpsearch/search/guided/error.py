"""Landmark error as a sum of noise powers, in logarithms.

Quantization noise of one layer is nearly independent of another's, and the landmark error is a mean square: so powers
add, and not their logarithms (AIMET AMP, arXiv 2302.05397, and HAWQ-V3, 2011.10680, build on the same sum):

    error = floor + sum over groups of s(base, group, rank) * share of the group's units at that rank

The unknowns are log s, so that no contribution is negative and one observation moves a small contribution as easily as
a large one. What does not add up (CLADO, 2307.05657) is taken by a process over the distance between candidates, as
much of it as the evidence asks for. Evaluations on few photographs enter as observations of their own, with an offset
that all share and a noise that the evidence chooses.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from mpsearch.pareto.front import ERROR_FLOOR_PX2
from mpsearch.search.guided.arrays import Bools, Floats, Ints
from mpsearch.search.guided.frames import RANKS
from mpsearch.search.guided.gaussian import Fit, Problem, Setting

_PER_RANK = np.log(np.array([1.0, 2.0**-14, 2.0**-14]))
"""16 bits have steps 256 times finer: 2^-16 in power. Never quite so much in a network."""
_GROUP_SD, _LEVEL_SD, _OWN_SD = 2.0, 1.5, 0.5
"""Prior standard deviations of log s: of a group (whatever the base), of a rank under a base (whatever the group), of
one entry alone."""
_OFFSET_SD = 0.3
_NOISE = (0.03, 0.12, 0.35)
_CHEAP_NOISE = 3.0
"""Noise of an evaluation on few photographs, in units of the noise of one on all."""
_STRENGTH = (0.0, 0.2, 0.6)
_REACH = (0.15, 0.5)
_STEPS = 25
_LARGEST_STEP, _SMALLEST_STEP = 2.0, 1e-3


@dataclass(frozen=True)
class Observations:
    """What was measured.

    Attributes:
        base: [n] index of base and algorithm.
        shares: [n, groups, ranks].
        cheap: [n] on few photographs.
    """

    base: Ints
    shares: Floats
    places: Floats
    cheap: Bools
    error_px2: Floats


@dataclass(frozen=True)
class ErrorModel:
    """Fitted to the trials.

    Attributes:
        used: [bases * groups * ranks] which entries can occur.
        theta: log s of those, then the log floor, then the offset of the cheap rung.
        observed: log error of the observations that :attr:`fit` was made of.
    """

    bases: int
    groups: int
    used: Bools
    theta: Floats
    fit: Fit
    observed: Floats
    cheap: Bools

    def predict(self, base: int, shares: Floats, places: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the natural logarithm of the error, for [n, groups, ranks]."""
        phi = _phi(np.full(len(shares), base), shares, self.bases)[:, self.used]
        value, slope = _linearised(phi, np.zeros(len(shares), dtype=bool), self.theta)
        mean, sd = self.fit.predict(slope, places)
        return value - slope @ self.theta + mean, sd

    def powers(self, base: int, rng: np.random.Generator | None) -> Floats:
        """[groups, ranks] contributions in px^2: a draw of the posterior, or its median without ``rng``."""
        theta = self.theta if rng is None else self.fit.draw(rng)
        found = np.zeros(len(self.used))
        found[self.used] = np.exp(np.clip(theta[:-2], -40, 20))
        powers: Floats = found.reshape(self.bases, self.groups, RANKS)[base]
        return powers


def fit(observed: Observations, ranks: Sequence[Collection[int]], *, remainder: bool = True) -> ErrorModel:
    """Gauss-Newton to the maximum of the posterior, then the Gaussian around it, for each setting of the grid.

    Args:
        ranks: for each base, those that can occur; what cannot is no unknown.
    """
    bases, groups = len(ranks), observed.shares.shape[1]
    y = np.log(np.maximum(observed.error_px2, ERROR_FLOOR_PX2))
    used = np.array([rank in mine for mine in ranks for _ in range(groups) for rank in range(RANKS)])
    phi = _phi(observed.base, observed.shares, bases)[:, used]
    mean, covariance = _prior(bases, groups, y)
    kept = np.append(np.flatnonzero(used), [len(used), len(used) + 1])
    mean, covariance = mean[kept], covariance[np.ix_(kept, kept)]
    noise = np.where(observed.cheap, _CHEAP_NOISE, 1.0)

    def problem(theta: Floats) -> Problem:
        value, slope = _linearised(phi, observed.cheap, theta)
        return Problem(slope, observed.places, y - value + slope @ theta, mean, covariance, noise)

    def solve(setting: Setting, start: Floats) -> tuple[Floats, Fit]:
        theta = start
        for _ in range(_STEPS):
            found = problem(theta).fit(setting)
            step = found.weights - theta
            size = float(np.abs(step).max())
            theta = theta + step * min(1.0, _LARGEST_STEP / max(size, 1e-9))
            if size < _SMALLEST_STEP:
                break
        return theta, found

    start, _ = solve(Setting(1.0, 0.2 * remainder, 0.3, 0.12), mean)
    if len(y) < 4:
        settings = [Setting(1.0, 0.0, 0.3, 0.12)]
    else:
        settings = [
            Setting(1.0, strength, reach, noise_sd)
            for strength, reach, noise_sd in product(_STRENGTH, _REACH, _NOISE)
            if (strength and remainder) or (not strength and reach == _REACH[0])
        ]
    chosen = problem(start).best(settings)
    theta, found = solve(chosen.setting, start)
    return ErrorModel(bases, groups, used, theta, found, y, observed.cheap)


def _phi(base: Ints, shares: Floats, bases: int) -> Floats:
    """[n, bases * groups * ranks]"""
    n, groups, ranks = shares.shape
    found = np.zeros((n, bases, groups * ranks))
    found[np.arange(n), base] = shares.reshape(n, -1)
    return found.reshape(n, -1)


def _linearised(phi: Floats, cheap: Bools, theta: Floats) -> tuple[Floats, Floats]:
    """Log error [n] and its slope [n, len(theta)]."""
    powers = phi * np.exp(np.clip(theta[:-2], -40, 20))
    floor = np.exp(theta[-2])
    total = powers.sum(axis=1) + floor
    slope = np.empty((len(phi), len(theta)))
    slope[:, :-2] = powers / total[:, None]
    slope[:, -2] = floor / total
    slope[:, -1] = cheap
    return np.log(total) + cheap * theta[-1], slope


def _prior(bases: int, groups: int, y: Floats) -> tuple[Floats, Floats]:
    """Levels from the worst that was seen, spread evenly over the groups; ranks by their step."""
    level = float(y.max()) - np.log(groups)
    mean = np.tile(level + _PER_RANK, bases * groups)
    index = np.arange(bases * groups * RANKS)
    rank, group, base = index % RANKS, index // RANKS % groups, index // (RANKS * groups)
    same_rank = rank[:, None] == rank
    covariance = _GROUP_SD**2 * (same_rank & (group[:, None] == group))
    covariance = covariance + _LEVEL_SD**2 * (same_rank & (base[:, None] == base))
    covariance = covariance + _OWN_SD**2 * np.eye(len(index))
    full = np.zeros((len(index) + 2, len(index) + 2))
    full[:-2, :-2] = covariance
    full[-2, -2], full[-1, -1] = 2.0**2, _OFFSET_SD**2
    return np.concatenate([mean, [float(y.min()) - 2.0, 0.0]]), full


def describe(model: ErrorModel, names: Sequence[str]) -> dict[str, float]:
    """Group -> share of the all-low error of the first base."""
    powers = model.powers(0, None)[:, 0]
    return dict(zip(names, (powers / powers.sum()).tolist(), strict=True))
