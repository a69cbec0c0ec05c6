"""``mpsearch status``: how far a stored study is."""

from __future__ import annotations

import typer

from mpsearch.cli.options import BudgetOption, StorageOption, StudyArgument, TargetOption, ToolchainOption, open_stored
from mpsearch.cli.output import Format, FormatOption, emit


def register(app: typer.Typer) -> None:
    app.command("status")(status)


def status(
    study: StudyArgument = None,
    storage: StorageOption = None,
    target: TargetOption = None,
    toolchain: ToolchainOption = "simulator",
    budget_ms: BudgetOption = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Show trials, failures, duplicates, the best within the budget, and what the study was made with."""
    from mpsearch.pareto.front import task_of
    from mpsearch.study.summary import summarise

    loaded, ledger, limits = open_stored(study, storage, target, budget_ms, toolchain)
    asked = int(ledger.study.user_attrs.get("asked", loaded.trials))
    summary = summarise(ledger.trials, limits, total=asked, duplicates=ledger.duplicates)
    best = summary.best_within_budget
    row = {
        "study": ledger.name,
        "trials": summary.evaluations,
        "asked": asked,
        "failed": summary.failures,
        "duplicates": summary.duplicates,
        "front": summary.front_size,
        "budget_ms": limits.budget_ms,
        "best_trial": best.number if best else None,
        "best_latency_ms": best.objectives[0] if best and best.objectives else None,
        f"best_{task_of(ledger.trials).column}": best.objectives[1] if best and best.objectives else None,
        "nearest": summary.gap or None,
    }
    if form is Format.TABLE:
        emit([{"what": key, "value": value} for key, value in row.items() if value is not None], form)
        failures: dict[str, int] = {}
        for trial in ledger.trials:
            if trial.measured is None:
                message = trial.record.to_json()["failed"]["message"]
                failures[message] = failures.get(message, 0) + 1
        if failures:
            emit([{"failures": count, "reason": reason} for reason, count in failures.items()], form)
    else:
        emit([{**row, "fingerprint": dict(ledger.fingerprint)}], form)
