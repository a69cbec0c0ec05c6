"""Where photographs lie in the network's input, and what is drawn on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mpsearch.errors import ConfigError, DataError
from mpsearch.images import letterbox, load_rgb
from mpsearch.report import pictures
from mpsearch.scoring.faces import Faces
from mpsearch.scoring.placement import Placement, size_of

PHOTO = np.full((120, 160, 3), 50, np.uint8)
PLACE = Placement.of((120, 160), (120, 160))


def faces(*boxes: tuple[float, ...], points: int = 0) -> Faces:
    count = len(boxes)
    return Faces(
        np.zeros(count, np.int64), np.arange(count), np.full(count, 0.9, np.float32),
        np.array(boxes, np.float64).reshape(-1, 4), np.full((count, points, 2), 30.0), np.zeros(count, np.int64),
    )  # fmt: skip


def drawn(panel: pictures.Panel, colour: pictures.Colour) -> bool:
    return bool((panel.pixels == colour).all(axis=2).sum() > 50)


@given(st.tuples(st.integers(5, 90), st.integers(5, 90)), st.tuples(st.integers(16, 80), st.integers(16, 80)))
def test_the_placement_is_that_of_the_letterbox(size: tuple[int, int], network: tuple[int, int]) -> None:
    place = Placement.of(size, network)
    _, ratio, top, left = letterbox(np.zeros((*size, 3), np.uint8), *network)
    assert (place.ratio, place.top, place.left) == (ratio, top, left)
    inside = np.array([[0.0, 0.0, *size[::-1]]])
    there = inside * ratio + np.array([left, top, left, top])
    assert np.allclose(place.boxes(there), inside)


def test_a_map_of_fewer_pixels_is_laid_over_the_photograph_without_its_border() -> None:
    """A photograph of 40x80 in a network of 64x64 (rows 16 to 48), with a map of 16x16."""
    classes = np.zeros((16, 16), np.int64)
    classes[:4] = classes[12:] = 9  # the grey border
    classes[4:12, 8:] = 1
    found = Placement.of((40, 80), (64, 64)).classes(classes, (64, 64))
    assert found.shape == (40, 80)
    assert (found[:, :40] == 0).all()
    assert (found[:, 40:] == 1).all()


def test_the_size_of_a_turned_photograph_is_the_one_that_is_loaded(tmp_path: Path) -> None:
    image = Image.fromarray(PHOTO)
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert size_of(tmp_path / "turned.jpg") == load_rgb(tmp_path / "turned.jpg").shape[:2] == (160, 120)
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"broken\.jpg"):
        size_of(tmp_path / "broken.jpg")


def test_found_is_green_extra_is_orange_and_missed_is_red() -> None:
    here, there = (20, 20, 60, 60), (100, 40, 140, 100)
    cases = [
        (faces(here), None, {pictures.FOUND}, "m: 1 found"),
        (faces(here), faces(here), {pictures.FOUND}, "m: 1 found, 0 missed, 0 extra"),
        (faces(here, there), faces(here), {pictures.FOUND, pictures.EXTRA}, "m: 2 found, 0 missed, 1 extra"),
        (faces(here), faces(there), {pictures.EXTRA, pictures.MISSED}, "m: 1 found, 1 missed, 1 extra"),
        (faces(), faces(there), {pictures.MISSED}, "m: 0 found, 1 missed, 0 extra"),
    ]
    for found, reference, colours, title in cases:
        panel = pictures.detections("m", PHOTO, PLACE, found, ["face"], reference)
        assert panel.title == title
        assert {c for c in (pictures.FOUND, pictures.EXTRA, pictures.MISSED) if drawn(panel, c)} == colours


def test_landmarks_are_drawn_where_they_are() -> None:
    panel = pictures.detections("m", PHOTO, PLACE, faces((20, 20, 60, 60), points=5), ["face"])
    assert tuple(panel.pixels[120, 120]) == pictures.FOUND  # 30 px, four times as large


def test_pixels_of_a_map_that_differ_are_red() -> None:
    wanted = np.zeros((120, 160), np.int64)
    wanted[:60] = 1
    found = wanted.copy()
    found[:, :40] = 1
    panel = pictures.mask("m", PHOTO, found, wanted)
    assert panel.title == "m: 12.50% of the pixels differ"
    assert tuple(panel.pixels[400, 50]) == pictures.MISSED
    assert tuple(panel.pixels[400, 500]) == (50, 50, 50)
    assert tuple(panel.pixels[100, 500]) not in (pictures.MISSED, (50, 50, 50))


def test_a_picture_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file"):
        pictures.save(PHOTO, tmp_path / "file" / "x.png")
