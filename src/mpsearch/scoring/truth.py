"""What detections are compared with: a COCO-style annotation file, or the float model where there are no labels."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mpsearch.errors import DataError
from mpsearch.scoring.faces import Faces
from mpsearch.scoring.placement import Placement

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Truth:
    """Annotations of the photographs of a set.

    Attributes:
        source: the file, or which model stands in for one.
        images: COCO's entry for each photograph, in the set's order.
        labelled: ids of the images that count.
        categories: COCO's entries, those that only the model knows at the end.
        category_of: id of the category of each class of the model.
        compared: ids of the categories that both know.
        annotations: COCO's entries.
        notes: what is left out, and why.
    """

    source: str
    images: tuple[Mapping[str, Any], ...]
    labelled: tuple[int, ...]
    categories: tuple[Mapping[str, Any], ...]
    category_of: tuple[int, ...]
    compared: tuple[int, ...]
    annotations: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...] = ()


def detections(
    faces: Faces, places: Sequence[Placement], truth_images: Sequence[Mapping[str, Any]], category_of: Sequence[int]
) -> list[dict[str, Any]]:
    """COCO's entries of ``faces``: px of the photographs, ids from 1."""
    found = []
    for index in range(len(faces)):
        image = int(faces.image[index])
        x1, y1, x2, y2 = (float(v) for v in places[image].boxes(faces.boxes[index : index + 1])[0])
        entry: dict[str, Any] = {
            "id": index + 1,
            "image_id": truth_images[image]["id"],
            "category_id": category_of[int(faces.classes[index])],
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": (x2 - x1) * (y2 - y1),
            "score": float(faces.scores[index]),
        }
        if faces.landmarks.shape[1]:
            entry["landmarks"] = places[image].points(faces.landmarks[index]).round(3).tolist()
        found.append(entry)
    return found


def from_float(
    source: str, faces: Faces, names: Sequence[str], places: Sequence[Placement], labels: Sequence[str]
) -> Truth:
    """The float model's own detections as annotations."""
    images = tuple(
        _image(index + 1, name, place) for index, (name, place) in enumerate(zip(names, places, strict=True))
    )
    ids = tuple(range(1, len(labels) + 1))
    entries = [{**entry, "iscrowd": 0} for entry in detections(faces, places, images, ids)]
    categories = tuple({"id": i, "name": label or f"class {i - 1}"} for i, label in zip(ids, labels, strict=True))
    labelled = tuple(image["id"] for image in images)
    return Truth(source, images, labelled, categories, ids, ids, tuple(entries))


def read(file: Path, names: Sequence[str], places: Sequence[Placement], labels: Sequence[str]) -> Truth:
    """A COCO-style file (``images``, ``annotations``, ``categories``), fitted to photographs and to a model's classes.

    Photographs are found by their file name, without folders. What does not fit is left out and said in ``notes``:
    photographs without an entry or of another size than the entry's, categories that the model does not know and
    classes that have no category.

    Args:
        names: of the photographs' files.
        places: their sizes.
        labels: name of each class of the model, "" where unknown.

    Raises:
        DataError: no such file, not such a file, or nothing in it fits.
    """
    data = _load(file)
    notes: list[str] = []
    images, labelled = _images(file, data["images"], names, places, notes)
    categories, category_of, compared = _categories(file, data["categories"], labels, notes)
    known = {int(entry["id"]) for entry in data["images"]}
    annotations = tuple(
        _annotation(file, index, entry, known, {c["id"] for c in data["categories"]})
        for index, entry in enumerate(data["annotations"])
    )
    return Truth(str(file), images, labelled, categories, category_of, compared, annotations, tuple(notes))


def _load(file: Path) -> dict[str, Any]:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror}", hint="Name a COCO-style JSON file.") from error
    except ValueError as error:
        raise DataError(f"{file}: not JSON: {error}", hint="Name a COCO-style JSON file.") from error
    parts = ("images", "annotations", "categories")
    missing = [part for part in parts if not isinstance(data, dict) or not isinstance(data.get(part), list)]
    if missing:
        raise DataError(f"{file}: not a COCO-style file: no list {', '.join(missing)}")
    for part, keys in (("images", ("id", "file_name")), ("categories", ("id", "name"))):
        for index, entry in enumerate(data[part]):
            lacking = [key for key in keys if not isinstance(entry, dict) or key not in entry]
            if lacking or not isinstance(entry["id"], int):
                raise DataError(f"{file}: {part}[{index}] needs a whole number `id`, and {keys[1]!r}: {entry!r:.80}")
    return dict(data)


