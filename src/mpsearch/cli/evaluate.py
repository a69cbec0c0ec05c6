"""``mpsearch eval METAFILE|CANDIDATE``: score and time a hand-written candidate by the very code that scores trials."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mpsearch.cli.output import Format, FormatOption, emit, say
from mpsearch.errors import ConfigError

if TYPE_CHECKING:
    from mpsearch.candidate import Candidate
    from mpsearch.graph.model import ModelGraph
    from mpsearch.toolchain.synap.metafile import MetafileIO


def register(app: typer.Typer) -> None:
    app.command("eval")(evaluate)


def evaluate(
    file: Annotated[Path, typer.Argument(help="A SyNAP metafile (.yaml) or an exported candidate.json.")],
    study: Annotated[str | None, typer.Option("--study", help="Study file or name: model, photographs, board.")] = None,
    target: Annotated[str | None, typer.Option(help="Replaces the study's target.")] = None,
    budget_ms: Annotated[float | None, typer.Option(help="Replaces the study's budget.")] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Score and time one candidate. Nothing is stored."""
    from mpsearch import config
    from mpsearch.pareto.front import Trial
    from mpsearch.pareto.limits import Limits
    from mpsearch.pareto.table import rows
    from mpsearch.record import Failed
    from mpsearch.study.folder import cache_folder
    from mpsearch.workbench import open_workbench

    loaded = config.load(config.find(study))
    bench = open_workbench(loaded, cache=cache_folder(loaded), target=target, budget_ms=budget_ms, say=say)
    candidate = bench.space.canonical(read_candidate(file, bench.graph, bench.io))
    bench.scorer.check_cut(candidate)
    record = bench.evaluator.evaluate(candidate)
    limits = Limits(bench.budget_ms, loaded.limits.missed, loaded.limits.extra, loaded.budget.at)
    listed = rows([Trial(0, record, "eval")], limits)
    for row in listed:
        row.pop("trial"), row.pop("origin")
    if form is Format.JSON:
        listed = [{**row, "record": record.to_json()} for row in listed]
    columns = ("latency_ms", "landmark_mse_px2", "missed", "extra", "faces", "feasible", "candidate", "source")
    emit(listed, form, columns=columns)
    if isinstance(record.outcome, Failed):
        say(f"failed in {record.outcome.stage}: {record.outcome.message}")
        raise typer.Exit(1)


def read_candidate(file: Path, graph: ModelGraph, io: MetafileIO) -> Candidate:
    """A candidate from its JSON, or from a metafile as the toolkit would understand it.

    Args:
        io: the study's preprocessing, with which the candidate will be scored.

    Raises:
        ConfigError: names file, line and thing.
    """
    from mpsearch.candidate import Candidate
    from mpsearch.toolchain.synap.parse import parse

    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read ({error})") from error
    if not text.strip():
        raise ConfigError(f"{file}: the file is empty", hint="Compare an exported metafile.yaml or candidate.json.")
    if file.suffix != ".json":
        parsed = parse(text, graph, source=str(file))
        for note in parsed.notes:
            say(f"note: {note}")
        if parsed.candidate.base == "float16":
            say("note: without a `quantization:` dataset the toolkit builds a float16 model; its error is taken as 0")
        _check_preprocessing(file, parsed.io, io)
        return parsed.candidate
    try:
        return Candidate.from_json(json.loads(text))
    except (ValueError, AttributeError, TypeError) as error:
        raise ConfigError(f"{file}: not a candidate: {error}", hint="Compare an exported candidate.json.") from error


def _check_preprocessing(file: Path, said: MetafileIO, study: MetafileIO) -> None:
    """A metafile with other means or scale would be built into another model than the one that is scored here."""
    plain = {"means": (0.0, 0.0, 0.0), "scale": 1.0}
    for name, absent in plain.items():
        here = getattr(said, name) or absent
        there = getattr(study, name) or absent
        if here != there:
            raise ConfigError(
                f"{file}: inputs: {name} {here} in the metafile, {there} in the study",
                hint="Candidates are scored with the study's preprocessing: make the two agree.",
            )
    if said.input_format.startswith("bgr") != study.input_format.startswith("bgr"):
        raise ConfigError(
            f"{file}: inputs: format {said.input_format or 'rgb'!r} in the metafile, "
            f"{study.input_format or 'rgb'!r} in the study",
            hint="Candidates are scored with the study's channel order: make the two agree.",
        )
