"""Latency as a weighted sum of what the prior expects of each part; the weights are learnt from total latencies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.sparse import csr_array, diags_array

from mpsearch.search.guided.arrays import Bools, Floats, Ints
from mpsearch.search.guided.features import Features
from mpsearch.search.guided.frames import Frame
from mpsearch.search.guided.gaussian import Fit, Problem, Setting

_SHARED = 0.5
"""Variance of what all units of a type (or of a kind in a type) have in common, against that of a group's own."""
_SWITCH = 0.03
"""A switch that the prior does not know may cost such a share of the fastest latency, one standard deviation."""
_OPTION = 0.5
"""And a switch of the whole model such a share."""
_BOARD = 0.02
"""What a shelf's boards differ by beyond the ratio of their references is such a share, one standard deviation."""
_SETTINGS = tuple(
    Setting(spread, strength, 0.3, noise)
    for spread, strength, noise in product(
        (0.001, 0.01, 0.05, 0.15, 0.4, 0.8), (0.0, 0.01, 0.04), (0.0002, 0.001, 0.005, 0.02, 0.06)
    )
)
"""``strength`` and ``noise`` are shares of the latency."""


@dataclass(frozen=True)
class LatencyModel:
    """Fitted to the trials."""

    features: Features
    fit: Fit
    scale_ms: float

    def predict(self, rows: Floats, places: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation in ms."""
        mean, sd = self.fit.predict(_wide(rows, len(self.fit.mean)) / self.scale_ms, places)
        return mean * self.scale_ms, sd * self.scale_ms

    def draw(self, rng: np.random.Generator | None) -> Floats:
        """[terms] ms for each unit of a feature; the posterior mean without ``rng``."""
        return self.fit.weights if rng is None else self.fit.draw(rng)

    @property
    def boards(self) -> dict[str, tuple[float, float]]:
        """Board -> how much longer it takes than its scale says, by the trials, as a share; and how unsure that is."""
        terms = {str(term[1]): place for term, place in self.features.latency.index.items() if term[0] == "board"}
        level = float(self.fit.mean.max())
        rows = np.eye(len(self.fit.mean))
        return {
            name: (
                float(self.fit.weights[place]) / level,
                float(self.fit.spread_of(rows[place : place + 1])[0]) / level,
            )
            for name, place in terms.items()
            if place < len(self.fit.mean)
        }

    def rows(self, frame: Frame, chosen: Ints) -> Floats:
        return _wide(self.features.latency_rows(frame, chosen), len(self.fit.mean))


def fit(
    features: Features,
    rows: list[Floats],
    places: Floats,
    latency_ms: Floats,
    *,
    remainder: bool = True,
    boards: Sequence[str] = (),
) -> LatencyModel:
    """The posterior after these trials; columns that appear later must be asked for before (``features.tables``).

    Args:
        boards: which board of a shelf measured each, "" for the one that is predicted.
    """
    own = {board: features.latency.at(("board", board)) for board in sorted(set(boards) - {""})}
    width = len(features.latency)
    table = np.array([_wide(row, width) for row in rows])
    if own:
        expected = table[:, _main(features)].sum(axis=1)
        for index, board in enumerate(boards):
            if board:
                table[index, own[board]] = expected[index]
    scale_ms = float(latency_ms.min())
    mean, prior, sure = _prior(features, table, scale_ms, latency_ms)
    grid = [setting for setting in _SETTINGS if remainder or not setting.strength]
    settings = grid if len(latency_ms) > 2 else (Setting(0.4, 0.0, 0.3, 0.003),)
    y = latency_ms / scale_ms
    found = Problem(table / scale_ms, places, y, mean, prior, y, sure if own else None).best(settings)
    return LatencyModel(features, found, scale_ms)


def _main(features: Features) -> Bools:
    """[terms] what the prior's milliseconds are made of."""
    return np.array([term[0] in ("fixed", "unit", "edge") for term in features.latency.index])


def _prior(
    features: Features, table: Floats, scale_ms: float, latency_ms: Floats
) -> tuple[Floats, csr_array, csr_array]:
    """Mean and covariance (as a factor) of the weights at spread 1, and the part of it that no spread changes: that of
    the boards. The prior's scale is that of the trials: a profile that is twice too slow throughout is corrected by one
    number, not by all weights."""
    terms = list(features.latency.index)
    main = _main(features)
    expected = table[:, main].sum(axis=1)
    factor = float(np.exp(np.median(np.log(latency_ms / expected))))
    mean = np.where(main, factor, 0.0)
    sd = np.array([{"kind": _SHARED**0.5, "type": _SHARED**0.5}.get(str(term[0]), 1.0) for term in terms]) * factor
    switches = np.array([term[0] == "switch" for term in terms])
    sd[switches] = _SWITCH * scale_ms
    sd[np.array([term[0] == "option" for term in terms])] = _OPTION * scale_ms
    boards = np.array([term[0] == "board" for term in terms])
    sd[boards] = 0.0
    return mean, csr_array(diags_array(sd)), csr_array(diags_array(np.where(boards, _BOARD * factor, 0.0)))


def _wide(rows: Floats, width: int) -> Floats:
    missing = width - rows.shape[-1]
    if not missing:
        return rows
    return np.concatenate([rows, np.zeros((*rows.shape[:-1], missing))], axis=-1)
