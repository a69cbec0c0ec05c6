"""``mpsearch eval METAFILE|CANDIDATE``: score and time a hand-written candidate by the very code that scores trials."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mpsearch.cli.options import ToolchainOption
from mpsearch.cli.output import Format, FormatOption, emit, passing, say
from mpsearch.errors import ConfigError

if TYPE_CHECKING:
    from mpsearch.candidate import Candidate
    from mpsearch.graph.model import ModelGraph
    from mpsearch.toolchain.synap.metafile import MetafileIO


def register(app: typer.Typer) -> None:
    app.command("eval")(evaluate)


def evaluate(
    files: Annotated[
        list[Path], typer.Argument(metavar="CANDIDATE...", help="SyNAP metafiles (.yaml) or exported candidate.json.")
    ],
    study: Annotated[str | None, typer.Option("--study", help="Study file or name: model, photographs, board.")] = None,
    target: Annotated[str | None, typer.Option(help="Replaces the study's target.")] = None,
    toolchain: ToolchainOption = "simulator",
    budget_ms: Annotated[float | None, typer.Option(help="Replaces the study's budget.")] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Score and time candidates. Nothing is stored, but what the vendor's engine computed is kept in the cache."""
    from mpsearch import members
    from mpsearch.pareto.front import Trial
    from mpsearch.pareto.limits import Limits
    from mpsearch.pareto.table import rows
    from mpsearch.study.folder import cache_folder
    from mpsearch.toolchain.acuity.toolchain import CYCLES
    from mpsearch.workbench import open_workbench

    for file in files:
        _read(file)  # before the work of opening the study
    loaded = members.one(study)
    bench = open_workbench(
        loaded, cache=cache_folder(loaded), target=target, budget_ms=budget_ms, toolchain=toolchain, say=say,
        progress=passing,
    )  # fmt: skip
    trials = []
    try:
        candidates = [bench.space.canonical(read_candidate(file, bench.graph, bench.io)) for file in files]
        for number, candidate in enumerate(candidates):
            bench.scorer.check_cut(candidate)
            trials.append(Trial(number, bench.evaluator.evaluate(candidate), "eval"))
    finally:
        bench.board.close()
        passing()
    limits = Limits(bench.budget_ms, loaded.limits.missed, loaded.limits.extra, loaded.budget.at)
    listed = []
    for file, trial, row in zip(files, trials, rows(trials, limits), strict=True):
        row.pop("trial"), row.pop("origin")
        row |= {"file": str(file)} if len(files) > 1 else {}
        if trial.measured is not None and CYCLES in trial.measured.timing.conditions:
            row[CYCLES] = int(trial.measured.timing.conditions[CYCLES])
        listed.append({**row, "record": trial.record.to_json()} if form is Format.JSON else row)
    task = bench.scorer.task
    counts = ("missed", "extra", task.things) if task.counts else ()
    more = tuple(name for name in ("file", CYCLES) if any(name in row for row in listed))
    emit(listed, form, columns=("latency_ms", task.column, *counts, "feasible", "candidate", "source", *more))
    if CYCLES in more:
        say(f"{CYCLES}: of the vendor's performance model, and no latency; latency_ms is the cost model's")
    failed = [(file, row["failed"]) for file, row in zip(files, listed, strict=True) if row["failed"]]
    for file, reason in failed:
        say(f"{file}: failed in {reason}")
    if failed:
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

    text = _read(file)
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


def _read(file: Path) -> str:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read ({error})") from error
    if not text.strip():
        raise ConfigError(f"{file}: the file is empty", hint="Compare an exported metafile.yaml or candidate.json.")
    return text


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
