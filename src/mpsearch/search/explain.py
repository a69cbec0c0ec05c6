"""What a study has taught the guided search's models, as rows for tables. Nothing is measured for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mpsearch.board import shelf as shelves
from mpsearch.board.cost import CostModel
from mpsearch.candidate import BASES, DataType
from mpsearch.pareto.limits import Limits
from mpsearch.record import ACUITY, PHOTOGRAPHS, RULES, Record, Rejected
from mpsearch.search.guided import alike, report, rungs
from mpsearch.search.guided.arrays import Floats
from mpsearch.search.guided.context import Context, Prior
from mpsearch.search.guided.engine import Engine
from mpsearch.search.guided.frames import Frame
from mpsearch.search.guided.models import Models
from mpsearch.search.prior import prior_of
from mpsearch.study.ledger import SHELF
from mpsearch.workbench import Bench

Row = dict[str, Any]
PARTS = ("models", "boards", "rungs", "groups", "choices", "switches")
_STAGES = {"build": "build and compile", "score": "all photographs", "time": "timing"}
_LOOKS = {
    RULES: "the vendor's rules",
    PHOTOGRAPHS: "all photographs on this computer",
    ACUITY: "all photographs by the vendor's engine",
}
_FREE = 1e-6
"""A price of the cheap rung at which nothing that was ever asked for is over its limit."""


@dataclass(frozen=True)
class Explanation:
    """Rows by part, see :data:`PARTS`."""

    parts: Mapping[str, Sequence[Row]]

    def flat(self) -> list[Row]:
        """All rows, each with its part, for programs."""
        return [{"part": part, **row} for part, rows in self.parts.items() for row in rows]


def explain(
    bench: Bench, records: Sequence[Record], attributes: Mapping[str, Any], limits: Limits, *, cache: Path
) -> Explanation:
    """Fit the models to a stored study.

    Args:
        records: of trials, and of candidates that a rung rejected.
        attributes: the study's user attributes, with the rungs' numbers.
        cache: of the study.

    Raises:
        ValueError: fewer than two measured trials.
    """
    spent = rungs.read(attributes)
    prior = prior_of(bench, cache)
    context = Context(
        bench.space, limits, prior,
        cheap_error=(lambda candidate: spent.error_of(candidate.digest)) if spent.few else None, cheap_cost=_FREE,
        shelf=tuple(attributes.get(SHELF, ())),
    )  # fmt: skip
    engine = Engine(context)
    best = min(
        (record for record in records if limits.feasible(record)),
        key=lambda record: record.to_json()["measured"]["score"]["objective"],
        default=records[0] if records else None,
    )
    base = (
        best.candidate.base if best is not None and best.candidate.base in bench.space.bases else bench.space.bases[0]
    )
    frames = engine.learner.frames
    frame = frames.deepest(base)
    others = {
        (name, choice): frames.at({**frame.params, name: choice})
        for name, choices in frames.dimensions.items()
        if len(choices) > 1 and name != "base"
        for choice in choices
    }
    for known in (frame, *others.values()):  # every column must exist before anything is fitted
        engine.learner.features.tables(known)
    models = engine.learn(records)
    return Explanation(
        {
            "models": _models(models, prior),
            "boards": _boards(records, context.shelf, models),
            "rungs": _rungs(records, spent),
            "groups": _groups(engine, models, frame),
            "choices": _choices(models, others),
            "switches": [
                {
                    "switch": f"{s.producer} -> {s.consumer}", "from": s.made, "to": s.wanted, "ms": s.ms,
                    "sd_ms": s.sd_ms,
                }
                for s in report.switches(models)
            ],
        }
    )  # fmt: skip


def _models(models: Models, prior: Prior | None) -> list[Row]:
    expects = "work alone" if prior is None else "the board's layer times"
    if isinstance(prior, CostModel):
        expects = "the cost model"
    latency, error = report.latency_loo(models), report.error_loo(models)
    found = []
    for name, loo, fit in (("latency", latency, models.latency.fit), ("error", error, models.error.fit)):
        found.append(
            {
                "model": name, "trials": loo.count, "leave_one_out_error": loo.error, "coverage_95": loo.coverage,
                "interactions": fit.setting.strength > 0, "noise": fit.setting.noise,
                "expected_from": expects if name == "latency" else None,
            }
        )  # fmt: skip
    return found


def _boards(records: Sequence[Record], shelf: Sequence[str], models: Models) -> list[Row]:
    """How fast each board of a shelf is, by the reference, and by the trials beyond that."""
    found = []
    pace = shelves.scale(records, shelf)
    for board in pace.paces.values():
        beyond, beyond_sd = models.latency.boards.get(board.board, (0.0, 0.0))
        found.append(
            {
                "board": board.board, "trials": board.trials, "looks": board.looks, "reference_ms": board.reference_ms,
                "times_the_slowest": board.factor, "sd": board.sd, "by_trials": board.factor * (1 + beyond),
                "by_trials_sd": board.factor * beyond_sd,
            }
        )  # fmt: skip
    return found


def _rungs(records: Sequence[Record], spent: rungs.Rungs) -> list[Row]:
    stages = {stage: [r.stage_s[stage] for r in records if stage in r.stage_s] for stage in _STAGES}
    stopped = Counter(record.outcome.rung for record in records if isinstance(record.outcome, Rejected))
    found: list[Row] = [
        {"rung": "proposals (rules and models)", "calls": spent.proposals, "seconds": spent.proposing_s},
        {"rung": "few photographs", "calls": spent.asked, "seconds": spent.few_s, "limit": spent.limit or None},
    ]
    if stopped[RULES]:
        found.append({"rung": _LOOKS[RULES], "calls": stopped[RULES], "rejected": stopped[RULES], "seconds": 0.0})
    for name, title in _LOOKS.items():
        if asked := [record.rungs[name].seconds for record in records if name in record.rungs]:
            found.append({"rung": title, "calls": len(asked), "rejected": stopped[name], "seconds": sum(asked)})
    found += [{"rung": _STAGES[stage], "calls": len(own), "seconds": sum(own)} for stage, own in stages.items()]
    total = sum(row["seconds"] for row in found)
    return [{**row, "share": row["seconds"] / total if total else 0.0} for row in found]


def _groups(engine: Engine, models: Models, frame: Frame) -> list[Row]:
    """Each group's time and error by type under one base."""
    learner, fit = engine.learner, models.latency.fit
    powers = models.error.powers(learner.base_of(frame.plain), None)
    idle = alike.find(models.known).groups
    low = BASES[frame.base].type
    kinds = [low, *(DataType(kind) for kind in engine.space.types if DataType(kind) is not low)]
    whole = max(float(powers[:, low.rank].sum()), 1e-300)
    found = []
    for index, name in enumerate(learner.features.groups):
        row: Row = {"group": name}
        for kind in kinds:
            ms, sd_ms = _cost(learner.features.group_row(name, kind), fit.weights, models)
            row |= {f"{kind}_ms": ms, f"{kind}_sd_ms": sd_ms, f"{kind}_error": float(powers[index, kind.rank])}
        row["share_of_error"] = float(powers[index, low.rank]) / whole
        row["changes_nothing"] = bool(len(idle) and idle[index])
        found.append(row)
    return sorted(found, key=lambda row: -row["share_of_error"])


def _choices(models: Models, others: Mapping[tuple[str, str], Frame]) -> list[Row]:
    """What cuts, preprocessing and the like cost, against their first choice, everything at the base type."""
    first: dict[str, Floats] = {}
    found = []
    for (name, choice), frame in others.items():
        row = models.latency.rows(frame, np.zeros((1, len(frame.counts)), dtype=np.int64))[0]
        if name not in first:
            first[name] = row
            continue
        ms, sd_ms = _cost(row - first[name], models.latency.fit.weights, models)
        found.append({"choice": name, "value": choice, "ms": ms, "sd_ms": sd_ms})
    return found


def _cost(row: Floats, weights: Floats, models: Models) -> tuple[float, float]:
    wide = np.pad(row, (0, max(0, len(weights) - len(row))))[: len(weights)]
    return float(wide @ weights), float(models.latency.fit.spread_of(wide[None])[0])
