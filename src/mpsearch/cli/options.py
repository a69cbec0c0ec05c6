"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mpsearch.errors import ConfigError

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
ToolchainOption = Annotated[
    str, typer.Option("--toolchain", help="Whose outputs are scored: simulator, or acuity (the vendor's engine).")
]
BudgetOption = Annotated[float | None, typer.Option("--budget-ms", help="Replaces the budget; measures nothing again.")]


def numbers(text: str, option: str) -> tuple[float, ...]:
    """``"0.5"`` or ``"123.7,116.3,103.5"``: one number for all channels, or three.

    Raises:
        typer.BadParameter: anything else.
    """
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = ()
    if len(found) not in (1, 3):
        raise typer.BadParameter(f"{text!r} is neither a number nor three with commas", param_hint=option)
    return found * 3 if len(found) == 1 else found


PICTURES = (".png", ".svg", ".pdf")


def check_plot(path: Path | None) -> None:
    """Refuse a picture that could not be written, before the work that it shows.

    Raises:
        ConfigError: another kind of file, or a place that is no folder.
    """
    if path is None:
        return
    if path.suffix.lower() not in PICTURES:
        raise ConfigError(f"--plot {path}: a picture's name ends in {', '.join(PICTURES)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--plot {path}: its folder cannot be made: {error.strerror or error}") from error


def open_stored(
    study: str | None,
    storage: str | None,
    target: str | None,
    budget_ms: float | None,
    toolchain: str = "simulator",
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
    ledger = Ledger.open(storage_url(loaded, storage), stored_name(loaded, target, toolchain))
    budget = ledger.limits.budget_ms if budget_ms is None else budget_ms
    return loaded, ledger, Limits(budget, loaded.limits.missed, loaded.limits.extra, loaded.budget.at)
