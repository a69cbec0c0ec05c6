"""``mpsearch explain``: what a stored study has taught the search."""

from __future__ import annotations

from typing import Any

import typer

from mpsearch.cli.options import BudgetOption, StorageOption, StudyArgument, TargetOption, ToolchainOption, open_stored
from mpsearch.cli.output import Format, FormatOption, emit, say
from mpsearch.errors import ConfigError

_TITLES = {
    "models": "Models: each trial predicted from all others",
    "rungs": "What was spent where",
    "groups": "Groups: time and error by type, those with most error first",
    "choices": "Cuts and other choices, against their first value",
    "switches": "Changes of type that trials have paid for",
}


def register(app: typer.Typer) -> None:
    app.command("explain")(explain)


def explain(
    study: StudyArgument = None,
    storage: StorageOption = None,
    target: TargetOption = None,
    toolchain: ToolchainOption = "simulator",
    budget_ms: BudgetOption = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Show what the trials say: how well latency and error are predicted, what each group, cut and switch costs."""
    from mpsearch.search.explain import explain as explained
    from mpsearch.workbench import open_bench

    loaded, ledger, limits = open_stored(study, storage, target, budget_ms, toolchain)
    bench = open_bench(loaded, target=target, budget_ms=limits.budget_ms)
    if bench.space.digest != ledger.fingerprint.get("search space"):
        raise ConfigError(
            f"{loaded.path}: the search space or the model changed since the study {ledger.name!r} was made",
            hint="Restore them: the stored trials belong to the old ones.",
        )
    try:
        found = explained(bench, [trial.record for trial in ledger.trials], ledger.study.user_attrs, limits)
    except ValueError as error:
        raise ConfigError(f"study {ledger.name!r}: {error}", hint="Run more trials: mpsearch resume") from error
    if form is not Format.TABLE:
        emit(found.flat(), form)
        return
    for part, rows in found.parts.items():
        if rows:
            emit([_shown(row) for row in rows], form, title=_TITLES[part])
    for line in ledger.study.user_attrs.get("final", {}).get("lines", []):
        say(line)


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """For people: a value with its uncertainty in one cell."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        if name.endswith("sd_ms"):
            continue
        spread = row.get(f"{name.removesuffix('ms')}sd_ms") if name.endswith("ms") else None
        found[name] = value if spread is None else f"{value:.3f} +- {spread:.3f}"
    return found