def _images(
    file: Path,
    entries: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    places: Sequence[Placement],
    notes: list[str],
) -> tuple[tuple[Mapping[str, Any], ...], tuple[int, ...]]:
    by_name = {Path(str(entry["file_name"])).name: entry for entry in entries}
    free = max((int(entry["id"]) for entry in entries), default=0)
    found: list[Mapping[str, Any]] = []
    labelled, without, other = [], [], []
    for name, place in zip(names, places, strict=True):
        entry = by_name.get(name)
        if entry is None:
            free += 1
            without.append(name)
            found.append(_image(free, name, place))
            continue
        found.append(entry)
        said = (entry.get("height", place.height), entry.get("width", place.width))
        if said != (place.height, place.width):
            other.append(f"{name} is {place.width}x{place.height}, labelled as {said[1]}x{said[0]}")
        else:
            labelled.append(int(entry["id"]))
    if without:
        notes.append(f"{file.name}: no labels for {len(without)} of {len(names)} photographs: {_some(without)}")
    if other:
        notes.append(f"{file.name}: labels of {len(other)} photographs are for another size: {_some(other)}")
    if not labelled:
        raise DataError(
            f"{file}: no photograph with labels that fit. " + "; ".join(notes),
            hint="Photographs are found by file name; use the very files that were labelled.",
        )
    return tuple(found), tuple(labelled)


def _image(number: int, name: str, place: Placement) -> dict[str, Any]:
    return {"id": number, "file_name": name, "height": place.height, "width": place.width}


def _categories(
    file: Path, entries: Sequence[Mapping[str, Any]], labels: Sequence[str], notes: list[str]
) -> tuple[tuple[Mapping[str, Any], ...], tuple[int, ...], tuple[int, ...]]:
    """By name; in order of their ids where the model's classes have no names but are as many; one is one."""
    ordered = sorted(entries, key=lambda entry: int(entry["id"]))
    by_name = {str(entry["name"]).lower(): int(entry["id"]) for entry in entries}
    by_id = {int(entry["id"]) for entry in entries}
    named = any(labels)
    if len(labels) == len(entries) and (not named or len(labels) == 1):
        ids: list[int | None] = [int(entry["id"]) for entry in ordered]
        if labels[0].lower() not in by_name:
            notes.append(f"{file.name}: classes are taken for its categories in the order of their ids")
    else:
        ids = [by_name.get(label.lower()) if label else None for label in labels]
    compared = tuple(i for i in ids if i is not None)
    if not compared:
        near = {label: get_close_matches(label, list(by_name), 1) for label in labels if label}
        hints = [f"{label!r} is nearest to {found[0]!r}" for label, found in near.items() if found]
        raise DataError(
            f"{file}: none of its categories ({_some([str(e['name']) for e in ordered])}) is a class of the model "
            f"({_some([label for label in labels if label]) or f'{len(labels)} without names'})",
            hint=f"Name the classes as the file does: decoder option `labels:`. {'; '.join(hints[:_SHOWN])}".rstrip(),
        )
    unknown = [str(entry["name"]) for entry in ordered if int(entry["id"]) not in compared]
    extra = [label or f"class {index}" for index, (label, i) in enumerate(zip(labels, ids, strict=True)) if i is None]
    if unknown:
        notes.append(f"{file.name}: {len(unknown)} categories that the model does not know: {_some(unknown)}")
    if extra:
        notes.append(f"{file.name}: no category for {len(extra)} classes of the model: {_some(extra)}")
    rest = iter(range(int(ordered[-1]["id"]) + 1, int(ordered[-1]["id"]) + 1 + len(extra)))
    category_of = tuple(next(rest) if i is None else i for i in ids)
    more = [{"id": i, "name": name} for i, name in zip(sorted({*category_of} - {*by_id}), extra, strict=True)]
    return (*entries, *more), category_of, compared


def _annotation(file: Path, index: int, entry: Any, images: set[int], categories: set[int]) -> dict[str, Any]:
    """With ``area`` and ``iscrowd``, which some files leave out.

    Raises:
        DataError: what an entry needs is missing or wrong.
    """
    place = f"{file}: annotations[{index}]"
    box: Any = entry.get("bbox") if isinstance(entry, dict) else None
    four = isinstance(box, list) and len(box) == 4
    if not four or not all(isinstance(v, int | float) and math.isfinite(v) for v in box) or min(box[2:]) < 0:
        raise DataError(f"{place}: `bbox` must be [x, y, width, height], got {box!r:.80}")
    for key, known in (("image_id", images), ("category_id", categories)):
        if entry.get(key) not in known:
            raise DataError(f"{place}: {key} {entry.get(key)!r} is none of the file's {key.removesuffix('_id')} ids")
    area = entry.get("area", box[2] * box[3])
    return {**entry, "id": index + 1, "area": area, "iscrowd": entry.get("iscrowd", 0)}


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (" ..." if len(names) > _SHOWN else "")
