"""``mpsearch stats STUDY|MODEL...``: COCO AP and AR or mIoU, confidence, FPS, and both in one number."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mpsearch.cli.feeding import (
    BgrOption,
    DecoderOption,
    MeansOption,
    PhotosOption,
    ScaleOption,
    ShapeOption,
    feed_of,
    read_decoder,
)
from mpsearch.cli.inspect import shape_option
from mpsearch.cli.options import StorageOption, TargetOption
from mpsearch.cli.output import Format, FormatOption, emit, say
from mpsearch.cli.subjects import Given, LimitOption, PickOption, SubjectsArgument, open_subjects
from mpsearch.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mpsearch.scoring.statistics import Result, Subject


def register(app: typer.Typer) -> None:
    app.command("stats")(stats)


def stats(
    subjects: SubjectsArgument = None,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", help="COCO-style JSON, or a folder of PNG masks. Default: the float model's answers."),
    ] = None,
    pick: PickOption = None,
    photos: PhotosOption = None,
    decoder: DecoderOption = None,
    means: MeansOption = "0",
    scale: ScaleOption = "255",
    bgr: BgrOption = False,
    input_shape: ShapeOption = None,
    limit: LimitOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for results.csv and detections as COCO JSON.")
    ] = None,
    storage: StorageOption = None,
    target: TargetOption = None,
    time: Annotated[bool, typer.Option("--fps/--no-fps", help="Look up or measure frames a second.")] = True,
    form: FormatOption = Format.TABLE,
) -> None:
    """Count detections (or pixels) of several models or candidates against labels, or against the float model."""
    from mpsearch.scoring import statistics
    from mpsearch.scoring.decoders.base import Segments

    given = Given(feed_of(photos, means, scale, bgr), read_decoder(decoder), shape_option(input_shape), limit)
    with open_subjects(subjects or [], given, pick or [], storage=storage, target=target, time=time) as found:
        for subject in found:
            statistics.check(subject.scorer)
        statistics.unique(found)
        maps = isinstance(found[0].scorer.decoder, Segments)
        results = _masks(found, labels) if maps else _detections(found, labels)
    accuracy = "mIoU" if maps else statistics.AP
    columns = statistics.SEGMENTATION_COLUMNS if maps else statistics.DETECTION_COLUMNS
    rows = statistics.scored(results, accuracy)
    more = ("source",) if maps else ("AP50", "detections", "source")
    failed = [row for row in rows if "failed" in row]
    more = (*more, "failed") if failed else more
    emit(rows, form, columns=(*columns, *more), title=f"{len(found[0].scorer.photos)} photographs")
    if labels is None:
        truth = next((row["truth"] for row in rows if "truth" in row), "nothing")
        say(f"no --labels: counted against {truth}, so {accuracy} says how alike they are, not how good")
    if out is not None:
        for file in statistics.write(rows, columns, results, out):
            say(f"wrote {file}")
    if failed:
        raise typer.Exit(1)


def _detections(found: Sequence[Subject], labels: Path | None) -> list[Result]:
    from mpsearch.scoring import statistics

    results: list[Result] = []
    truth = statistics.truth_for(found[0].scorer, labels)
    for note in truth.notes:
        say(f"note: {note}")
    classes = statistics.labels_of(found[0].scorer)
    for subject in found:
        if statistics.labels_of(subject.scorer) != classes:
            raise ConfigError(
                f"{subject.name}: its classes are not those of {found[0].name}", hint="Count them in two runs."
            )
        results.append(statistics.counted_or_failed(subject, lambda one: statistics.count_detections(one, truth)))
    return results


def _masks(found: Sequence[Subject], labels: Path | None) -> list[Result]:
    from mpsearch.scoring import masks, statistics

    scorer, classes = found[0].scorer, masks.segments(found[0]).classes
    if labels is None:
        wanted = masks.from_float(scorer)
    else:
        names = tuple(path.name for path in scorer.photos.paths)
        statistics.distinct(names)
        wanted = masks.read(labels, names, statistics.places_of(scorer), classes)
    for note in wanted.notes:
        say(f"note: {note}")
    for subject in found:
        if masks.segments(subject).classes != classes:
            raise ConfigError(f"{subject.name}: its classes are not those of {found[0].name}")
    return [statistics.counted_or_failed(subject, lambda one: masks.count_masks(one, wanted)) for subject in found]
