"""What the models have learnt, in numbers for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mpsearch.search.guided.arrays import Floats

if TYPE_CHECKING:
    from mpsearch.search.guided.models import Models

_Z95 = 1.96


@dataclass(frozen=True, slots=True)
class LeaveOneOut:
    """Every observation predicted from all others.

    Attributes:
        error: median absolute error: of latencies as a share, of landmark errors as a factor less one.
        coverage: share of the observations within their 95 % interval.
    """

    count: int
    error: float
    coverage: float


@dataclass(frozen=True, slots=True)
class Switch:
    """What a change of type between two groups costs: all tensors between them together."""

    producer: str
    consumer: str
    made: str
    wanted: str
    ms: float
    sd_ms: float

    def __str__(self) -> str:
        return f"{self.producer} -> {self.consumer}, {self.made} to {self.wanted}: {self.ms:.2f} +- {self.sd_ms:.2f} ms"


def latency_loo(models: Models) -> LeaveOneOut:
    """Of the latencies."""
    fit = models.latency.fit
    off = np.abs(fit.loo_mean - fit.observed)
    return _summary(off / fit.observed, off / fit.loo_sd)


def error_loo(models: Models) -> LeaveOneOut:
    """Of the landmark errors on all photographs (those on few are not counted)."""
    model, fit = models.error, models.error.fit
    full = ~model.cheap
    off = np.abs(fit.observed - fit.loo_mean)[full]
    return _summary(np.expm1(off), off / fit.loo_sd[full])


def _summary(error: Floats, z: Floats) -> LeaveOneOut:
    return LeaveOneOut(len(z), float(np.median(error)), float((z <= _Z95).mean()))


def switches(models: Models) -> list[Switch]:
    """Every change of type that some trial paid for, the dearest first."""
    model = models.latency
    terms = list(model.features.latency.index)
    index = model.features.latency.index
    rows = np.array([_wide(item.latency, len(terms)) for item in models.known if item.latency_ms is not None])
    found = []
    for term, column in index.items():
        if term[0] != "edge" or column >= len(model.fit.mean):
            continue
        paid = rows[:, column] > 0
        mark = index[("switch", *term[1:])]
        if not paid.any() and not (rows[:, mark] > 0).any():
            continue
        row = np.zeros((1, len(model.fit.mean)))
        seen = rows[(rows[:, mark] > 0), :]
        row[0, column], row[0, mark] = seen[:, column].max(), seen[:, mark].max()
        ms = float((row @ model.fit.weights)[0])
        producer, consumer, made, wanted = map(str, term[1:])
        sd_ms = float(model.fit.spread_of(row)[0])
        found.append(Switch(producer, consumer, made, wanted, ms, sd_ms))
    return sorted(found, key=lambda switch: -switch.ms)


def _wide(row: Floats, width: int) -> Floats:
    found: Floats = np.concatenate([row, np.zeros(width - len(row))])
    return found
