"""``synap_cli_od``: the vendor's own detector on the board, read and compared. Pure.

It decodes and suppresses on the board and rounds to whole pixels of the photograph, so it is a cross-check of the
metafile's ``format`` and of the preprocessing, and no score: rounding alone costs about 0.3 px.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot

from mpsearch.errors import TransientError
from mpsearch.scoring.faces import Faces

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Detection:
    """In whole px of the photograph. ``box`` is x, y, width, height."""

    score: float
    box: tuple[int, int, int, int]
    landmarks: tuple[tuple[int, int], ...]


def argv(program: Sequence[str], model: str, images: Sequence[str], *, threshold: float, iou: float) -> tuple[str, ...]:
    """Detect in photographs (jpg or png) on the device."""
    return (*program, "-m", model, "--score-threshold", str(threshold), "--iou-threshold", str(iou), *images)


def parse(stdout: str) -> tuple[tuple[Detection, ...], ...]:
    """One tuple a photograph, in the order of the command line.

    The tool prints a JSON object a photograph among other lines; firmware before 2025 leaves ``mask`` out.

    Raises:
        TransientError: no JSON, or an object without the expected fields.
    """
    decoder = json.JSONDecoder()
    found = []
    at = stdout.find("{")
    while at >= 0:
        try:
            value, end = decoder.raw_decode(stdout, at)
            found.append(tuple(_detection(item) for item in value["items"] or ()))
        except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            raise TransientError(
                f"synap_cli_od: not the JSON of SyNAP 3.x at character {at} ({type(error).__name__}: {error})",
                hint="It prints JSON only where its output is no terminal.",
            ) from error
        at = stdout.find("{", end)
    if not found:
        raise TransientError(f"synap_cli_od: no JSON in {len(stdout.splitlines())} lines of output")
    return tuple(found)


def _detection(item: dict[str, object]) -> Detection:
    box, points = item["bounding_box"], item.get("landmarks")
    if not isinstance(box, dict) or not isinstance(points, dict | None):
        raise ValueError("bounding_box and landmarks must be objects")
    return Detection(
        float(str(item["confidence"])),
        (int(box["origin"]["x"]), int(box["origin"]["y"]), int(box["size"]["x"]), int(box["size"]["y"])),
        tuple((int(p["x"]), int(p["y"])) for p in (points or {}).get("points") or ()),
    )


@dataclass(frozen=True, slots=True)
class Agreement:
    """Attributes:
    matched: faces that both found.
    only_board, only_here: faces that one of them found.
    worst_px: largest distance of a landmark between both, px of the photograph; 0 with nothing matched.
    """

    matched: int
    only_board: int
    only_here: int
    worst_px: float


def compare(
    detections: Sequence[Detection], faces: Faces, size: tuple[int, int], network: tuple[int, int]
) -> Agreement:
    """The board's faces of one photograph against those decoded here from the same outputs.

    Args:
        faces: of this photograph, network px.
        size, network: height and width of the photograph and of the network's input.
    """
    ratio = min(network[0] / size[0], network[1] / size[1])
    top, left = ((network[i] - max(1, round(size[i] * ratio))) // 2 for i in (0, 1))
    here = [[((x - left) / ratio, (y - top) / ratio) for x, y in points] for points in faces.landmarks.tolist()]
    left_over = set(range(len(here)))
    worst, matched = 0.0, 0
    for detection in detections:
        best = min(left_over, key=lambda i: _apart(detection.landmarks, here[i]), default=None)
        if best is None or _apart(detection.landmarks, here[best]) > max(detection.box[2:]) / 2:
            continue
        left_over.discard(best)
        matched += 1
        worst = max(worst, _apart(detection.landmarks, here[best]))
    return Agreement(matched, len(detections) - matched, len(left_over), worst)


def _apart(a: Sequence[Point], b: Sequence[Point]) -> float:
    if len(a) != len(b):
        return float("inf")
    return max((hypot(p[0] - q[0], p[1] - q[1]) for p, q in zip(a, b, strict=True)), default=0.0)
