"""Landmark error as a sum of noise powers, in logarithms.

Quantization noise of one layer is nearly independent of another's, and the landmark error is a mean square: so powers
add, and not their logarithms (AIMET AMP, arXiv 2302.05397, and HAWQ-V3, 2011.10680, build on the same sum):

    error = floor + sum over groups of s(base, group, rank) * share of the group's units at that rank

The unknowns are log s, so that no contribution is negative and one observation moves a small contribution as easily as
a large one. What does not add up (CLADO, 2307.05657) is taken by a process over the distance between candidates, as
much of it as the evidence asks for. On few photographs every s is a little different, and so is the level; but two
evaluations on the same few photographs share that difference. So what one group adds is known there too,
however small it is beside the rest; a noise on the sum would drown it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.sparse import block_diag, csr_array, diags_array, eye_array, hstack, kron

from mpsearch.candidate import RANKS
from mpsearch.pareto.front import ERROR_FLOOR
from mpsearch.search.guided.arrays import Bools, Floats, Ints
from mpsearch.search.guided.gaussian import Fit, Problem, Setting

_PER_RANK = np.log(np.array([1.0, 2.0**-14, 2.0**-14, 2.0**-14]))
"""16 bits have steps 256 times finer: 2^-16 in power. Never quite so much in a network, and with 8-bit weights less."""
_GROUP_SD, _LEVEL_SD, _OWN_SD = 2.0, 1.5, 0.5
"""Prior standard deviations of log s: of a group (whatever the base), of a rank under a base (whatever the group), of
one entry alone."""
_FLOOR_SD, _OFFSET_SD, _FEW_SD = 2.0, 0.3, 0.35
"""Of the log floor, of the level on few photographs, and of each log s there from that on all."""
_HINT, _HINT_SD = 0.5, 0.5
"""By how much one standard deviation of a hint (the entropy of a group's tensors) raises log s, and its spread."""
_NOISE = (0.03, 0.12, 0.35)
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
        theta: log s of those, the log floor, the offset of the cheap rung, and by how much each log s is off there.
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
        found[self.used] = np.exp(np.clip(theta[: self.used.sum()], -40, 20))
        powers: Floats = found.reshape(self.bases, self.groups, RANKS)[base]
        return powers


def fit(
    observed: Observations, ranks: Sequence[Collection[int]], *, hints: Floats | None = None, remainder: bool = True
) -> ErrorModel:
    """Gauss-Newton to the maximum of the posterior, then the Gaussian around it, for each setting of the grid.

    Args:
        ranks: for each base, those that can occur; what cannot is no unknown.
        hints: [groups] how hard each is expected to be, in standard deviations; how much that says is learnt.
    """
    bases, groups = len(ranks), observed.shares.shape[1]
    y = np.log(np.maximum(observed.error_px2, ERROR_FLOOR))
    used = np.array([rank in mine for mine in ranks for _ in range(groups) for rank in range(RANKS)])
    phi = _phi(observed.base, observed.shares, bases)[:, used]
    mean, prior = _prior(bases, np.zeros(groups) if hints is None else hints, y)
    kept = np.concatenate([used, [True, True], used])
    mean, prior = mean[kept], prior[kept]
    noise = np.ones(len(y))

    def problem(theta: Floats) -> Problem:
        value, slope = _linearised(phi, observed.cheap, theta)
        return Problem(slope, observed.places, y - value + slope @ theta, mean, prior, noise)

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
    count = phi.shape[1]
    floor_at, offset_at, few_at = count, count + 1, count + 2
    powers = phi * np.exp(np.clip(theta[:count] + cheap[:, None] * theta[few_at:], -40, 20))
    floor = np.exp(theta[floor_at])
    total = powers.sum(axis=1) + floor
    slope = np.empty((len(phi), len(theta)))
    slope[:, :count] = powers / total[:, None]
    slope[:, floor_at] = floor / total
    slope[:, offset_at] = cheap
    slope[:, few_at:] = slope[:, :count] * cheap[:, None]
    return np.log(total) + cheap * theta[offset_at], slope


def _prior(bases: int, hints: Floats, y: Floats) -> tuple[Floats, csr_array]:
    """Levels from the worst that was seen, spread over the groups after their hints; ranks by their step. The
    covariance as a factor over the entries in the order base, group, rank; then as :attr:`ErrorModel.theta`."""
    groups = len(hints)
    hinted = np.repeat(hints, RANKS)
    level = float(y.max()) - np.log(np.exp(_HINT * hints).sum())
    mean = np.tile(level + np.tile(_PER_RANK, groups) + _HINT * hinted, bases)
    ranks = eye_array(RANKS)
    by_group = kron(np.ones((bases, 1)), kron(eye_array(groups), ranks))
    by_level = kron(eye_array(bases), kron(np.ones((groups, 1)), ranks))
    by_hint = np.tile(hinted, bases)[:, None]
    own = eye_array(bases * groups * RANKS)
    parts = (_GROUP_SD * by_group, _LEVEL_SD * by_level, _HINT_SD * by_hint, _OWN_SD * own)
    entries = hstack([csr_array(part) for part in parts])
    others = diags_array([_FLOOR_SD, _OFFSET_SD, *[_FEW_SD] * len(mean)])
    full = block_diag([csr_array(entries), csr_array(others)])
    return np.concatenate([mean, [float(y.min()) - 2.0, 0.0], np.zeros(len(mean))]), csr_array(full)


def describe(model: ErrorModel, names: Sequence[str]) -> dict[str, float]:
    """Group -> share of the all-low error of the first base."""
    powers = model.powers(0, None)[:, 0]
    return dict(zip(names, (powers / powers.sum()).tolist(), strict=True))
