"""``mpsearch explain``: what a stored study has taught the search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from mpsearch import digits
from mpsearch.cli.options import BudgetOption, StorageOption, StudyArgument, TargetOption, ToolchainOption, open_stored
from mpsearch.cli.output import Format, FormatOption, emit, say
from mpsearch.errors import ConfigError

if TYPE_CHECKING:
    from mpsearch.pareto.limits import Limits
    from mpsearch.search.explain import Explanation
    from mpsearch.study.stored import Part

_TITLES = {
    "models": "Models: each trial predicted from all others",
    "boards": "Boards of the shelf: times over those of the slowest, by the reference and by the trials",
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
    stored = open_stored(study, storage, target, budget_ms, toolchain)
    found = [_explained(part, target, stored.limits) for part in stored.parts]
    if form is not Format.TABLE:
        emit([row for part, one in zip(stored.parts, found, strict=True) for row in _flat(part, one)], form)
        return
    for part, one in zip(stored.parts, found, strict=True):
        for name, rows in one.parts.items():
            if rows:
                whose = f"{part.study.member}: " if part.study.member else ""
                emit([_shown(row) for row in rows], form, title=whose + _TITLES[name])
        for line in part.ledger.study.user_attrs.get("final", {}).get("lines", []):
            say(line)


def _explained(part: Part, target: str | None, limits: Limits) -> Explanation:
    from mpsearch.search.explain import explain as explained
    from mpsearch.study.folder import cache_folder
    from mpsearch.workbench import open_bench

    ledger = part.ledger
    bench = open_bench(part.study, target=target, budget_ms=limits.budget_ms)
    if bench.space.digest != ledger.fingerprint.get("search space"):
        raise ConfigError(
            f"{part.study.address}: the search space or the model changed since the study {ledger.name!r} was made",
            hint="Restore them: the stored trials belong to the old ones.",
        )
    try:
        records = [trial.record for trial in (*ledger.trials, *ledger.rejected)]
        return explained(bench, records, ledger.study.user_attrs, limits, cache=cache_folder(part.study))
    except ValueError as error:
        raise ConfigError(f"study {ledger.name!r}: {error}", hint="Run more trials: mpsearch resume") from error


def _flat(part: Part, found: Explanation) -> list[dict[str, Any]]:
    """For programs; ``of`` is the model, where there are several."""
    whose = {"of": part.study.member} if part.study.member else {}
    return [{**whose, **row} for row in found.flat()]


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """For people: a value with its uncertainty in one cell."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        if name.endswith("sd_ms"):
            continue
        spread = row.get(f"{name.removesuffix('ms')}sd_ms") if name.endswith("ms") else None
        found[name] = value if spread is None else digits.unsure(value, spread)
    return found
