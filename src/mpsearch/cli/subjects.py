"""What ``stats`` and ``show`` look at: candidates of a study, or ONNX models as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mpsearch.cli.feeding import CACHE, is_model
from mpsearch.cli.output import say
from mpsearch.errors import ConfigError

if TYPE_CHECKING:
    from mpsearch.board.measure import Plan
    from mpsearch.candidate import Candidate
    from mpsearch.fed import Feed
    from mpsearch.pareto.front import Trial
    from mpsearch.record import Timing
    from mpsearch.scoring.statistics import Batches, Subject
    from mpsearch.workbench import Workbench

SubjectsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="STUDY|MODEL...", help="A study (file or name), or ONNX files with --photos and --decoder."),
]
PickOption = Annotated[
    list[str] | None,
    typer.Option(
        "--pick", help="Of a study, repeatable: budget, knee, front, a trial's number, or a base (uint8 ...)."
    ),
]
LimitOption = Annotated[int | None, typer.Option("--limit", min=1, help="Only the first so many photographs.")]


@dataclass(frozen=True)
class Given:
    """What the options say.

    Attributes:
        photos: in place of a study's; how ONNX files are fed.
        decoder, shape: of ONNX files.
        limit: only the first so many photographs.
    """

    photos: Feed | None
    decoder: dict[str, Any] | None
    shape: tuple[int, ...] | None
    limit: int | None


@contextmanager
def open_subjects(
    names: Sequence[str],
    given: Given,
    picks: Sequence[str],
    *,
    storage: str | None = None,
    target: str | None = None,
    time: bool = True,
    plan: Plan | None = None,
) -> Iterator[tuple[Subject, ...]]:
    """The float model (of a study) first, then what was asked for; a board is let go at the end.

    Args:
        time: measure or look up the latency of each.
        plan: how ONNX files are timed.

    Raises:
        ConfigError: ONNX files and a study at once, no such thing, or options that are missing.
    """
    from mpsearch.scoring.statistics import Subject

    models = [name for name in names if is_model(name)]
    if models and len(models) < len(names):
        other = next(name for name in names if name not in models)
        raise ConfigError(f"{other}: a study and ONNX files at once", hint="One study, or any number of ONNX files.")
    if models:
        if picks:
            raise ConfigError("--pick chooses among a study's candidates; an ONNX file is taken as it is")
        yield tuple(_model(Path(name), given, time=time, plan=plan) for name in models)
        return
    if len(names) > 1:
        raise ConfigError(f"{len(names)} studies at once", hint="One study, or any number of ONNX files.")
    if given.decoder is not None:
        raise ConfigError("--decoder is for ONNX files; a study names its own")
    bench, chosen = _study(names[0] if names else None, given, picks or ["budget"], storage, target)
    try:
        scorer = bench.scorer
        float_model = Subject("float", scorer, lambda: iter([scorer.float_outputs]))
        others = [
            _candidate(label, bench, candidate, timing, time=time) for label, (candidate, timing) in chosen.items()
        ]
        yield (float_model, *others)
    finally:
        bench.board.close()


def _model(path: Path, given: Given, *, time: bool, plan: Plan | None) -> Subject:
    from mpsearch.board.host import time_model
    from mpsearch.fed import from_model
    from mpsearch.scoring import decoders
    from mpsearch.scoring.scorer import TaskScorer
    from mpsearch.scoring.statistics import Subject

    if given.photos is None or given.decoder is None:
        known = ", ".join(decoders.names())
        raise ConfigError(f"{path}: an ONNX file needs --photos and --decoder", hint=f"Decoders: {known}")
    fed = from_model(path, given.photos, limit=given.limit, cache=CACHE, shape=given.shape)
    options = dict(given.decoder)
    scorer = TaskScorer(fed.graph, decoders.create(str(options.pop("name")), fed.graph, options), fed.evaluation)
    timing = (lambda: time_model(path, plan=plan)) if time else (lambda: None)
    return Subject(path.stem, scorer, lambda: iter([scorer.float_outputs]), timing)


def _study(
    name: str | None, given: Given, picks: Sequence[str], storage: str | None, target: str | None
) -> tuple[Workbench, dict[str, tuple[Candidate, Timing | None]]]:
    """The study made ready, and its chosen candidates by name with the timing that is stored."""
    from mpsearch import members
    from mpsearch.candidate import BASES, Candidate
    from mpsearch.study.folder import cache_folder
    from mpsearch.workbench import open_workbench

    study = members.one(name)
    data = study.data
    if given.photos is not None:
        data = data.model_copy(
            update={"evaluation": str(Path(given.photos.photos).absolute()), "evaluation_limit": None}
        )
    if given.limit is not None:
        least = min(given.limit, data.evaluation_limit or given.limit)
        data = data.model_copy(update={"evaluation_limit": least})
    chosen: dict[str, tuple[Candidate, Timing | None]] = {}
    stored = [pick for pick in picks if pick not in BASES]
    for label, candidate, timing in _stored(study.address, stored, storage, target) if stored else ():
        chosen[label] = (candidate, timing)
    for base in (pick for pick in picks if pick in BASES):
        chosen[base] = (Candidate(base), None)
    bench = open_workbench(study.model_copy(update={"data": data}), cache=cache_folder(study), target=target, say=say)
    return bench, chosen


def _candidate(label: str, bench: Workbench, candidate: Candidate, timing: Timing | None, *, time: bool) -> Subject:
    from mpsearch.scoring.statistics import Subject

    def outputs() -> Batches:
        return bench.evaluator.outputs(candidate)

    def known() -> Timing | None:
        return timing or bench.evaluator.time(candidate) if time else None

    return Subject(label, bench.scorer, outputs, known)


def _stored(
    study: str, picks: Sequence[str], storage: str | None, target: str | None
) -> list[tuple[str, Candidate, Timing | None]]:
    from mpsearch.cli.options import open_ledger
    from mpsearch.pareto.front import front
    from mpsearch.pareto.pick import pick as choose

    _, ledger, limits = open_ledger(study, storage, target, None)
    trials: list[Trial] = []
    for pick in picks:
        trials += front(ledger.trials) if pick == "front" else [choose(ledger.trials, pick, limits)]
    return [
        (f"trial-{trial.number}", trial.record.candidate, trial.measured.timing if trial.measured else None)
        for trial in trials
    ]
