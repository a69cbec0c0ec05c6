"""How far a candidate moves faces or objects from where the float model puts them (``docs/metric.md``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpsearch.errors import CandidateError
from mpsearch.record import Score
from mpsearch.scoring.decoders.base import Decoder, head_of
from mpsearch.scoring.faces import Faces, Float64, detect, join
from mpsearch.scoring.matching import Matches, match
from mpsearch.scoring.outputs import OutputErrors
from mpsearch.task import LANDMARKS, TASKS, Task

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
        self._decoder, self._reference, self._count = decoder, reference, count
        self._task = TASKS["boxes"] if boxes else LANDMARKS
        self._sizes, self._penalty = sizes or (0.0, np.inf), penalty
        self._cell_px2 = np.full(len(reference), np.nan)
        self._found: list[Faces] = []

    def add(self, batch: Mapping[str, FloatArray], start: int, present: tuple[str, ...]) -> None:
        reference = self._reference
        size = len(next(iter(batch.values())))
        mine = (reference.image >= start) & (reference.image < start + size) & self._alive(present)
        faces = reference.where(mine)
        boxes, landmarks = self._decoder.decode(batch, faces.image - start, faces.cell)
        self._cell_px2[mine] = task_px2(self._task, faces, boxes, landmarks)
        self._found.append(detect(self._decoder, batch, first_image=start))

    def score(self, errors: OutputErrors) -> Score:
        """Raises:
        CandidateError: everything in scope went with dropped outputs.
        """
        reference, detected = self._reference, join(self._found)
        task = self._task
        alive = self._alive(errors.present)
        scope = alive | ((reference.sizes_px >= self._sizes[0]) & (reference.sizes_px <= self._sizes[1]))
        if not scope.any():
            raise CandidateError(
                f"every one of the reference's {task.things} went with the dropped outputs", stage="score"
            )
        penalty = self._penalty * reference.diagonals_px**2
        # All of the reference takes part in the matching, so that a face found elsewhere is not called extra.
        matches = match(reference, detected)
        found = Found(reference, detected, matches, scope, scope & alive & (matches.found >= 0))
        anchored = self._decoder.anchored
        objective = np.where(alive, self._cell_px2, penalty) if anchored else found.px2(task, penalty)
        cell = anchored and task is LANDMARKS
        return found.score(task, objective, self._decoder.eyes, self._count, errors, cell=cell)

    def _alive(self, present: tuple[str, ...]) -> NDArray[np.bool_]:
        return computed(self._decoder, self._reference, present)


def computed(decoder: Decoder, faces: Faces, present: tuple[str, ...]) -> NDArray[np.bool_]:
    """[faces] whether the face's cell is still computed where only the outputs ``present`` are left."""
    return np.array([head.present(present) for head in decoder.heads])[head_of(decoder.heads, faces.cell)]


@dataclass(frozen=True, slots=True)
class Found:
    """Reference faces, and what of them was detected.

    Attributes:
        scope: [reference faces] which count.
        good: [reference faces] which of those were found.
    """

    reference: Faces
    detected: Faces
    matches: Matches
    scope: NDArray[np.bool_]
    good: NDArray[np.bool_]

    @property
    def pairs(self) -> tuple[Faces, Faces]:
        """The reference faces that were found, and the detections."""
        return self.reference.where(self.good), self.detected.where(self.matches.found[self.good])

    def px2(self, task: Task, penalty: Float64) -> Float64:
        """[reference faces] the task's error where a face was found, else ``penalty``  # [reference faces]."""
        faces, found = self.pairs
        objective = penalty.copy()
        objective[self.good] = task_px2(task, faces, found.boxes, found.landmarks)
        return objective

    def score(
        self,
        task: Task,
        objective: Float64,
        eyes: tuple[int, int] | None,
        count: int,
        errors: OutputErrors,
        *,
        cell: bool,
    ) -> Score:
        """Everything there is to say.

        Args:
            objective: [reference faces] px^2.
            eyes: see :attr:`mpsearch.scoring.decoders.base.Decoder.eyes`.
            count: photographs.
            cell: the objective is the landmarks' error at the reference's own cells.
        """
        faces, found = self.pairs
        error = float(objective[self.scope].mean())
        points = self.reference.landmarks.shape[1] > 0
        return Score(
            cell_landmark_mse_px2=error if cell else None,
            matched_landmark_mse_px2=_mean(squared_px2(found.landmarks, faces.landmarks)) if points else None,
            objective=error,
            faces=int(self.scope.sum()),
            missed=int((self.scope & ~self.good).sum()),
            extra=self.matches.extra,
            matched_iou=_mean(self.matches.iou[self.good]),
            nme=_mean(nme(faces, found, eyes)) if points else None,
            per_image=per_image(self.reference.image[self.scope], objective[self.scope], count),
            outputs=errors.summary(),
            kind=task.name,
            matched_box_mse_px2=_mean(squared_px2(_corners(found.boxes), _corners(faces.boxes))),
        )


def task_px2(task: Task, faces: Faces, boxes: Float64, landmarks: Float64) -> Float64:
    """[n] the task's error between ``faces`` and predictions of them, px^2."""
    if task is LANDMARKS:
        return squared_px2(landmarks, faces.landmarks)
    return squared_px2(_corners(boxes), _corners(faces.boxes))


def _mean(values: Float64) -> float | None:
    return float(values.mean()) if len(values) else None


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
