"""How far a candidate moves faces or objects from where the float model puts them (``docs/metric.md``)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mpsearch.errors import CandidateError
from mpsearch.record import Score
from mpsearch.scoring.decoders.base import Decoder, head_of
from mpsearch.scoring.faces import Faces, Float64, detect, join
from mpsearch.scoring.matching import Matches, match
from mpsearch.scoring.outputs import OutputErrors
from mpsearch.task import LANDMARKS, TASKS

FloatArray = NDArray[np.float32]

PENALTY = 0.25
"""What a missed face counts, as a share of its squared box diagonal."""
NME_WITHOUT_EYES = 0.3
"""Share of the box diagonal that stands for the distance between the eyes where the landmarks have none."""


class DetectionJudge:
    """Landmarks at the reference's own cells, or corners of boxes there; and the same after matching.

    Args:
        reference: the float model's faces in all photographs.
        count: photographs.
        boxes: the objective is the boxes' error, not the landmarks'.
        sizes, penalty: see :class:`mpsearch.scoring.scorer.TaskScorer`.
    """

    def __init__(
        self,
        decoder: Decoder,
        reference: Faces,
        count: int,
        *,
        boxes: bool,
        sizes: tuple[float, float] | None,
        penalty: float,
    ) -> None:
        self._decoder, self._reference, self._count, self._boxes = decoder, reference, count, boxes
        self._sizes, self._penalty = sizes or (0.0, np.inf), penalty
        self._cell_px2 = np.full(len(reference), np.nan)
        self._found: list[Faces] = []

    def add(self, batch: Mapping[str, FloatArray], start: int, present: tuple[str, ...]) -> None:
        reference = self._reference
        size = len(next(iter(batch.values())))
        mine = (reference.image >= start) & (reference.image < start + size) & self._alive(present)
        faces = reference.where(mine)
        boxes, landmarks = self._decoder.decode(batch, faces.image - start, faces.cell)
        self._cell_px2[mine] = self._px2(faces, boxes, landmarks)
        self._found.append(detect(self._decoder, batch, first_image=start))

    def score(self, errors: OutputErrors) -> Score:
        """Raises:
        CandidateError: everything in scope went with dropped outputs.
        """
        reference, detected = self._reference, join(self._found)
        task = TASKS["boxes"] if self._boxes else LANDMARKS
        alive = self._alive(errors.present)
        scope = alive | ((reference.sizes_px >= self._sizes[0]) & (reference.sizes_px <= self._sizes[1]))
        if not scope.any():
            raise CandidateError(
                f"every one of the reference's {task.things} went with the dropped outputs", stage="score"
            )
        penalty = self._penalty * reference.diagonals_px**2
        # All of the reference takes part in the matching, so that a face found elsewhere is not called extra.
        matches = match(reference, detected)
        good = scope & alive & (matches.found >= 0)
        pairs = reference.where(good), detected.where(matches.found[good])
        if self._decoder.anchored:
            objective = np.where(alive, self._cell_px2, penalty)
        else:
            objective = penalty.copy()
            objective[good] = self._px2(pairs[0], pairs[1].boxes, pairs[1].landmarks)
        error = float(objective[scope].mean())
        points = self._decoder.points > 0
        landmark_px2 = squared_px2(pairs[1].landmarks, pairs[0].landmarks) if points else np.zeros(0)
        return Score(
            cell_landmark_mse_px2=error if self._decoder.anchored and not self._boxes else None,
            matched_landmark_mse_px2=_mean(landmark_px2),
            objective=error,
            faces=int(scope.sum()),
            missed=int((scope & ~good).sum()),
            extra=matches.extra,
            matched_iou=_mean_iou(matches, good),
            nme=_mean(nme(*pairs, self._decoder.eyes)) if points else None,
            per_image=per_image(reference.image[scope], objective[scope], self._count),
            outputs=errors.summary(),
            kind=task.name,
            matched_box_mse_px2=_mean(squared_px2(_corners(pairs[1].boxes), _corners(pairs[0].boxes))),
        )

    def _px2(self, faces: Faces, boxes: Float64, landmarks: Float64) -> Float64:
        if self._boxes:
            return squared_px2(_corners(boxes), _corners(faces.boxes))
        return squared_px2(landmarks, faces.landmarks)

    def _alive(self, present: tuple[str, ...]) -> NDArray[np.bool_]:
        """[reference faces] whether the face's cell is still computed."""
        heads = self._decoder.heads
        return np.array([head.present(present) for head in heads])[head_of(heads, self._reference.cell)]


def _mean(values: Float64) -> float | None:
    return float(values.mean()) if len(values) else None


def _mean_iou(matches: Matches, good: NDArray[np.bool_]) -> float | None:
    return _mean(matches.iou[good])


def _corners(boxes: Float64) -> Float64:
    """[n, 2, 2] top left and bottom right of xyxy boxes, as points."""
    return boxes.reshape(-1, 2, 2)


def squared_px2(a: Float64, b: Float64) -> Float64:
    """[n] mean over the points of the squared distance of points ``[n, points, 2]``, px^2."""
    squared: Float64 = ((a - b) ** 2).sum(axis=2).mean(axis=1)
    return squared


def nme(reference: Faces, found: Faces, eyes: tuple[int, int] | None) -> Float64:
    """[n] mean point distance over the distance between the reference's outer eye points; where the decoder has no
    eyes, or both lie on one spot, over 0.3 box diagonals."""
    distance = np.linalg.norm(found.landmarks - reference.landmarks, axis=2).mean(axis=1)
    unit = NME_WITHOUT_EYES * reference.diagonals_px
    if eyes is not None:
        apart = np.linalg.norm(reference.landmarks[:, eyes[0]] - reference.landmarks[:, eyes[1]], axis=1)
        unit = np.where(apart > 0, apart, unit)
    relative: Float64 = distance / unit
    return relative


def per_image(images: NDArray[np.int64], values: Float64, count: int) -> tuple[float | None, ...]:
    """Mean of ``values`` for each of ``count`` photographs, None where there is none."""
    faces = np.bincount(images, minlength=count)
    sums = np.bincount(images, weights=values, minlength=count)
    return tuple(float(total / number) if number else None for total, number in zip(sums, faces, strict=True))
