"""Models against one truth: the faces that another model's float version finds (``docs/metric.md``, "Several models").

Two models share no cells, so errors are those of matched faces, with a penalty for missed ones, in px of the
reference's input. A model's detections go back to the photograph through its own letterbox, and from there into the
reference's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from mpsearch.errors import CandidateError, ConfigError
from mpsearch.record import Score
from mpsearch.scoring.decoders.base import Classifies, Decoder
from mpsearch.scoring.detection import Found, computed, squared_px2
from mpsearch.scoring.faces import Faces, Float64, detect, join
from mpsearch.scoring.matching import Matches, match
from mpsearch.scoring.outputs import OutputErrors
from mpsearch.scoring.placement import Placement
from mpsearch.task import LANDMARKS, TASKS, Task

FloatArray = NDArray[np.float32]

_CLEARLY = 0.5
"""Points are in another order where that order's squared distances are less than this share of the given order's."""


@dataclass(frozen=True)
class Way:
    """From one network's input into another's, photograph by photograph.

    Attributes:
        scale: [photographs].
        shift: [photographs, 2] x and y, px: ``p`` of the one lies at ``p * scale + shift`` of the other.
    """

    scale: Float64
    shift: Float64

    @classmethod
    def between(cls, here: Sequence[Placement], there: Sequence[Placement]) -> Way:
        """The same photographs in both."""
        pairs = [a.to(b) for a, b in zip(here, there, strict=True)]
        return cls(np.array([scale for scale, _ in pairs]), np.array([shift for _, shift in pairs]).reshape(-1, 2))

    def carry(self, faces: Faces) -> Faces:
        """The same faces in px of the other network's input."""
        scale, shift = self.scale[faces.image, None, None], self.shift[faces.image, None]
        boxes = faces.boxes.reshape(-1, 2, 2) * scale + shift
        return replace(faces, boxes=boxes.reshape(-1, 4), landmarks=faces.landmarks * scale + shift)


@dataclass(frozen=True)
class Yardstick:
    """What a model is judged by.

    Attributes:
        name: the reference model's file.
        faces: what its float version finds, px of its input.
        eyes: of its decoder.
        own: what the judged model's float version finds, px of its own input.
        way: from the judged model's input into the reference's.
    """

    name: str
    faces: Faces
    eyes: tuple[int, int] | None
    own: Faces
    way: Way

    @cached_property
    def carried(self) -> Faces:
        """:attr:`own` in px of the reference's input."""
        return self.way.carry(self.own)

    @cached_property
    def matches(self) -> Matches:
        """Which of :attr:`own` is which of :attr:`faces`."""
        return match(self.faces, self.carried)

    @property
    def whole(self) -> tuple[int, ...]:
        """Photographs with faces, all of which the judged model's float version finds; where there is none, all with
        faces. What is missed in float costs so much that what quantization does could not be seen beside it."""
        lost = set(self.faces.image[self.matches.found < 0].tolist())
        every = sorted(set(self.faces.image.tolist()))
        return tuple(image for image in every if image not in lost) or tuple(every)


class SharedJudge:
    """The matched error with its penalty.

    Args:
        decoder: of the judged model.
        count: photographs.
        sizes: px of the judged model's own input; see :class:`mpsearch.scoring.scorer.TaskScorer`.
    """

    def __init__(
        self,
        decoder: Decoder,
        yardstick: Yardstick,
        task: Task,
        count: int,
        *,
        sizes: tuple[float, float] | None,
        penalty: float,
    ) -> None:
        self._decoder, self._yardstick, self._task, self._count = decoder, yardstick, task, count
        self._sizes, self._penalty = sizes or (0.0, np.inf), penalty
        self._found: list[Faces] = []

    def add(self, batch: Mapping[str, FloatArray], start: int, present: tuple[str, ...]) -> None:
        self._found.append(detect(self._decoder, batch, first_image=start))

    def score(self, errors: OutputErrors) -> Score:
        """Raises:
        CandidateError: everything in scope went with dropped outputs.
        """
        reference = self._yardstick.faces
        detected = self._yardstick.way.carry(join(self._found))
        matches = match(reference, detected)
        sizes_px = reference.sizes_px / self._yardstick.way.scale[reference.image]
        scope = ~self._gone(errors.present) | ((sizes_px >= self._sizes[0]) & (sizes_px <= self._sizes[1]))
        if not scope.any():
            raise CandidateError(
                f"every one of the reference's {self._task.things} went with the dropped outputs", stage="score"
            )
        found = Found(reference, detected, matches, scope, scope & (matches.found >= 0))
        objective = found.px2(self._task, self._penalty * reference.diagonals_px**2)
        return found.score(self._task, objective, self._yardstick.eyes, self._count, errors, cell=False)

    def _gone(self, present: tuple[str, ...]) -> NDArray[np.bool_]:
        """[reference faces] whether the cell from which the model's own float version finds it is computed no more."""
        found = self._yardstick.matches.found
        lost = ~computed(self._decoder, self._yardstick.own, present)
        return np.array([index >= 0 and bool(lost[index]) for index in found], dtype=bool)


