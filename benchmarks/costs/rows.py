"""Published timings as rows, fitted and predicted the same way for every family of NPUs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log
from statistics import median

from mpsearch.board import fitting
from mpsearch.board.cost import CostModel
from mpsearch.board.fitting import Parameter
from mpsearch.board.parameters import Profile
from mpsearch.candidate import Candidate
from mpsearch.graph.model import ModelGraph

Profiles = Mapping[str, Profile]


@dataclass(frozen=True)
class Row:
    """A published timing.

    Attributes:
        network: rows of one network are left out together.
        use: ``fitted``; ``floor``: published as "above x TOP/s", so the model may be faster but not slower;
            ``held out``: only predicted; ``check``: what a hand-set parameter was set by, in no statistic.
        reach: a shipped profile further than this from the row fails the run.
    """

    name: str
    board: str
    graph: ModelGraph
    candidate: Candidate
    measured_ms: float
    use: str = "fitted"
    network: str = ""
    reach: float = 0.15


@dataclass(frozen=True)
class Family:
    """Boards that are fitted together.

    Attributes:
        profiles: parameter values -> board -> profile.
        row_sigma: how closely a row is asked for, in log ms.
    """

    name: str
    rows: Sequence[Row]
    parameters: Sequence[Parameter]
    profiles: Callable[[Sequence[float]], Profiles]
    row_sigma: float


def predict(row: Row, profiles: Profiles) -> float:
    """ms"""
    model = CostModel(profiles[row.board], row.graph)
    return model.estimate(row.candidate, row.graph.assign(row.candidate)).total_ms


def fit(family: Family, rows: Sequence[Row], start: Sequence[float] | None = None) -> tuple[float, ...]:
    """Parameter values from ``rows``."""
    cases = [(row, row.graph.assign(row.candidate)) for row in rows]

    def log_ratios(values: Sequence[float]) -> list[float]:
        profiles, found = family.profiles(values), []
        for row, types in cases:
            model_ms = CostModel(profiles[row.board], row.graph).estimate(row.candidate, types).total_ms
            ratio = log(model_ms / row.measured_ms)
            found.append(max(0.0, ratio) if row.use == "floor" else ratio)
        return found

    return fitting.solve(log_ratios, family.parameters, row_sigma=family.row_sigma, start=start)


def leave_one_out(family: Family, rows: Sequence[Row], start: Sequence[float]) -> dict[int, float]:
    """Row identity -> model / measured, by a fit without that row (and others of its network)."""
    found: dict[int, float] = {}
    for network in dict.fromkeys(_network(row) for row in rows):
        values = fit(family, [row for row in rows if _network(row) != network], start)
        profiles = family.profiles(values)
        found |= {id(row): predict(row, profiles) / row.measured_ms for row in rows if _network(row) == network}
    return found


def _network(row: Row) -> str:
    return row.network or f"{row.board} {row.name}"


def summarise(table: Sequence[Mapping[str, object]]) -> dict[str, float]:
    """Median and worst error of fitted and held-out rows."""

    def off(use: str, key: str) -> list[float]:
        return [abs(float(str(r[key])) - 1) for r in table if r["use"] == use and r[key] is not None]

    summary: dict[str, float] = {}
    for use, key, label in (
        ("fitted", "ratio", "fitted rows"),
        ("fitted", "leave_one_out_ratio", "leave-one-out"),
        ("held out", "ratio", "held-out rows"),
    ):
        if values := off(use, key):
            summary[f"{label}, median error"] = round(median(values), 4)
            summary[f"{label}, worst error"] = round(max(values), 4)
    return summary
