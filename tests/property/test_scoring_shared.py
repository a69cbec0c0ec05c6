"""Several models against one truth: the way between two inputs, and what a model's own faces cost it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mpsearch.errors import ConfigError
from mpsearch.graph.read import read
from mpsearch.images import PhotoSet, Preprocess
from mpsearch.scoring import decoders
from mpsearch.scoring.faces import Faces
from mpsearch.scoring.placement import Placement
from mpsearch.scoring.scorer import TaskScorer
from mpsearch.scoring.shared import Way
from mpsearch.testing import spots

SIDES = st.tuples(st.integers(40, 900), st.integers(40, 900))
POINTS = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=2)
Outputs = Mapping[str, np.ndarray]


def faces_at(points: np.ndarray) -> Faces:
    """One face a photograph: ``points``  # [n, 2, 2]  are its box's corners and its two landmarks."""
    count = len(points)
    zeros = np.zeros(count, np.int64)
    return Faces(np.arange(count), zeros, np.ones(count, np.float32), points.reshape(-1, 4), points, zeros)


@given(st.lists(st.tuples(SIDES, POINTS), min_size=1, max_size=4), SIDES, SIDES)
def test_a_point_goes_the_way_of_its_photograph_and_comes_back(
    photographs: list[tuple[tuple[int, int], list[tuple[float, float]]]], one: tuple[int, int], other: tuple[int, int]
) -> None:
    here = [Placement.of(size, one) for size, _ in photographs]
    there = [Placement.of(size, other) for size, _ in photographs]
    in_photograph = np.array([[(x * size[1], y * size[0]) for x, y in points] for size, points in photographs])

    def within(places: list[Placement]) -> np.ndarray:
        return np.array(
            [p * place.ratio + (place.left, place.top) for p, place in zip(in_photograph, places, strict=True)]
        )

    faces = faces_at(within(here))
    carried = Way.between(here, there).carry(faces)
    assert np.allclose(carried.landmarks, within(there), atol=1e-6)
    assert np.allclose(carried.boxes, within(there).reshape(-1, 4), atol=1e-6)
    back = Way.between(there, here).carry(carried)
    assert np.allclose(back.landmarks, faces.landmarks, atol=1e-6)
    assert np.array_equal(Way.between(here, here).carry(faces).landmarks, faces.landmarks), "to itself: to the last bit"


class World:
    """Detectors of the same red squares, on photographs of three sizes; in each, the squares lie on the networks'
    cells."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        pictures = spots.pictures(folder / "pictures")
        large = Image.open(pictures / "0.png")
        large.resize((3 * large.width, 3 * large.height), Image.Resampling.NEAREST).save(pictures / "0.png")
        flat = Image.open(pictures / "2.png")
        flat.crop((0, 2 * spots.CELL, flat.width, flat.height)).save(pictures / "2.png")
        self.paths = sorted(pictures.iterdir())

    def scorer(self, scale: int, *, seed: int = 0, by: TaskScorer | None = None, **more: object) -> TaskScorer:
        path = self.folder / f"{scale}-{seed}-{len(more)}.onnx"
        graph = read(spots.faces(path, scale=scale, seed=seed, **more))  # type: ignore[arg-type]
        anchors = {spots.CELL * scale: [side * scale for side in (4, 5, 8, 10, 13, 16)]}
        decoder = decoders.create("yolov5-face", graph, {"anchors": anchors})
        photos = PhotoSet(self.paths, Preprocess(spots.SIZE * scale, spots.SIZE * scale))
        return TaskScorer(graph, decoder, photos, by=by)


@pytest.fixture(scope="module")
def world() -> World:
    return World(Path(mkdtemp()))


def test_the_reference_is_no_error_away_from_itself_and_the_others_are(world: World) -> None:
    reference = world.scorer(1)
    itself, other = world.scorer(1, by=reference), world.scorer(2, seed=1, by=reference)
    for scorer in (reference, itself, other):
        scorer.prepare()
    assert itself.floor.objective == 0
    assert (itself.floor.missed, itself.floor.extra, itself.floor.matched_iou) == (0, 0, 1)
    assert itself.floor.cell_landmark_mse_px2 is None, "no cells are compared, so that all rows compare"
    assert 0 < other.floor.objective < 100
    assert other.floor.faces == itself.floor.faces == len(reference.reference)
    assert sum(value is not None for value in other.floor.per_image) == len(reference.telling)


@settings(max_examples=25, deadline=None)
@given(shift=st.tuples(st.floats(-3, 3), st.floats(-3, 3)))
def test_errors_are_counted_in_pixels_of_the_references_input(world: World, shift: tuple[float, float]) -> None:
    """Landmarks that move by some pixels of an input twice as large move by half as many of the reference's."""
    reference = world.scorer(1)
    twice = world.scorer(2, by=reference)
    still = twice.float_outputs
    moved = {name: values.copy() for name, values in still.items()}
    (name,) = moved
    for point in range(5):  # anchor 1 is 16 x 20 px there, and a raw value is a share of it
        moved[name][:, 16 + 5 + 2 * point] += shift[0] / 16
        moved[name][:, 16 + 6 + 2 * point] += shift[1] / 20
    before = _landmarks(twice, still, reference)
    after = _landmarks(twice, moved, reference)
    assert np.allclose(after - before, np.array(shift) / 2, atol=1e-4)
    own = reference.reference.landmarks
    expected = ((after - own) ** 2).sum(axis=2).mean()
    assert twice.score(iter([moved])).objective == pytest.approx(expected, rel=1e-6, abs=1e-9)


