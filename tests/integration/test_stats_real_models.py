"""Real networks on real photographs: NanoDet sees people, YOLOv5-face the labelled faces."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from mpsearch.candidate import Candidate
from mpsearch.evaluate import Artifact
from mpsearch.graph.read import read
from mpsearch.images import PhotoSet, Preprocess, find
from mpsearch.quant.simulator import Simulator
from mpsearch.scoring import decoders, statistics
from mpsearch.scoring.placement import size_of
from mpsearch.scoring.scorer import TaskScorer
from mpsearch.scoring.statistics import AP, Subject

BGR = Preprocess(416, 416, (103.53, 116.28, 123.675), (57.63,), "bgr")


@pytest.fixture(scope="module")
def nanodet(shared: Path) -> TaskScorer:
    graph = read(shared / "data/models/nanodet_m_416.onnx")
    photos = PhotoSet(find(shared / "data/images/eval"), BGR, limit=16)
    return TaskScorer(graph, decoders.create("nanodet", graph), photos, threads=2)


def annotations(shared: Path, path: Path) -> Path:
    """The photographs' own annotations as a COCO-style file."""
    folder = shared / "data/images/eval"
    images, boxes = [], []
    for index, (name, entry) in enumerate(json.loads((folder / "annotations.json").read_text()).items()):
        height, width = size_of(folder / name)
        images.append({"id": index, "file_name": name, "height": height, "width": width})
        for x1, y1, x2, y2 in entry["boxes"]:
            boxes.append(
                {"id": len(boxes) + 1, "image_id": index, "category_id": 1, "bbox": [x1, y1, x2 - x1, y2 - y1]}
            )
    path.write_text(
        json.dumps({"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "face"}]})
    )  # fmt: skip
    return path


def test_nanodet_sees_a_person_in_nearly_every_photograph_of_people(nanodet: TaskScorer) -> None:
    nanodet.prepare()
    found, labels = nanodet.reference, statistics.labels_of(nanodet)
    names = Counter(labels[index] for index in found.classes)
    people = found.where(found.classes == labels.index("person"))
    assert names.most_common(1)[0][0] == "person"
    assert names["person"] > 0.7 * len(found)
    assert len(set(people.image.tolist())) >= 15


def test_sixteen_bits_keep_the_boxes_and_eight_bits_move_them(nanodet: TaskScorer, shared: Path) -> None:
    graph = nanodet.graph
    few = nanodet.on(PhotoSet(nanodet.photos.paths[:4], BGR))
    calibration = PhotoSet(find(shared / "data/images/calib"), BGR, limit=6)
    simulator = Simulator(graph, calibration, few.photos, threads=2)
    errors = []
    for base in ("int16", "int8-pc"):
        candidate = Candidate(base)
        errors.append(few.score(simulator.batches(Artifact(candidate, graph.assign(candidate)))).objective)
    assert errors[0] < 0.1
    assert 1 < errors[1] < 200


def test_yolov5n_face_finds_the_labelled_faces(shared: Path, tmp_path: Path) -> None:
    graph = read(shared / "data/models/yolov5n-0.5-face_480x640.onnx")
    photos = PhotoSet(find(shared / "data/images/eval"), Preprocess(480, 640), limit=16)
    scorer = TaskScorer(graph, decoders.create("yolov5-face", graph), photos, threads=2)
    truth = statistics.truth_for(scorer, annotations(shared, tmp_path / "faces.json"))
    result = statistics.count_detections(Subject("float", scorer, lambda: iter([scorer.float_outputs])), truth)
    assert result.row["AP50"] > 0.95
    assert result.row[AP] > 0.5
    assert all(len(entry["landmarks"]) == 5 for entry in result.detections["annotations"])