def check_alike(name: str, decoder: Decoder, task: Task, reference: str, by: Decoder, by_task: Task) -> None:
    """Whether two models can have one truth at all.

    Args:
        name, reference: of the models' files.

    Raises:
        ConfigError: other tasks, a task without faces or objects, another number of landmarks, other classes.
    """
    place = f"{name}, judged by {reference}"
    if task is not by_task:
        raise ConfigError(
            f"{place}: the one is for {task.name}, the other for {by_task.name}",
            hint="Set one `objective:` that both decoders serve, e.g. boxes.",
        )
    if task not in (LANDMARKS, TASKS["boxes"]):
        what = "maps of two models have other sizes and classes" if decoder.name == "segmentation" else (
            "tensors of two models have nothing in common"
        )  # fmt: skip
        raise ConfigError(
            f"{place}: objective {task.name} cannot be shared: {what}",
            hint="Several models can be compared by landmarks or boxes; make a study of each otherwise.",
        )
    if task is LANDMARKS and decoder.points != by.points:
        raise ConfigError(
            f"{place}: {decoder.points} landmarks a face against {by.points}",
            hint="Compare their boxes: objective: boxes.",
        )
    mine, theirs = _classes(decoder), _classes(by)
    if len(mine) != len(theirs) or (len(mine) > 1 and mine != theirs):
        raise ConfigError(
            f"{place}: other classes: {_named(mine)} against {_named(theirs)}",
            hint="Name the classes of both alike, in the same order: decoder option `labels:`.",
        )


def check_floats(name: str, yardstick: Yardstick, task: Task, least: float, settings: str) -> None:
    """The float gate of a model that another one judges.

    Args:
        least: the share of the reference's photographs in which some face must be found.
        settings: how its photographs are prepared and decoded, in words.

    Raises:
        ConfigError: too few are found, or the landmarks are in another order.
    """
    found = yardstick.matches.found
    good = found >= 0
    photographs = set(yardstick.faces.image.tolist())
    seen = set(yardstick.faces.image[good].tolist())
    if len(seen) < least * len(photographs):
        raise ConfigError(
            f"{name}: the float model finds {task.things} of {yardstick.name} in only {len(seen)} of "
            f"{len(photographs)} evaluation photographs",
            hint=settings,
        )
    order = _order(yardstick.faces.where(good).landmarks, yardstick.carried.where(found[good]).landmarks)
    if task is LANDMARKS and order is not None:
        raise ConfigError(
            f"{name}: its landmarks are in another order than those of {yardstick.name}: they fit as {list(order)}",
            hint="Compare boxes (objective: boxes), or give the model a decoder plug-in that puts them in order.",
        )


def _order(reference: Float64, found: Float64) -> tuple[int, ...] | None:
    """Which point of ``found``  # [n, points, 2]  each of the reference's points is; None where they are in order."""
    points = reference.shape[1]
    if points < 2:
        return None
    px2 = np.array(
        [[squared_px2(found[:, [b]], reference[:, [a]]).mean() for b in range(points)] for a in range(points)]
    )
    rows, columns = linear_sum_assignment(px2)
    if px2[rows, columns].sum() >= _CLEARLY * np.trace(px2):
        return None
    return tuple(columns.tolist())


def _classes(decoder: Decoder) -> tuple[str, ...]:
    return tuple(decoder.labels) if isinstance(decoder, Classifies) else ("face",)


def _named(classes: Sequence[str]) -> str:
    shown = [label or f"class {index}" for index, label in enumerate(classes)]
    return f"{len(shown)} ({', '.join(shown[:5])}{' ...' if len(shown) > 5 else ''})"
