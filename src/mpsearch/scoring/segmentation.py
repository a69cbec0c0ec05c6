"""Class maps against class maps: intersection over union, class by class (``docs/metric.md``)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mpsearch.record import Score
from mpsearch.scoring.decoders.base import Segments
from mpsearch.scoring.outputs import OutputErrors
from mpsearch.task import TASKS

FloatArray = NDArray[np.float32]
ClassMap = NDArray[np.int64]
Counts = NDArray[np.int64]

IGNORED = 255
"""In label images: a pixel that counts for nothing, as in PASCAL VOC and Cityscapes."""


def confusion(wanted: ClassMap, found: ClassMap, classes: int) -> Counts:
    """``[classes, classes + 1]`` pixels: row the wanted class, column the found one (the last: a class beyond).

    Pixels whose wanted class is not in 0 ... ``classes`` - 1 (:data:`IGNORED` among them) count for nothing.
    """
    known = (wanted >= 0) & (wanted < classes)
    other = np.where((found >= 0) & (found < classes), found, classes)
    cells = wanted[known] * (classes + 1) + other[known]
    return np.bincount(cells.ravel(), minlength=classes * (classes + 1)).reshape(classes, classes + 1)


def iou_by_class(counts: Counts) -> NDArray[np.float64]:
    """``[classes]`` intersection over union; NaN for a class that no wanted pixel has."""
    same = np.diagonal(counts)
    wanted, found = counts.sum(axis=1), counts[:, :-1].sum(axis=0)
    union = wanted + found - same
    ratio: NDArray[np.float64] = np.full(len(same), np.nan)
    np.divide(same, union, out=ratio, where=wanted > 0)
    return ratio


def mean_iou(counts: Counts) -> float:
    """The mean over the classes that occur among the wanted pixels.

    Raises:
        ValueError: no pixel is wanted.
    """
    ratios = iou_by_class(counts)
    if np.isnan(ratios).all():
        raise ValueError("no labelled pixel")
    return float(np.nanmean(ratios))


class SegmentationJudge:
    """1 - mIoU against the float model's own map.

    Args:
        reference: ``[N, H, W]``.
    """

    def __init__(self, decoder: Segments, reference: ClassMap) -> None:
        self._decoder, self._reference = decoder, reference
        self._counts: list[Counts] = []

    def add(self, batch: Mapping[str, FloatArray], start: int, present: tuple[str, ...]) -> None:
        found = self._decoder.class_map(batch)
        classes = self._decoder.classes
        for offset, image in enumerate(found):
            self._counts.append(confusion(self._reference[start + offset], image, classes))

    def score(self, errors: OutputErrors) -> Score:
        return Score(
            cell_landmark_mse_px2=None,
            matched_landmark_mse_px2=None,
            objective=1.0 - mean_iou(np.sum(self._counts, axis=0)),
            faces=0,
            missed=0,
            extra=0,
            per_image=tuple(1.0 - mean_iou(counts) for counts in self._counts),
            outputs=errors.summary(),
            kind=TASKS["segmentation"].name,
        )