def _landmarks(scorer: TaskScorer, outputs: Outputs, reference: TaskScorer) -> np.ndarray:
    """By hand: decoded, halved, and moved by what the two letterboxes differ; in the reference's order."""
    from mpsearch.scoring.faces import detect

    found = detect(scorer.decoder, outputs)
    assert np.array_equal(found.image, reference.reference.image)
    landmarks = found.landmarks.copy()
    for index, image in enumerate(found.image):
        height, width = Image.open(scorer.photos.paths[image]).size[::-1]
        a, b = (Placement.of((height, width), (side, side)) for side in (2 * spots.SIZE, spots.SIZE))
        landmarks[index] = (landmarks[index] - (a.left, a.top)) / a.ratio * b.ratio + (b.left, b.top)
    order = np.lexsort((landmarks[:, 0, 0], found.image))
    own = np.lexsort((reference.reference.landmarks[:, 0, 0], reference.reference.image))
    placed = np.empty_like(landmarks)
    placed[own] = landmarks[order]
    return placed


def test_a_missed_face_costs_a_quarter_of_its_squared_diagonal(world: World) -> None:
    reference = world.scorer(1)
    blind = world.scorer(2, by=reference)
    outputs = {name: values.copy() for name, values in blind.float_outputs.items()}
    for values in outputs.values():
        values[:, 16 + 4] = -20
    score = blind.score(iter([outputs]))
    assert score.missed == score.faces
    assert score.objective == pytest.approx(0.25 * (reference.reference.diagonals_px**2).mean())


def test_a_model_that_finds_too_few_of_the_references_faces_is_refused_with_what_to_check(world: World) -> None:
    reference = world.scorer(1)
    other = world.scorer(2, by=reference)
    wrong = PhotoSet(world.paths, Preprocess(128, 128, order="bgr"))
    lost = TaskScorer(other.graph, other.decoder, wrong, by=reference)
    with pytest.raises(ConfigError, match=r"faces of 1-0-0\.onnx in only 0 of 2(.|\n)*channel order \(now bgr\)"):
        lost.prepare()


def test_landmarks_in_another_order_are_refused(world: World) -> None:
    other = world.scorer(1, by=world.scorer(1), points=(1, 0, 2, 4, 3))
    with pytest.raises(ConfigError, match=r"another order than those of 1-0-0\.onnx: they fit as \[1, 0, 2, 4, 3\]"):
        other.prepare()


def test_models_that_say_other_things_cannot_have_one_truth(world: World) -> None:
    reference = world.scorer(1)
    graph = read(spots.detector(world.folder / "boxes.onnx"))
    boxes = decoders.create("yolo", graph, {"strides": [8], "labels": ["red", "blue"]})
    with pytest.raises(ConfigError, match="the one is for boxes, the other for landmarks"):
        TaskScorer(graph, boxes, reference.photos, by=reference)
    theirs = TaskScorer(reference.graph, reference.decoder, reference.photos, objective="boxes")
    with pytest.raises(ConfigError, match=r"other classes: 2 \(red, blue\) against 1 \(face\)"):
        TaskScorer(graph, boxes, reference.photos, objective="boxes", by=theirs)
    tensors = decoders.create("tensors", graph, {})
    with pytest.raises(ConfigError, match="objective tensors cannot be shared"):
        TaskScorer(graph, tensors, reference.photos, by=TaskScorer(graph, tensors, reference.photos))
    maps = read(spots.segmenter(world.folder / "maps.onnx"))
    decoder = decoders.create("segmentation", maps, {"labels": ["ground", "red", "blue"]})
    with pytest.raises(ConfigError, match="objective segmentation cannot be shared: maps"):
        TaskScorer(maps, decoder, reference.photos, by=TaskScorer(maps, decoder, reference.photos))


def test_boxes_are_shared_too(world: World) -> None:
    def scorer(scale: int, by: TaskScorer | None = None) -> TaskScorer:
        made = world.scorer(scale)
        return TaskScorer(made.graph, made.decoder, made.photos, objective="boxes", by=by)

    reference = scorer(1)
    other = scorer(2, reference)
    other.prepare()
    assert other.floor.kind == "boxes"
    assert 0 < other.floor.objective < 1
    assert scorer(1, reference).floor.objective == 0


def test_few_photographs_are_taken_from_those_whose_faces_the_model_finds_in_float(world: World) -> None:
    reference = world.scorer(1)
    other = world.scorer(2, seed=1, by=reference)
    assert other.telling == reference.telling == (0, 2)
    yardstick = other.yardstick
    assert yardstick is not None
    own = yardstick.own
    lost = replace(yardstick, own=own.where(own.image != 0))
    assert lost.whole == (2,)
    assert replace(yardstick, own=own.where(own.image > 5)).whole == (0, 2), "found nowhere: all there are"
