"""``mpsearch fidelity STUDY``: is the simulator right about this network? The vendor's engine is the judge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mpsearch.cli.options import BudgetOption, StorageOption, StudyArgument, TargetOption, open_ledger
from mpsearch.cli.output import Format, FormatOption, emit, passing, say

if TYPE_CHECKING:
    from mpsearch.pareto.front import Trial
    from mpsearch.record import Record


def register(app: typer.Typer) -> None:
    app.command("fidelity")(fidelity)


def fidelity(
    study: StudyArgument = None,
    sample: Annotated[int, typer.Option("--sample", min=0, help="So many trials besides the front's.")] = 8,
    most: Annotated[int | None, typer.Option("--most", min=1, help="At most so many of the front, spread.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the sample.")] = 0,
    storage: StorageOption = None,
    target: TargetOption = None,
    budget_ms: BudgetOption = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Score a study's front and a sample of its other trials with the vendor's engine, and say how far both agree."""
    from mpsearch.study.folder import cache_folder
    from mpsearch.toolchain.acuity import agreement
    from mpsearch.toolchain.acuity.toolchain import CYCLES
    from mpsearch.workbench import open_workbench

    loaded, ledger, limits = open_ledger(study, storage, target, budget_ms)
    chosen = agreement.choose(ledger.trials, sample=sample, most=most, seed=seed)
    bench = open_workbench(
        loaded, cache=cache_folder(loaded), target=target, budget_ms=limits.budget_ms, toolchain="acuity", say=say,
        progress=passing,
    )  # fmt: skip
    listed: list[dict[str, Any]] = []
    try:
        for place, (trial, on_front) in enumerate(chosen, 1):
            record = bench.evaluator.evaluate(trial.record.candidate)
            listed.append(_row(trial, record, on_front, CYCLES))
            passing()
            say(f"{place}/{len(chosen)} trial {trial.number}: {_brief(listed[-1])}")
    finally:
        bench.board.close()
    pairs = [(row["engine"], row["study"]) for row in listed if row["engine"] is not None]
    found = agreement.summary(pairs)
    if form is Format.JSON:
        listed = [{**row, "kind": "trial"} for row in listed] + [{**found, "kind": "summary"}]
        emit(listed, form)
        return
    columns = (
        "trial",
        "origin",
        "front",
        "latency_ms",
        "study",
        "engine",
        "log10_ratio",
        CYCLES,
        "candidate",
        "failed",
    )
    shown = [name for name in columns if any(row[name] is not None for row in listed)]
    emit(listed, form, columns=shown, title=f"{ledger.name}: {bench.scorer.task.column}, study against engine")
    for name, value in found.items():
        say(f"{name.replace('_', ' ')}: {value if value is not None else '-'}")


def _row(trial: Trial, record: Record, on_front: bool, cycles: str) -> dict[str, Any]:
    from math import log10

    from mpsearch.pareto.front import Trial as Judged
    from mpsearch.pareto.table import short
    from mpsearch.record import Measured

    assert trial.objectives is not None  # only measured trials are chosen
    latency_ms, study = trial.objectives
    judged = Judged(trial.number, record)
    row: dict[str, Any] = {
        "trial": trial.number,
        "origin": trial.origin,
        "front": on_front,
        "latency_ms": latency_ms,
        "study": study,
        "engine": None,
        "log10_ratio": None,
        cycles: None,
        "candidate": short(record.candidate),
        "failed": None if isinstance(record.outcome, Measured) else record.outcome.why,
        "digest": record.candidate.digest[:12],
    }
    if judged.measured is not None and judged.objectives is not None:
        engine = judged.objectives[1]
        row |= {"engine": engine, cycles: int(judged.measured.timing.conditions.get(cycles, 0)) or None}
        if engine > 0 and study > 0:
            row["log10_ratio"] = log10(study / engine)
    return row


def _brief(row: dict[str, Any]) -> str:
    if row["failed"]:
        return f"refused: {row['failed']}"
    return f"study {row['study']:.4g}, engine {row['engine']:.4g}"
