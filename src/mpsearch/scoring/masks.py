"""Segmentation against label images, or against the float model where there are none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mpsearch.errors import ConfigError, DataError
from mpsearch.scoring.decoders.base import Segments
from mpsearch.scoring.placement import Placement
from mpsearch.scoring.scorer import TaskScorer
from mpsearch.scoring.segmentation import IGNORED, Counts, confusion, mean_iou
from mpsearch.scoring.statistics import Result, Subject, finite, places_of, speed_of

ClassMap = NDArray[np.int64]
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Masks:
    """The wanted class of each pixel of the photographs.

    Attributes:
        source: the folder, or which model stands in for it.
        maps: [photographs] a map as large as the photograph; None where there is none that fits.
        notes: what is left out, and why.
    """

    source: str
    maps: tuple[ClassMap | None, ...]
    notes: tuple[str, ...] = ()


def read(folder: Path, names: tuple[str, ...], places: tuple[Placement, ...], classes: int) -> Masks:
    """``folder`` holds a PNG of the photograph's stem for each: one class a pixel, 255 counts for nothing.

    Raises:
        DataError: no such folder, no mask that fits, a mask that is no index image, or classes beyond the model's.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder", hint="Segmentation wants a folder of PNG masks as --labels.")
    notes, maps, missing, other = [], [], [], []
    for name, place in zip(names, places, strict=True):
        path = folder / f"{Path(name).stem}.png"
        found = _mask(path, classes) if path.is_file() else None
        if found is None:
            missing.append(name)
        elif found.shape != (place.height, place.width):
            other.append(f"{name} is {place.width}x{place.height}, its mask {found.shape[1]}x{found.shape[0]}")
            found = None
        maps.append(found)
    if missing:
        notes.append(f"{folder}: no mask for {len(missing)} of {len(names)} photographs: {_some(missing)}")
    if other:
        notes.append(f"{folder}: masks of {len(other)} photographs are of another size: {_some(other)}")
    if all(found is None for found in maps):
        raise DataError(f"{folder}: no mask that fits. " + "; ".join(notes), hint="A mask is named <photograph>.png.")
    return Masks(str(folder), tuple(maps), tuple(notes))


def _mask(path: Path, classes: int) -> ClassMap:
    try:
        with Image.open(path) as image:
            values = np.asarray(image if image.mode in ("P", "L", "I;16", "I") else image.convert("RGB"), np.int64)
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as an image: {error}") from error
    if values.ndim != 2:
        raise DataError(f"{path}: a mask holds one class a pixel; this is a colour picture")
    beyond = np.setdiff1d(values, [*range(classes), IGNORED])
    if len(beyond):
        raise DataError(
            f"{path}: class {int(beyond[0])}, but the model has {classes} classes (255 is ignored)",
            hint="The masks belong to another set of classes.",
        )
    return values


def from_float(scorer: TaskScorer) -> Masks:
    """The float model's own maps."""
    maps = _over_photographs(scorer, scorer.reference_map, 0)
    return Masks(f"float {scorer.graph.path.name}", tuple(maps))


def maps_of(subject: Subject) -> Iterator[ClassMap]:
    """The subject's map of each photograph, as large as the photograph.

    Raises:
        ConfigError: its decoder makes no map.
    """
    decoder = segments(subject)
    for start, batch in finite(subject):
        yield from _over_photographs(subject.scorer, decoder.class_map(batch), start)


def segments(subject: Subject) -> Segments:
    """The subject's decoder.

    Raises:
        ConfigError: it makes no map.
    """
    decoder = subject.scorer.decoder
    if not isinstance(decoder, Segments):
        raise ConfigError(f"{subject.name}: decoder {subject.scorer.decoder.name} makes no map to compare with")
    return decoder


def count_masks(subject: Subject, masks: Masks) -> Result:
    """mIoU over the classes that occur in the wanted maps, and the share of right pixels."""
    classes = segments(subject).classes
    total: Counts = np.zeros((classes, classes + 1), np.int64)
    for wanted, found in zip(masks.maps, maps_of(subject), strict=True):
        if wanted is not None:
            total += confusion(wanted, found, classes)
    row = {
        "model_name": subject.name,
        "mIoU": mean_iou(total),
        "accuracy": float(np.trace(total[:, :-1]) / total.sum()),
        **speed_of(subject),
        "truth": masks.source,
    }
    return Result(subject.name, row)


def _over_photographs(scorer: TaskScorer, found: ClassMap, start: int) -> Iterator[ClassMap]:
    network = (scorer.photos.preprocess.height, scorer.photos.preprocess.width)
    for place, image in zip(places_of(scorer)[start : start + len(found)], found, strict=True):
        yield place.classes(image, network)


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (" ..." if len(names) > _SHOWN else "")
