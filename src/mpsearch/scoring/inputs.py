"""Is the network fed as it was trained? Other channel order, other treatment of the aspect ratio, in float."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from mpsearch.graph.model import ModelGraph
from mpsearch.images import PhotoSet, load_rgb
from mpsearch.scoring.decoders.base import Decoder
from mpsearch.scoring.faces import detect
from mpsearch.scoring.reference import float_outputs

CLEARLY = 1.1
"""Another way counts as better when its scores sum to so many times those of the study's way: letterboxing or a swap
of colours moves them by a few percent where it does not matter."""


@dataclass(frozen=True, slots=True)
class Feeding:
    """One way to feed the float model.

    Attributes:
        faces, photographs: faces found, and photographs with at least one.
        confidence: sum of the faces' scores.
    """

    name: str
    faces: int
    photographs: int
    confidence: float


def feedings(graph: ModelGraph, decoder: Decoder, photos: PhotoSet, *, threads: int = 0) -> tuple[Feeding, ...]:
    """The study's way first, then with red and blue swapped, then stretched instead of letterboxed."""
    preprocess = photos.preprocess
    swapped = replace(preprocess, order="bgr" if preprocess.order == "rgb" else "rgb")
    size = (preprocess.width, preprocess.height)
    originals = [load_rgb(path) for path in photos.paths]
    stretched = [cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8) for image in originals]
    names = [path.name for path in photos.paths]
    ways = {
        f"as the study says ({preprocess.order}, letterboxed)": photos,
        f"channel order {swapped.order}": PhotoSet(photos.paths, swapped),
        "stretched, aspect ratio lost": PhotoSet.from_arrays(names, stretched, preprocess),
    }
    found = []
    for name, way in ways.items():
        faces = detect(decoder, float_outputs(graph, way, threads=threads))
        found.append(Feeding(name, len(faces), len(np.unique(faces.image)), float(faces.scores.sum())))
    return tuple(found)


def advice(found: Sequence[Feeding]) -> str:
    """What to change, "" where the study's way is as good as any."""
    ours, *others = found
    best = max(others, key=lambda feeding: feeding.confidence)
    if best.confidence <= CLEARLY * ours.confidence:
        return ""
    return (
        f"the float model finds {best.faces} faces (scores {best.confidence:.1f}) with {best.name}, "
        f"{ours.faces} ({ours.confidence:.1f}) as the study says."
    )
