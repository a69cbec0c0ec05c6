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
    from mpsearch.study.stored import Stored

StudyArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="STUDY",
        help="Study file, or a name under studies/; STUDY:NAME for one of several models. "
        "Default: mpsearch.yaml, quickstart.",
    ),
]
StorageOption = Annotated[str | None, typer.Option("--storage", help="Optuna storage URL instead of the SQLite file.")]
TargetOption = Annotated[str | None, typer.Option("--target", help="Replaces the target; names one of its boards.")]
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
) -> Stored:
    """A stored study for reading: all its models, or the one that was named, and the limits to read them by.

    Raises:
        ConfigError: no such study file, model, storage or stored study.
    """
    from mpsearch import members
    from mpsearch.study.stored import open_all

    return open_all(members.every(study), storage, target, toolchain, budget_ms)


def open_ledger(
    study: str | None, storage: str | None, target: str | None, budget_ms: float | None
) -> tuple[Study, Ledger, Limits]:
    """The same for commands that look at one model.

    Raises:
        ConfigError: as :func:`open_stored`, or several models and none was named.
    """
    from mpsearch import members
    from mpsearch.study.stored import open_all

    found = open_all((members.one(study),), storage, target, budget_ms=budget_ms)
    return found.parts[0].study, found.parts[0].ledger, found.limits
