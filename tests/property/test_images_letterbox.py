"""Geometry of the letterbox."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mpsearch.images import BORDER, letterbox

sides = st.integers(1, 90)


def box(image: np.ndarray, height: int, width: int) -> tuple[int, int, int, int]:
    """Height, width, top, left of the picture inside the canvas, from the metric's own words."""
    h, w = image.shape[:2]
    ratio = min(height / h, width / w)
    nh, nw = max(1, round(h * ratio)), max(1, round(w * ratio))
    return nh, nw, (height - nh) // 2, (width - nw) // 2


@given(sides, sides, sides, sides)
def test_the_picture_lies_centred_and_all_around_it_is_grey(h: int, w: int, height: int, width: int) -> None:
    image = np.full((h, w, 3), 7, np.uint8)
    canvas, ratio, top, left = letterbox(image, height, width)
    nh, nw, wanted_top, wanted_left = box(image, height, width)
    assert canvas.shape == (height, width, 3)
    assert (top, left) == (wanted_top, wanted_left)
    expected = np.full((height, width, 3), BORDER, np.uint8)
    expected[top : top + nh, left : left + nw] = 7
    assert (canvas == expected).all()
    assert nh == height or nw == width
    assert ratio == min(height / h, width / w)


@given(sides, sides)
def test_a_picture_of_the_networks_size_is_untouched(h: int, w: int) -> None:
    image = np.random.default_rng(h * 100 + w).integers(0, 256, (h, w, 3)).astype(np.uint8)
    canvas, ratio, top, left = letterbox(image, h, w)
    assert (canvas == image).all()
    assert (ratio, top, left) == (1.0, 0, 0)


@given(st.integers(30, 90), st.integers(30, 90), st.floats(0.25, 0.75), st.floats(0.25, 0.75))
def test_a_point_lands_where_ratio_and_offsets_say(h: int, w: int, fy: float, fx: float) -> None:
    y, x = int(h * fy), int(w * fx)
    image = np.zeros((h, w, 3), np.uint8)
    image[y - 2 : y + 3, x - 2 : x + 3] = 255
    canvas, ratio, top, left = letterbox(image, 128, 160)
    ys, xs = np.nonzero(canvas[..., 0] > 127)
    inside = canvas[int((y + 0.5) * ratio) + top, int((x + 0.5) * ratio) + left, 0]
    assert inside > 200
    assert abs(ys.mean() + 0.5 - ((y + 0.5) * ratio + top)) < 1.5
    assert abs(xs.mean() + 0.5 - ((x + 0.5) * ratio + left)) < 1.5


def test_shrinking_averages_areas_and_growing_interpolates() -> None:
    stripes = np.zeros((8, 8, 3), np.uint8)
    stripes[:, ::2] = 200
    assert (letterbox(stripes, 4, 4)[0] == 100).all()
    grown = letterbox(np.array([[[0] * 3, [200] * 3]], np.uint8), 2, 4)[0][..., 0]
    assert (np.diff(grown[0].astype(int)) >= 0).all()
    assert 0 < grown[0, 1] < grown[0, 2] < 200
