"""``mpsearch status``: how far a stored study is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from mpsearch.cli.options import BudgetOption, StorageOption, StudyArgument, TargetOption, ToolchainOption, open_stored
from mpsearch.cli.output import Format, FormatOption, emit, say

if TYPE_CHECKING:
    from mpsearch.pareto.front import Trial
    from mpsearch.pareto.limits import Limits
    from mpsearch.study.stored import Part, Stored
    from mpsearch.study.summary import Summary


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
    """Show trials, failures, duplicates, rejected candidates, the best within the budget, and what was searched."""
    from mpsearch.study.summary import summarise

    stored = open_stored(study, storage, target, budget_ms, toolchain)
    summary = summarise(
        stored.trials, stored.limits, total=stored.asked, duplicates=stored.duplicates, rejected=len(stored.rejected)
    )
    row = _row(stored.name, summary, stored.trials, stored.limits)
    each = [_of_model(part, stored) for part in stored.parts] if stored.several else []
    if form is not Format.TABLE:
        prints = {part.study.member: dict(part.ledger.fingerprint) for part in stored.parts}
        whole = {"models": each, "fingerprint": prints} if stored.several else {"fingerprint": prints.popitem()[1]}
        emit([{**row, **whole, "rungs": _rungs(stored)}], form)
        return
    emit([{"what": key, "value": value} for key, value in row.items() if value is not None], form)
    if each:
        emit(each, form, title="Models")
    for name in stored.absent:
        say(f"note: {name} has no trials yet")
    for what, trials in (("failures", stored.trials), ("rejected", stored.rejected)):
        reasons = Counter((trial.model, why) for trial in trials if (why := _why(trial)))
        if reasons:
            emit(
                [
                    {what: count, **({"model": model} if model else {}), "reason": reason}
                    for (model, reason), count in reasons.items()
                ],
                form,
            )


def _why(trial: Trial) -> str:
    """Why it has no result; empty where it has one."""
    from mpsearch.record import RULES, Failed, Rejected

    match trial.record.outcome:
        case Failed(message=message):
            return message
        case Rejected(rung=rung, reason=reason) if rung == RULES:
            return f"{rung}: {reason}"
        case Rejected(rung=rung):
            return f"{rung}: dominated even at best; each with its numbers: mpsearch pareto --all"
    return ""


def _rungs(stored: Stored) -> list[dict[str, Any]]:
    """What cheaper evaluations said of single candidates, and which of these they kept from the board."""
    return [
        {
            **({"model": trial.model} if trial.model else {}),
            "trial": trial.number,
            "digest": trial.record.candidate.digest[:12],
            "rungs": data.get("rungs", {}),
            "rejected": data.get("rejected"),
        }
        for trial in sorted((*stored.trials, *stored.rejected), key=lambda trial: (trial.model, trial.number))
        if (data := trial.record.to_json()).keys() & {"rungs", "rejected"}
    ]


def _row(name: str, summary: Summary, trials: Sequence[Trial], limits: Limits) -> dict[str, Any]:
    from mpsearch.pareto.front import task_of

    best = summary.best_within_budget
    return {
        "study": name,
        "trials": summary.evaluations,
        "asked": summary.total,
        "failed": summary.failures,
        "duplicates": summary.duplicates,
        "rejected": summary.rejected,
        "front": summary.front_size,
        "budget_ms": limits.budget_ms,
        **({"best_model": best.model} if best and best.model else {}),
        "best_trial": best.number if best else None,
        "best_latency_ms": best.objectives[0] if best and best.objectives else None,
        f"best_{task_of(trials).column}": best.objectives[1] if best and best.objectives else None,
        "nearest": summary.gap or None,
    }


def _of_model(part: Part, stored: Stored) -> dict[str, Any]:
    """One of several models: what it got, and what of the shared front is its own."""
    from mpsearch.pareto.front import front, task_of
    from mpsearch.pareto.pick import best

    own = best(part.trials, stored.limits)
    return {
        "model": part.study.member,
        "trials": len(part.trials),
        "failed": sum(trial.measured is None for trial in part.trials),
        "duplicates": part.ledger.duplicates,
        "rejected": len(part.rejected),
        "on_the_front": sum(trial.model == part.study.member for trial in front(stored.trials)),
        "best_trial": own.number if own else None,
        "best_latency_ms": own.objectives[0] if own and own.objectives else None,
        f"best_{task_of(stored.trials).column}": own.objectives[1] if own and own.objectives else None,
    }
