"""``mpsearch pareto``: the front as a table, JSON, CSV or picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mpsearch.cli.options import (
    BudgetOption,
    StorageOption,
    StudyArgument,
    TargetOption,
    ToolchainOption,
    check_plot,
    open_stored,
)
from mpsearch.cli.output import Format, FormatOption, emit, say


def register(app: typer.Typer) -> None:
    app.command("pareto")(pareto)


def pareto(
    study: StudyArgument = None,
    storage: StorageOption = None,
    target: TargetOption = None,
    toolchain: ToolchainOption = "simulator",
    budget_ms: BudgetOption = None,
    every: Annotated[bool, typer.Option("--all", help="Everything tried, not only the front.")] = False,
    plot: Annotated[Path | None, typer.Option("--plot", help="Also draw it: .png, .svg or .pdf.")] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Show the trials that no other trial dominates in latency and error."""
    from mpsearch.pareto.front import front, task_of
    from mpsearch.pareto.table import rows, shown

    check_plot(plot)
    stored = open_stored(study, storage, target, budget_ms, toolchain)
    chosen = (*stored.trials, *stored.rejected) if every else front(stored.trials)
    listed = rows(chosen, stored.limits)
    if form is Format.JSON:
        listed = [
            {**row, "candidate": trial.record.candidate.to_json(), "summary": row["candidate"]}
            for row, trial in zip(listed, chosen, strict=True)
        ]
    columns = (*shown(task_of(stored.trials), listed), *(("failed",) if every else ()))
    emit(listed, form, columns=columns, title=f"{stored.name}: {'all trials' if every else 'Pareto front'}")
    for line in stored.scales:
        say(line)
    if plot is not None:
        from mpsearch.pareto.plot import plot as draw

        draw(stored.trials, stored.limits, plot, title=stored.name)
        say(f"plot: {plot}")
