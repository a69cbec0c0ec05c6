"""Faces as arrays, and how cells become faces: threshold, the best by score, non-maximum suppression."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mpsearch.scoring.decoders.base import Classifies, Decoder

Float64 = NDArray[np.float64]
Index = NDArray[np.int64]

BEST = 300
NMS_IOU = 0.45


@dataclass(frozen=True, slots=True)
class Faces:
    """Faces (or objects) of several photographs, sorted by photograph, then by falling score.

    Attributes:
        image: [n] photograph.
        cell: [n] id of the decoder's cell that the face came from.
        scores: [n].
        boxes: [n, 4] xyxy, network px.
        landmarks: [n, points, 2] x and y, network px.
        classes: [n] index of the class; 0 where there is one class only.
    """

    image: Index
    cell: Index
    scores: NDArray[np.float32]
    boxes: Float64
    landmarks: Float64
    classes: Index

    def __len__(self) -> int:
        return len(self.image)

    def where(self, mask: NDArray[np.bool_] | Index) -> Faces:
        """The faces that ``mask`` (or index) selects."""
        return Faces(
            self.image[mask], self.cell[mask], self.scores[mask], self.boxes[mask], self.landmarks[mask],
            self.classes[mask],
        )  # fmt: skip

    @property
    def sizes_px(self) -> Float64:
        """[n] the longer side of each box, network px."""
        longer: Float64 = np.max(self.boxes[:, 2:] - self.boxes[:, :2], axis=1, initial=0.0)
        return longer

    @property
    def diagonals_px(self) -> Float64:
        """[n] the diagonal of each box, network px."""
        return np.hypot(self.boxes[:, 2] - self.boxes[:, 0], self.boxes[:, 3] - self.boxes[:, 1])


def join(parts: Sequence[Faces]) -> Faces:
    """One after the other; ``parts`` must not be empty."""
    return Faces(
        np.concatenate([part.image for part in parts]),
        np.concatenate([part.cell for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.landmarks for part in parts]),
        np.concatenate([part.classes for part in parts]),
    )


def iou(a: Float64, b: Float64) -> Float64:
    """Intersection over union of every box of ``a``  # [n, 4] xyxy  with every one of ``b``  # [m, 4]  -> [n, m].

    Boxes without area overlap nothing.
    """
    corner = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    shared = np.prod(np.clip(corner, 0, None), axis=2)
    area_a = np.prod(np.clip(a[:, 2:] - a[:, :2], 0, None), axis=1)
    area_b = np.prod(np.clip(b[:, 2:] - b[:, :2], 0, None), axis=1)
    union = area_a[:, None] + area_b[None, :] - shared
    ratio: Float64 = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return ratio


def nms(boxes: Float64, limit: float = NMS_IOU, *, classes: Index | None = None) -> Index:
    """Indices to keep of ``boxes``  # [n, 4], best first: none overlaps a better kept one (of its class, where
    ``classes``  # [n]  are given) by more than ``limit``."""
    clash = iou(boxes, boxes) > limit
    if classes is not None:
        clash &= classes[:, None] == classes[None, :]
    alive = np.ones(len(boxes), bool)
    for index in range(len(boxes)):
        if alive[index]:
            alive[index + 1 :] &= ~clash[index, index + 1 :]
    return np.flatnonzero(alive)


def detect(
    decoder: Decoder,
    outputs: Mapping[str, NDArray[np.float32]],
    *,
    first_image: int = 0,
    threshold: float | None = None,
) -> Faces:
    """The faces in complete model ``outputs``  # [N, ...] each  of one batch.

    Score at or above the decoder's threshold, the best 300 by score (equal scores: by cell), NMS at IoU 0.45 within
    each class. Only cells over the threshold are decoded.

    Args:
        first_image: number of the batch's first photograph.
        threshold: replaces the decoder's.
    """
    scores = decoder.scores(outputs)
    images, cells = np.nonzero(scores >= (decoder.threshold if threshold is None else threshold))
    values = scores[images, cells]
    order = np.lexsort((cells, -values, images))
    images, cells, values = images[order], cells[order], values[order]
    first = np.searchsorted(images, images)
    best = np.arange(len(images)) - first < BEST
    images, cells, values = images[best], cells[best], values[best]
    boxes, landmarks = decoder.decode(outputs, images, cells)
    starts = np.searchsorted(images, np.arange(len(scores) + 1))
    classes = decoder.classify(outputs, images, cells) if isinstance(decoder, Classifies) else np.zeros_like(cells)
    kept = [low + nms(boxes[low:high], classes=classes[low:high]) for low, high in pairwise(starts)]
    chosen = np.concatenate(kept) if kept else np.zeros(0, np.int64)
    faces = Faces(images + first_image, cells, values, boxes, landmarks, classes)
    return faces.where(chosen.astype(np.int64))
