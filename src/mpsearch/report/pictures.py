"""Boxes, landmarks and masks drawn on photographs, one model beside another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mpsearch.errors import ConfigError
from mpsearch.images import Pixels
from mpsearch.scoring.faces import Faces
from mpsearch.scoring.matching import match
from mpsearch.scoring.placement import Placement

Colour = tuple[int, int, int]
ClassMap = NDArray[np.int64]

FOUND: Colour = (43, 178, 76)
EXTRA: Colour = (240, 140, 0)
MISSED: Colour = (220, 40, 40)
HEIGHT = 480
"""Of a drawn photograph, px."""
_BAR = 26
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_TEXT = 0.42
_WEIGHT = 0.5
"""Of a mask over the photograph."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One model's answer to one photograph.

    Attributes:
        title: above it.
        pixels: [h, w, 3] RGB.
    """

    title: str
    pixels: Pixels


def detections(
    title: str, photo: Pixels, place: Placement, faces: Faces, labels: Sequence[str], reference: Faces | None = None
) -> Panel:
    """``faces`` of one photograph in network px. Against ``reference``: found ones green, those that it has not
    orange, those that only it has dashed in red."""
    scale = HEIGHT / photo.shape[0]
    image = _resized(photo, scale)
    extra = np.zeros(len(faces), bool)
    said = f"{title}: {len(faces)} found"
    if reference is not None:
        matches = match(reference, faces)
        extra = ~np.isin(np.arange(len(faces)), matches.found)
        missed = reference.where(matches.found < 0)
        for box in place.boxes(missed.boxes) * scale:
            _dashed(image, box, MISSED)
        said += f", {len(missed)} missed, {int(extra.sum())} extra"
    boxes, points = place.boxes(faces.boxes) * scale, place.points(faces.landmarks) * scale
    for index in range(len(faces)):
        colour = EXTRA if extra[index] else FOUND
        x1, y1, x2, y2 = (round(float(v)) for v in boxes[index])
        cv2.rectangle(image, (x1, y1), (x2, y2), colour, 2, cv2.LINE_AA)
        label = labels[int(faces.classes[index])]
        _text(image, f"{label} {faces.scores[index]:.2f}".strip(), (x1, max(14, y1 - 5)), colour)
        for x, y in points[index]:
            cv2.circle(image, (round(float(x)), round(float(y))), 3, (255, 255, 255), -1, cv2.LINE_AA)
            cv2.circle(image, (round(float(x)), round(float(y))), 2, colour, -1, cv2.LINE_AA)
    return Panel(said, image)


def mask(title: str, photo: Pixels, found: ClassMap, reference: ClassMap | None = None) -> Panel:
    """``found``  # [h, w] like the photograph  as colours over it; where it differs from ``reference``, red."""
    colours = _palette(int(found.max(initial=0)) + 1)[found]
    image = (photo * (1 - _WEIGHT) + colours * _WEIGHT).astype(np.uint8)
    image[found == 0] = photo[found == 0]
    if reference is not None:
        wrong = found != reference
        image[wrong] = MISSED
        title = f"{title}: {wrong.mean():.2%} of the pixels differ"
    return Panel(title, _resized(image, HEIGHT / photo.shape[0]))


def side_by_side(panels: Sequence[Panel]) -> Pixels:
    """In a row, each under its title."""
    gap = np.full((HEIGHT + _BAR, 6, 3), 255, np.uint8)
    parts: list[Pixels] = []
    for panel in panels:
        bar = np.full((_BAR, panel.pixels.shape[1], 3), 255, np.uint8)
        size = min(0.5, 0.5 * (panel.pixels.shape[1] - 8) / max(1, cv2.getTextSize(panel.title, _FONT, 0.5, 1)[0][0]))
        cv2.putText(bar, panel.title, (4, 18), _FONT, size, (30, 30, 30), 1, cv2.LINE_AA)
        parts += [np.concatenate([bar, panel.pixels]), gap]
    return np.concatenate(parts[:-1], axis=1)


def save(pixels: Pixels, path: Path) -> None:
    """Raises:
    ConfigError: ``path`` cannot be written.
    """
    done, data = cv2.imencode(path.suffix or ".png", pixels[..., ::-1])
    try:
        if not done:
            raise OSError(f"no picture format {path.suffix!r}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise ConfigError(f"{path}: the picture cannot be written: {error.strerror or error}") from error


def _resized(image: Pixels, scale: float) -> Pixels:
    size = (max(1, round(image.shape[1] * scale)), HEIGHT)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.ascontiguousarray(cv2.resize(image, size, interpolation=how))


def _text(image: Pixels, text: str, place: tuple[int, int], colour: Colour) -> None:
    """White on a plate of the box's colour, so that it is read on any photograph."""
    (width, height), below = cv2.getTextSize(text, _FONT, _TEXT, 1)
    x = max(0, min(place[0], image.shape[1] - width))
    cv2.rectangle(image, (x, place[1] - height - 2), (x + width, place[1] + below - 1), colour, -1)
    cv2.putText(image, text, (x, place[1]), _FONT, _TEXT, (255, 255, 255), 1, cv2.LINE_AA)


def _dashed(image: Pixels, box: NDArray[np.float64], colour: Colour, step: int = 8) -> None:
    x1, y1, x2, y2 = (round(float(v)) for v in box)
    for x in range(x1, x2, 2 * step):
        for y in (y1, y2):
            cv2.line(image, (x, y), (min(x + step, x2), y), colour, 2)
    for y in range(y1, y2, 2 * step):
        for x in (x1, x2):
            cv2.line(image, (x, y), (x, min(y + step, y2)), colour, 2)


def _palette(count: int) -> Pixels:
    """[count, 3] black for the background, then colours far apart in hue, the first ones far from red."""
    hues = ((0.55 + np.arange(max(count - 1, 0)) * 0.618034) % 1 * 180).astype(np.uint8)
    hsv = np.stack([hues, np.full_like(hues, 200), np.full_like(hues, 230)], axis=1)[None]
    rgb = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0] if len(hues) else np.zeros((0, 3), np.uint8)
    return np.concatenate([np.zeros((1, 3), np.uint8), rgb])
