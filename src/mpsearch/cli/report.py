"""``mpsearch report similarities FILE... --out page.html``: tables of layers as a page to look at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mpsearch.cli.layers import write
from mpsearch.cli.options import StorageOption, TargetOption
from mpsearch.cli.output import say
from mpsearch.errors import ConfigError

if TYPE_CHECKING:
    from mpsearch.candidate import Candidate
    from mpsearch.graph.model import ModelGraph


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Pages to look at: one HTML file each, without a network.")
    group.callback()(lambda: None)  # so that a group of one command keeps its name
    group.command("similarities")(similarities)
    app.add_typer(group, name="report")


def similarities(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Tables of profile --layers: .csv or .json.")],
    out: Annotated[Path, typer.Option(help="The page to write.")],
    study: Annotated[str | None, typer.Option("--study", help="Mark what this study's search widened.")] = None,
    pick: Annotated[str, typer.Option(help="With --study: budget, knee, or a trial's number.")] = "budget",
    candidate: Annotated[
        Path | None, typer.Option(help="Instead of --study: mark what this candidate.json widens.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="With --candidate: the ONNX file, to find layers of CSV tables.")
    ] = None,
    storage: StorageOption = None,
    target: TargetOption = None,
) -> None:
    """Write a page of similarities by layer: several runs, worst layers, and what a search chose to widen."""
    from mpsearch.layers.tables import read
    from mpsearch.report.similarities import page, widened_by

    tables = [read(path) for path in files]
    for table in tables:
        for note in table.notes:
            say(f"note: {note}")
    widened, marked = {}, ""
    if study is not None or candidate is not None:
        chosen, graph, marked = _choice(study, pick, candidate, model, storage, target)
        widened = widened_by(chosen, graph)
        if not widened:
            say(f"note: {marked} widens no unit: nothing is marked")
    text = page(tables, widened=widened, marked=marked)
    write(out, text)
    if widened and '"mark":"' + next(iter(widened.values())) not in text:
        say("note: none of the widened units is a layer of these tables; add --model for CSV tables")
    print(out)


def _choice(
    study: str | None, pick: str, file: Path | None, model: Path | None, storage: str | None, target: str | None
) -> tuple[Candidate, ModelGraph | None, str]:
    """A candidate, its graph where that is known, and what to call it."""
    from mpsearch.cli.evaluate import read_candidate
    from mpsearch.cli.options import open_stored
    from mpsearch.graph.read import read
    from mpsearch.pareto.pick import pick as choose
    from mpsearch.toolchain.synap.metafile import MetafileIO

    if study is not None and file is not None:
        raise ConfigError("--study and --candidate are two ways to say what to mark: give one")
    if study is not None:
        stored = open_stored(study, storage, target, None)
        trial = choose(stored.trials, pick, stored.limits)
        loaded = stored.part_of(trial).study
        return (
            trial.record.candidate,
            read(loaded.model, input_shape=loaded.input.shape),
            f"{loaded.title}, trial {trial.number}",
        )
    assert file is not None
    graph = read(model) if model is not None else None
    if graph is None and file.suffix != ".json":
        raise ConfigError(f"{file}: a metafile's layers are found in its model only", hint="Add --model FILE.onnx.")
    if graph is None:
        return _from_json(file), None, file.stem
    return read_candidate(file, graph, MetafileIO()), graph, file.stem


def _from_json(file: Path) -> Candidate:
    import json

    from mpsearch.candidate import Candidate

    try:
        return Candidate.from_json(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise ConfigError(f"{file}: not a candidate: {error}", hint="Compare an exported candidate.json.") from error
