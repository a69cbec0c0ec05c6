"""Gaussian processes made of a linear part and a part that forgets with distance; all in closed form.

    y = X w + g(place) + noise,   w ~ N(mean, F F'),   g ~ GP(0, strength^2 exp(-distance / reach))

The linear part is what the exact solver can use; ``g`` takes what no sum over terms explains. How much of it there is,
and how loud the noise, is decided by the marginal likelihood on a small grid (Rasmussen and Williams 2006, ch. 2, 5).
The covariance of the weights comes as a sparse factor F: there are hundreds of weights and few of them have anything in
common, so that draws and variances cost next to nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.sparse import csr_array, hstack
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
    _prior: csr_array
    _rows: Floats
    _places: Floats
    _noise: Floats
    _factor: Floats
    _dual: Floats

    def predict(self, rows: Floats, places: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation, without noise, of ``rows`` [m, terms] at ``places`` [m, coordinates]."""
        cross, own = self._linear(rows)
        if self.setting.strength:
            cross += kernel(places, self._places, self.setting)
            own = own + self.setting.strength**2
        return rows @ self.mean + cross @ self._dual, self._deviation(cross, own)

    def draw(self, rng: np.random.Generator) -> Floats:
        """[terms] weights from their posterior (Matheron's rule: a draw of the prior, corrected by what was seen)."""
        prior = self._prior @ rng.standard_normal(self._prior.shape[1])
        rest = np.diag(self._noise**2)
        if self.setting.strength:
            rest = rest + kernel(self._places, self._places, self.setting)
        noise = np.linalg.cholesky(rest + 1e-9 * np.trace(rest) / len(rest) * np.eye(len(rest)))
        seen = self._rows @ prior + noise @ rng.standard_normal(len(rest))
        drawn: Floats = self.weights + prior - self._answers @ cho_solve((self._factor, True), seen)
        return drawn

    def spread_of(self, rows: Floats) -> Floats:
        """[m] standard deviation of ``rows @ weights`` alone."""
        return self._deviation(*self._linear(rows))

    @property
    def _answers(self) -> Floats:
        """[terms, n] covariance of the weights with the observations."""
        found: Floats = self._prior @ (self._prior.T @ self._rows.T)
        return found

    def _linear(self, rows: Floats) -> tuple[Floats, Floats]:
        """Covariance with the observations [m, n] and own variance [m]."""
        projected = (self._prior.T @ rows.T).T
        seen = np.flatnonzero(self._rows.any(axis=0))  # of hundreds of columns most are zero in every trial
        answers = self._answers
        touched = np.union1d(seen, np.flatnonzero(answers.any(axis=1)))
        return rows[:, touched] @ answers[touched], np.einsum("mk,mk->m", projected, projected)

    def _deviation(self, cross: Floats, own: Floats) -> Floats:
        solved = solve_triangular(self._factor, cross.T, lower=True)
        found: Floats = np.sqrt(np.maximum(own - np.einsum("nm,nm->m", solved, solved), 0.0))
        return found


def kernel(a: Floats, b: Floats, setting: Setting) -> Floats:
    """[m, n] of places [m, coordinates] and [n, coordinates]."""
    return _forget(_distances(a, b), setting)


class Problem:
    """Observations, ready to be fitted with many settings.

    Args:
        prior: [terms, factors] the weights' covariance is ``prior @ prior.T`` at spread 1.
        noise_sd: [n] at noise 1; scaled by the setting's.
        sure: [terms, factors] a part of the weights' covariance that no spread scales.
    """

    def __init__(
        self,
        rows: Floats,
        places: Floats,
        y: Floats,
        mean: Floats,
        prior: csr_array,
        noise_sd: Floats,
        sure: csr_array | None = None,
    ):
        self._rows, self._places, self._y = rows, places, y
        self._mean, self._prior, self._noise_sd = mean, prior, noise_sd
        self._projected = prior.T @ rows.T
        self._gram = self._projected.T @ self._projected
        self._sure = sure
        self._seen = np.zeros((0, len(y))) if sure is None else sure.T @ rows.T
        self._distance = _distances(places, places)

    def fit(self, setting: Setting) -> Fit:
        """Condition on the observations."""
        y, rows, noise = self._y, self._rows, self._noise_sd * setting.noise
        factor, dual, evidence = self._solve(setting)
        inverse = solve_triangular(factor, np.eye(len(y)), lower=True)
        diagonal = (inverse**2).sum(axis=0)
        weights = self._mean + setting.spread**2 * (self._prior @ (self._projected @ dual))
        prior = self._prior * setting.spread
        if self._sure is not None:
            weights += self._sure @ (self._seen @ dual)
            prior = csr_array(hstack([prior, self._sure]))
        return Fit(
            setting, y, self._mean, weights, y - dual / diagonal, 1 / np.sqrt(diagonal), evidence,
            prior, rows, self._places, noise, factor, dual,
        )  # fmt: skip

    def best(self, settings: Iterable[Setting]) -> Fit:
        """The fit of the largest evidence; a part that forgets must be worth its price."""
        chosen = max(settings, key=lambda setting: self._solve(setting)[2] - _PRICE * (setting.strength > 0))
        return self.fit(chosen)

    def _solve(self, setting: Setting) -> tuple[Floats, Floats, float]:
        """Cholesky factor, dual weights, log evidence."""
        gram = self._gram * setting.spread**2 + np.diag((self._noise_sd * setting.noise) ** 2)
        if self._sure is not None:
            gram += self._seen.T @ self._seen
        if setting.strength:
            gram += _forget(self._distance, setting)
        factor = cholesky(gram, lower=True)
        residual = self._y - self._rows @ self._mean
        dual = cho_solve((factor, True), residual)
        count = len(self._y)
        evidence = -0.5 * residual @ dual - np.log(np.diag(factor)).sum() - 0.5 * count * np.log(2 * np.pi)
        return factor, dual, float(evidence)


def _distances(a: Floats, b: Floats) -> Floats:
    found: Floats = cdist(a, b, "cityblock")
    return found


def _forget(distance: Floats, setting: Setting) -> Floats:
    found: Floats = setting.strength**2 * np.exp(-distance / setting.reach)
    return found
