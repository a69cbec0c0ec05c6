"""``mpsearch export``: the bundle that rebuilds a chosen candidate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from mpsearch.cli.options import BudgetOption, StorageOption, StudyArgument, TargetOption, ToolchainOption, open_stored
from mpsearch.cli.output import say
from mpsearch.errors import SetupError, StudyChangedError


def register(app: typer.Typer) -> None:
    app.command("export")(export)


def export(
    study: StudyArgument = None,
    out: Annotated[Path, typer.Option("--out", help="Folder to write; an earlier bundle there is replaced.")] = Path(
        "export"
    ),
    pick: Annotated[str, typer.Option("--pick", help="budget, knee, or a trial's number.")] = "budget",
    storage: StorageOption = None,
    target: TargetOption = None,
    toolchain: ToolchainOption = "simulator",
    budget_ms: BudgetOption = None,
) -> None:
    """Write what rebuilds one trial: the vendor's files and command lines, candidate, record, lock and README."""
    from mpsearch.pareto import export as bundles
    from mpsearch.pareto.pick import pick as choose
    from mpsearch.study.folder import cache_folder
    from mpsearch.workbench import open_bench

    stored = open_stored(study, storage, target, budget_ms, toolchain)
    trial = choose(stored.trials, pick, stored.limits)
    loaded, ledger = stored.part_of(trial).study, stored.part_of(trial).ledger
    bench = open_bench(loaded, target=target, budget_ms=stored.limits.budget_ms)
    changed = [name for name, value in bench.identity.items() if ledger.fingerprint.get(name) != value]
    if changed:
        raise StudyChangedError(
            f"{loaded.address}: {', '.join(changed)} changed since {trial.label} was measured",
            hint="A bundle would mix that record with another study: restore the file, or run it as a new study.",
        )
    try:
        compiled = bench.compiled(trial.record.candidate, cache=cache_folder(loaded))
    except SetupError as error:
        compiled = None
        say(f"note: without its compiled model: {error.message}")
    rendered = bench.render(trial.record.candidate, compiled=compiled)
    provenance = bundles.Provenance(
        study=loaded.title,
        study_file=loaded.address,
        model=bench.graph.path.name,
        digests={key: value for key, value in ledger.fingerprint.items() if isinstance(value, str)},
        versions={**trial.record.versions, **_numbers(ledger.fingerprint)},
        against=loaded.kin.reference.model.name if loaded.kin else "",
    )
    files = bundles.write(trial, rendered, provenance, out)
    if stored.several:
        say(f"{trial.label}: {bench.graph.path.name}")
    for file in files:
        print(file)
    for item in rendered.unresolved:
        say(f"unresolved: {item}")


def _numbers(fingerprint: Mapping[str, Any]) -> dict[str, str]:
    """What of a fingerprint is a version and no digest: the simulator's number."""
    return {key: str(value) for key, value in fingerprint.items() if not isinstance(value, str)}
