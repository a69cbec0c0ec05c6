"""Where a photograph lies in the network's input, and the way back from there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mpsearch.errors import DataError
from mpsearch.images import PhotoSet

Float64 = NDArray[np.float64]
ClassMap = NDArray[np.int64]

_TURNED = frozenset({5, 6, 7, 8})
"""EXIF orientations that exchange width and height."""
_ORIENTATION = 0x0112


@dataclass(frozen=True, slots=True)
class Placement:
    """The letterbox of one photograph (:func:`mpsearch.images.letterbox`).

    Attributes:
        height, width: of the photograph, px.
        ratio, top, left: a point ``p`` of the photograph lies at ``p * ratio + (left, top)``.
    """

    height: int
    width: int
    ratio: float
    top: int
    left: int

    @classmethod
    def of(cls, size: tuple[int, int], network: tuple[int, int]) -> Placement:
        """``size`` and ``network`` are height and width."""
        ratio = min(network[0] / size[0], network[1] / size[1])
        new = [max(1, round(side * ratio)) for side in size]
        return cls(*size, ratio, (network[0] - new[0]) // 2, (network[1] - new[1]) // 2)

    def points(self, points: Float64) -> Float64:
        """``[..., 2]`` x and y in network px -> px of the photograph."""
        back: Float64 = (points - np.array([self.left, self.top], np.float64)) / self.ratio
        return back

    def boxes(self, boxes: Float64) -> Float64:
        """``[n, 4]`` xyxy in network px -> px of the photograph, cut off at its edges."""
        back = self.points(boxes.reshape(-1, 2, 2))
        return np.clip(back, 0, [self.width, self.height]).reshape(-1, 4)

    def to(self, other: Placement) -> tuple[float, Float64]:
        """The same photograph in another network's input: ``p`` here lies at ``p * scale + shift``  # [2]  there."""
        scale = other.ratio / self.ratio
        here, there = np.array([self.left, self.top], np.float64), np.array([other.left, other.top], np.float64)
        return scale, there - here * scale

    def classes(self, found: ClassMap, network: tuple[int, int]) -> ClassMap:
        """A map ``[h, w]`` over the network's input -> ``[height, width]`` over the photograph, nearest pixel."""

        def nearest(count: int, start: int, size: int, cells: int) -> NDArray[np.int64]:
            places = ((np.arange(count) + 0.5) * self.ratio + start) * cells / size
            return np.clip(places.astype(np.int64), 0, cells - 1)

        rows = nearest(self.height, self.top, network[0], found.shape[0])
        columns = nearest(self.width, self.left, network[1], found.shape[1])
        return found[rows[:, None], columns[None, :]]


def places_of(photos: PhotoSet) -> tuple[Placement, ...]:
    """Where each photograph lies in the network's input.

    Raises:
        DataError: one is unreadable.
    """
    network = (photos.preprocess.height, photos.preprocess.width)
    return tuple(Placement.of(size_of(path), network) for path in photos.paths)


def size_of(path: Path) -> tuple[int, int]:
    """Height and width of a photograph, px, as it is shown: EXIF orientation applied. Reads the header only.

    Raises:
        DataError: unreadable.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            turned = image.getexif().get(_ORIENTATION) in _TURNED
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as an image: {error}", hint="Replace or remove it.") from error
    return (width, height) if turned else (height, width)
