"""Which detection is which reference face."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from mpsearch.scoring.faces import Faces, Float64, Index, iou

MATCH_IOU = 0.5


@dataclass(frozen=True, slots=True)
class Matches:
    """Attributes:
    found: [reference faces] index of the detection, -1 where there is none.
    iou: [reference faces] 0 where there is none.
    extra: detections that match nothing.
    """

    found: Index
    iou: Float64
    extra: int


def assign(
    reference: Float64, detected: Float64, *, alike: NDArray[np.bool_] | None = None
) -> tuple[Index, Index, Float64]:
    """One-to-one pairs of boxes ``[n, 4]`` and ``[m, 4]`` with IoU >= 0.5: as many as can be, then the least sum of
    1 - IoU. Returns their indices in each and their IoU.

    Args:
        alike: [n, m] which pairs may be at all; None for all.
    """
    overlap = iou(reference, detected)
    allowed = overlap >= MATCH_IOU
    if alike is not None:
        allowed &= alike
    # One forbidden pair costs more than all allowed ones together, so scipy takes it only where nothing else is left.
    forbidden = 1.0 + min(overlap.shape)
    rows, columns = linear_sum_assignment(np.where(allowed, 1 - overlap, forbidden))
    good = allowed[rows, columns]
    rows, columns = rows[good], columns[good]
    return rows.astype(np.int64), columns.astype(np.int64), overlap[rows, columns]


def match(reference: Faces, detected: Faces) -> Matches:
    """Photograph by photograph, class by class; both sorted by photograph."""
    found = np.full(len(reference), -1, np.int64)
    overlap = np.zeros(len(reference))
    for image in np.intersect1d(reference.image, detected.image):
        mine, theirs = _span(reference.image, image), _span(detected.image, image)
        alike = reference.classes[mine, None] == detected.classes[None, theirs]
        rows, columns, values = assign(reference.boxes[mine], detected.boxes[theirs], alike=alike)
        found[mine.start + rows] = theirs.start + columns
        overlap[mine.start + rows] = values
    return Matches(found, overlap, len(detected) - int((found >= 0).sum()))


def _span(images: NDArray[np.int64], image: int) -> slice:
    return slice(*np.searchsorted(images, [image, image + 1]))
