"""Real detectors on real photographs: the decoders find the faces that people and other detectors found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpsearch.candidate import Candidate
from mpsearch.errors import ConfigError
from mpsearch.graph.read import read
from mpsearch.images import PhotoSet, Preprocess, find, letterbox, load_rgb
from mpsearch.scoring import decoders
from mpsearch.scoring.faces import iou
from mpsearch.scoring.scorer import TaskScorer

RGB = Preprocess(480, 640)
MODELS: dict[str, tuple[str, Preprocess]] = {
    "yolov5n-0.5-face_480x640": ("yolov5-face", RGB),
    "yolov5n-0.5-face_480x640_nhwc5d": ("yolov5-face", RGB),
    "retinaface_tiny_pypi_480x640": (
        "retinaface",
        Preprocess(480, 640, (104.0, 117.0, 123.0), (1.0,), "bgr"),
    ),
    "yunet_n_480x640": ("yunet", Preprocess(480, 640, (0.0,), (1.0,), "bgr")),
}
PHOTOGRAPHS = 16


@pytest.fixture(scope="module")
def scorers(shared: Path) -> dict[str, TaskScorer]:
    paths = find(shared / "data/images/eval", shared)
    found = {}
    for name, (decoder, preprocess) in MODELS.items():
        graph = read(shared / "data/models" / f"{name}.onnx")
        photos = PhotoSet(paths, preprocess, limit=PHOTOGRAPHS)
        found[name] = TaskScorer(graph, decoders.create(decoder, graph), photos, threads=2)
        found[name].prepare()
    return found


def annotated(scorer: TaskScorer) -> list[tuple[int, np.ndarray, np.ndarray | None]]:
    """Photograph, box in network px, landmarks where there are some."""
    folder = scorer.photos.paths[0].parent
    notes: dict[str, Any] = json.loads((folder / "annotations.json").read_text())
    found = []
    for index, path in enumerate(scorer.photos.paths):
        _, ratio, top, left = letterbox(load_rgb(path), 480, 640)
        note = notes[path.name]
        for face, box in enumerate(note["boxes"]):
            points = note["landmarks5"][face] if "landmarks5" in note else None
            moved = None if points is None else np.array(points) * ratio + [left, top]
            found.append((index, np.array(box) * ratio + [left, top, left, top], moved))
    return found


@pytest.mark.parametrize("name", MODELS)
def test_the_float_model_finds_the_annotated_faces_and_their_landmarks(
    scorers: dict[str, TaskScorer], name: str
) -> None:
    faces = scorers[name].reference
    truth = annotated(scorers[name])
    hits, distances = 0, []
    for image, box, points in truth:
        mine = faces.where(faces.image == image)
        overlap = iou(box[None], mine.boxes)[0]
        if overlap.max(initial=0) >= 0.5:
            hits += 1
            if points is not None:
                best = mine.landmarks[overlap.argmax()]
                eyes = np.linalg.norm(points[0] - points[1])
                distances.append(np.linalg.norm(best - points, axis=1).mean() / eyes)
    assert hits / len(truth) > 0.9
    assert len(faces) < 1.5 * len(truth)
    assert np.median(distances) < 0.1


def test_yolov5n_has_the_thirty_faces_of_the_reference_numbers(scorers: dict[str, TaskScorer]) -> None:
    assert len(scorers["yolov5n-0.5-face_480x640"].reference) == 30


def test_the_twin_with_its_tail_has_the_same_faces(scorers: dict[str, TaskScorer]) -> None:
    one = scorers["yolov5n-0.5-face_480x640"].reference
    other = scorers["yolov5n-0.5-face_480x640_nhwc5d"].reference
    assert one.image.tolist() == other.image.tolist()
    assert one.cell.tolist() == other.cell.tolist()
    assert np.abs(one.boxes - other.boxes).max() < 1e-3
    assert np.abs(one.landmarks - other.landmarks).max() < 1e-3


@pytest.mark.parametrize("name", MODELS)
def test_the_float_model_scores_itself_as_perfect_and_noise_as_worse(scorers: dict[str, TaskScorer], name: str) -> None:
    scorer = scorers[name]
    perfect = scorer.score(iter([scorer.float_outputs]))
    assert (perfect.objective, perfect.missed, perfect.extra) == (0, 0, 0)
    rng = np.random.default_rng(0)
    noise = {key: rng.normal(0, values.std(), values.shape) for key, values in scorer.float_outputs.items()}
    errors = [
        scorer.score(
            iter([{k: (v + share * noise[k]).astype(np.float32) for k, v in scorer.float_outputs.items()}])
        ).objective
        for share in (0.001, 0.01, 0.1)
    ]
    assert 0 < errors[0] < errors[1] < errors[2]


@pytest.mark.parametrize("name", MODELS)
def test_the_deepest_cut_of_every_output_keeps_the_faces(scorers: dict[str, TaskScorer], name: str) -> None:
    scorer = scorers[name]
    points = scorer.graph.cut_points
    cuts = tuple((output, points[output][-1]) for output in scorer.graph.outputs if points[output])
    assert bool(cuts) == (name != "yolov5n-0.5-face_480x640")
    scorer.check_cut(Candidate(cuts=cuts))


def test_wrong_preprocessing_is_stopped_at_the_gate(scorers: dict[str, TaskScorer]) -> None:
    right = scorers["yolov5n-0.5-face_480x640"]
    photos = PhotoSet(right.photos.paths, Preprocess(480, 640, (0.0,), (255.0 * 30,)), limit=4)
    with pytest.raises(ConfigError, match="Check the preprocessing"):
        TaskScorer(right.graph, right.decoder, photos, threads=2).prepare()
