"""``mpsearch show STUDY|MODEL...``: what the models see, drawn on the photographs, the float model on the left."""

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
from mpsearch.cli.output import say
from mpsearch.cli.subjects import Given, PickOption, SubjectsArgument, open_subjects

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mpsearch.images import Pixels
    from mpsearch.report.pictures import Panel
    from mpsearch.scoring.statistics import Subject


def register(app: typer.Typer) -> None:
    app.command("show")(show)


def show(
    subjects: SubjectsArgument = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for one PNG a photograph.")] = Path("pictures"),
    pick: PickOption = None,
    photos: PhotosOption = None,
    decoder: DecoderOption = None,
    means: MeansOption = "0",
    scale: ScaleOption = "255",
    bgr: BgrOption = False,
    input_shape: ShapeOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Only the first so many photographs.")] = 8,
    storage: StorageOption = None,
    target: TargetOption = None,
) -> None:
    """Draw boxes, landmarks or masks of several models or candidates side by side; red is missed, orange is extra."""
    from mpsearch.images import load_rgb
    from mpsearch.report import pictures
    from mpsearch.scoring import statistics
    from mpsearch.scoring.decoders.base import Segments

    given = Given(feed_of(photos, means, scale, bgr), read_decoder(decoder), shape_option(input_shape), limit)
    with open_subjects(subjects or [], given, pick or [], storage=storage, target=target, time=False) as found:
        for subject in found:
            statistics.check(subject.scorer)
        paths = found[0].scorer.photos.paths
        images = [load_rgb(path) for path in paths]
        maps = isinstance(found[0].scorer.decoder, Segments)
        rows = _masks(found, images) if maps else _detections(found, images)
    names = [f"{index:02d}_{path.stem}.png" for index, path in enumerate(paths)]
    for name, panels in zip(names, rows, strict=True):
        pictures.save(pictures.side_by_side(panels), out / name)
        print(out / name)
    say(f"left: {found[0].name}" + ("; green: found, orange: extra, red: missed" if not maps else "; red: differs"))


def _detections(found: Sequence[Subject], images: Sequence[Pixels]) -> list[list[Panel]]:
    from mpsearch.report.pictures import detections
    from mpsearch.scoring.faces import detect, join
    from mpsearch.scoring.statistics import labels_of, places_of

    rows: list[list[Panel]] = [[] for _ in images]
    reference = None
    for subject in found:
        parts, start = [], 0
        for batch in subject.outputs():
            parts.append(detect(subject.scorer.decoder, batch, first_image=start))
            start += len(next(iter(batch.values())))
        faces, places, labels = join(parts), places_of(subject.scorer), labels_of(subject.scorer)
        for index, image in enumerate(images):
            mine = faces.where(faces.image == index)
            wanted = reference.where(reference.image == index) if reference is not None else None
            rows[index].append(detections(subject.name, image, places[index], mine, labels, wanted))
        reference = reference or faces
    return rows


def _masks(found: Sequence[Subject], images: Sequence[Pixels]) -> list[list[Panel]]:
    from mpsearch.report.pictures import mask
    from mpsearch.scoring.masks import maps_of

    rows: list[list[Panel]] = [[] for _ in images]
    reference = None
    for subject in found:
        maps = list(maps_of(subject))
        for index, image in enumerate(images):
            wanted = reference[index] if reference is not None else None
            rows[index].append(mask(subject.name, image, maps[index], wanted))
        reference = reference or maps
    return rows
