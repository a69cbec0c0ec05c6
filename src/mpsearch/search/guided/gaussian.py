"""Gaussian processes made of a linear part and a part that forgets with distance; all in closed form.

    y = X w + g(place) + noise,   w ~ N(mean, covariance),   g ~ GP(0, strength^2 exp(-distance / reach))

The linear part is what the exact solver can use; ``g`` takes what no sum over terms explains. How much of it there is,
and how loud the noise, is decided by the marginal likelihood on a small grid (Rasmussen and Williams 2006, ch. 2, 5).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.spatial.distance import cdist

from mpsearch.search.guided.arrays import Floats

_PRICE = 2.0
"""In units of log evidence."""


@dataclass(frozen=True, slots=True)
class Setting:
    """``spread`` scales the standard deviations of the weights."""

    spread: float
    strength: float
    reach: float
    noise: float


@dataclass(frozen=True)
class Fit:
    """The posterior.

    Attributes:
        weights: [terms] posterior mean.
        loo_mean, loo_sd: [n] prediction of each observation from all others.
        evidence: log marginal likelihood.
    """

    setting: Setting
    observed: Floats
    mean: Floats
    weights: Floats
    loo_mean: Floats
    loo_sd: Floats
    evidence: float
    _covariance: Floats
    _rows: Floats
    _places: Floats
    _factor: Floats
    _dual: Floats

    def predict(self, rows: Floats, places: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation, without noise, of ``rows`` [m, terms] at ``places`` [m, coordinates]."""
        projected = rows @ self._covariance
        cross = projected @ self._rows.T
        own = np.einsum("mk,mk->m", projected, rows)
        if self.setting.strength:
            cross += kernel(places, self._places, self.setting)
            own = own + self.setting.strength**2
        solved = cho_solve((self._factor, True), cross.T)
        variance = own - np.einsum("mn,nm->m", cross, solved)
        return rows @ self.mean + cross @ self._dual, np.sqrt(np.maximum(variance, 0.0))

    def draw(self, rng: np.random.Generator) -> Floats:
        """[terms] weights from their posterior (Matheron's rule: a draw of the prior, corrected by what was seen)."""
        root = np.linalg.cholesky(self._covariance + 1e-12 * np.eye(len(self.mean)))
        prior = root @ rng.standard_normal(len(self.mean))
        rest = self._factor @ self._factor.T - self._rows @ self._covariance @ self._rows.T
        noise = np.linalg.cholesky(rest + 1e-9 * np.trace(rest) / len(rest) * np.eye(len(rest)))
        seen = self._rows @ prior + noise @ rng.standard_normal(len(rest))
        drawn: Floats = self.weights + prior - self._covariance @ self._rows.T @ cho_solve((self._factor, True), seen)
        return drawn

    def spread_of(self, rows: Floats) -> Floats:
        """[m] standard deviation of ``rows @ weights`` alone."""
        projected = rows @ self._covariance
        cross = projected @ self._rows.T
        solved = cho_solve((self._factor, True), cross.T)
        variance = np.einsum("mk,mk->m", projected, rows) - np.einsum("mn,nm->m", cross, solved)
        found: Floats = np.sqrt(np.maximum(variance, 0.0))
        return found


def kernel(a: Floats, b: Floats, setting: Setting) -> Floats:
    """[m, n] of places [m, coordinates] and [n, coordinates]."""
    return _forget(_distances(a, b), setting)


class Problem:
    """Observations, ready to be fitted with many settings.

    Args:
        covariance: [terms, terms] of the weights at spread 1.
        noise_sd: [n] at noise 1; scaled by the setting's.
    """

    def __init__(self, rows: Floats, places: Floats, y: Floats, mean: Floats, covariance: Floats, noise_sd: Floats):
        self._rows, self._places, self._y = rows, places, y
        self._mean, self._covariance, self._noise_sd = mean, covariance, noise_sd
        self._gram = rows @ covariance @ rows.T
        self._distance = _distances(places, places)

    def fit(self, setting: Setting) -> Fit:
        """Condition on the observations."""
        y, rows = self._y, self._rows
        gram = self._gram * setting.spread**2 + np.diag((self._noise_sd * setting.noise) ** 2)
        if setting.strength:
            gram += _forget(self._distance, setting)
        factor = cholesky(gram, lower=True)
        residual = y - rows @ self._mean
        dual = cho_solve((factor, True), residual)
        diagonal = (solve_triangular(factor, np.eye(len(y)), lower=True) ** 2).sum(axis=0)
        evidence = -0.5 * residual @ dual - np.log(np.diag(factor)).sum() - 0.5 * len(y) * np.log(2 * np.pi)
        scaled = self._covariance * setting.spread**2
        return Fit(
            setting, y, self._mean, self._mean + scaled @ (rows.T @ dual), y - dual / diagonal, 1 / np.sqrt(diagonal),
            float(evidence), scaled, rows, self._places, factor, dual,
        )  # fmt: skip

    def best(self, settings: Iterable[Setting]) -> Fit:
        """The fit of the largest evidence; a part that forgets must be worth its price."""
        return max(map(self.fit, settings), key=lambda found: found.evidence - _PRICE * (found.setting.strength > 0))


def _distances(a: Floats, b: Floats) -> Floats:
    found: Floats = cdist(a, b, "cityblock")
    return found


def _forget(distance: Floats, setting: Setting) -> Floats:
    found: Floats = setting.strength**2 * np.exp(-distance / setting.reach)
    return found
