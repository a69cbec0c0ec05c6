"""Options that several commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mpsearch.config import Study
    from mpsearch.pareto.limits import Limits
    from mpsearch.study.ledger import Ledger

StudyArgument = Annotated[
    str | None,
    typer.Argument(metavar="STUDY", help="Study file, or a name under studies/. Default: mpsearch.yaml, quickstart."),
]
StorageOption = Annotated[str | None, typer.Option("--storage", help="Optuna storage URL instead of the SQLite file.")]
TargetOption = Annotated[str | None, typer.Option("--target", help="Replaces the study's target.")]
BudgetOption = Annotated[float | None, typer.Option("--budget-ms", help="Replaces the budget; measures nothing again.")]


def open_stored(
    study: str | None, storage: str | None, target: str | None, budget_ms: float | None
) -> tuple[Study, Ledger, Limits]:
    """A stored study for reading: its file, its records, and the limits to read them by.

    Raises:
        ConfigError: no such study file, storage or stored study.
    """
    from mpsearch import config
    from mpsearch.pareto.limits import Limits
    from mpsearch.study.folder import storage_url, stored_name
    from mpsearch.study.ledger import Ledger

    loaded = config.load(config.find(study))
    ledger = Ledger.open(storage_url(loaded, storage), stored_name(loaded, target))
    budget = ledger.limits.budget_ms if budget_ms is None else budget_ms
    return loaded, ledger, Limits(budget, loaded.limits.missed, loaded.limits.extra, loaded.budget.at)
