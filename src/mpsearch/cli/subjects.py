"""What ``stats`` and ``show`` look at: candidates of a study, or ONNX models as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mpsearch.cli.output import say
from mpsearch.errors import ConfigError

if TYPE_CHECKING:
    from mpsearch.board.measure import Plan
    from mpsearch.candidate import Candidate
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
PhotosOption = Annotated[str | None, typer.Option("--photos", help="Photographs: folder, glob or list.")]
LimitOption = Annotated[int | None, typer.Option("--limit", min=1, help="Only the first so many photographs.")]
DecoderOption = Annotated[
    str | None, typer.Option("--decoder", help="Of ONNX files: a name, or YAML such as '{name: yolo, classes: 3}'.")
]
MeansOption = Annotated[
    str, typer.Option("--means", help="Of ONNX files: subtracted; one number, or three with commas.")
]
ScaleOption = Annotated[str, typer.Option("--scale", help="Of ONNX files: divides the rest; one number, or three.")]
BgrOption = Annotated[bool, typer.Option("--bgr", help="Of ONNX files: channels in the order BGR.")]


@dataclass(frozen=True)
class Feed:
    """How ONNX files are fed and read."""

    photos: str | None
    decoder: str | None
    means: str
    scale: str
    bgr: bool
    limit: int | None


@contextmanager
def open_subjects(
    names: Sequence[str],
    feed: Feed,
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

    models = [name for name in names if name.lower().endswith(".onnx")]
    if models and len(models) < len(names):
        other = next(name for name in names if name not in models)
        raise ConfigError(f"{other}: a study and ONNX files at once", hint="One study, or any number of ONNX files.")
    if models:
        if picks:
            raise ConfigError("--pick chooses among a study's candidates; an ONNX file is taken as it is")
        yield tuple(_model(Path(name), feed, time=time, plan=plan) for name in models)
        return
    if len(names) > 1:
        raise ConfigError(f"{len(names)} studies at once", hint="One study, or any number of ONNX files.")
    if feed.decoder is not None:
        raise ConfigError("--decoder is for ONNX files; a study names its own")
    bench, chosen = _study(names[0] if names else None, feed, picks or ["budget"], storage, target)
    try:
        scorer = bench.scorer
        float_model = Subject("float", scorer, lambda: iter([scorer.float_outputs]))
        others = [
            _candidate(label, bench, candidate, timing, time=time) for label, (candidate, timing) in chosen.items()
        ]
        yield (float_model, *others)
    finally:
        bench.board.close()


def _model(path: Path, feed: Feed, *, time: bool, plan: Plan | None) -> Subject:
    from mpsearch.board.host import time_model
    from mpsearch.graph.read import read
    from mpsearch.images import PhotoSet, Preprocess, find
    from mpsearch.scoring import decoders
    from mpsearch.scoring.scorer import TaskScorer
    from mpsearch.scoring.statistics import Subject

    if feed.photos is None or feed.decoder is None:
        raise ConfigError(f"{path}: an ONNX file needs --photos and --decoder", hint=f"Decoders: {_known()}")
    graph = read(path)
    shape = graph.tensors[graph.inputs[0]].shape
    if len(shape) != 4 or shape[1] != 3:
        raise ConfigError(f"{path}: its input is {list(shape)}; photographs need [1, 3, height, width]")
    means, scale = _numbers("--means", feed.means), _numbers("--scale", feed.scale)
    preprocess = Preprocess(shape[2], shape[3], means, scale, "bgr" if feed.bgr else "rgb")
    photos = PhotoSet(find(feed.photos), preprocess, limit=feed.limit)
    options = read_decoder(feed.decoder)
    scorer = TaskScorer(graph, decoders.create(str(options.pop("name")), graph, options), photos)
    timing = (lambda: time_model(path, plan=plan)) if time else (lambda: None)
    return Subject(path.stem, scorer, lambda: iter([scorer.float_outputs]), timing)


def _numbers(option: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"{option} {text!r}: one number, or three with commas between") from error


def read_decoder(text: str) -> dict[str, Any]:
    import yaml

    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--decoder {text!r}: not YAML: {error}") from error
    if isinstance(found, str):
        return {"name": found}
    if not isinstance(found, dict) or not isinstance(found.get("name"), str):
        raise ConfigError(f"--decoder {text!r}: a name, or a mapping with one", hint=f"Decoders: {_known()}")
    return dict(found)


def _known() -> str:
    from mpsearch.scoring import decoders

    return ", ".join(decoders.names())


def _study(
    name: str | None, feed: Feed, picks: Sequence[str], storage: str | None, target: str | None
) -> tuple[Workbench, dict[str, tuple[Candidate, Timing | None]]]:
    """The study made ready, and its chosen candidates by name with the timing that is stored."""
    from mpsearch import config
    from mpsearch.candidate import BASES, Candidate
    from mpsearch.study.folder import cache_folder
    from mpsearch.workbench import open_workbench

    study = config.load(config.find(name))
    data = study.data
    if feed.photos is not None:
        data = data.model_copy(update={"evaluation": str(Path(feed.photos).absolute()), "evaluation_limit": None})
    if feed.limit is not None:
        least = min(feed.limit, data.evaluation_limit or feed.limit)
        data = data.model_copy(update={"evaluation_limit": least})
    chosen: dict[str, tuple[Candidate, Timing | None]] = {}
    stored = [pick for pick in picks if pick not in BASES]
    for label, candidate, timing in _stored(study.path, stored, storage, target) if stored else ():
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
    path: Path, picks: Sequence[str], storage: str | None, target: str | None
) -> list[tuple[str, Candidate, Timing | None]]:
    from mpsearch.cli.options import open_stored
    from mpsearch.pareto.front import front
    from mpsearch.pareto.pick import pick as choose

    _, ledger, limits = open_stored(str(path), storage, target, None)
    trials: list[Trial] = []
    for pick in picks:
        trials += front(ledger.trials) if pick == "front" else [choose(ledger.trials, pick, limits)]
    return [
        (f"trial-{trial.number}", trial.record.candidate, trial.measured.timing if trial.measured else None)
        for trial in trials
    ]
