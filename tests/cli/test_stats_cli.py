"""``mpsearch stats`` and ``mpsearch show`` as a user runs them."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_types import Run
from PIL import Image

from mpsearch.testing import spots
from mpsearch.testing.models import Builder, save

SEED_COLUMNS = ["model_name", "mAP-FPS score", "mAP@[IoU=0.50:0.95]", "AR@[IoU=0.50:0.95]", "Avg_confidence", "FPS"]
AP = SEED_COLUMNS[2]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Model, pictures and labels of squares."""
    spots.detector(tmp_path / "spots.onnx")
    spots.pictures(tmp_path / "photos")
    spots.labels(tmp_path / "labels.json")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def stats(run: Run, *more: str, decoder: str = spots.DETECT, code: int = 0) -> tuple[list[dict[str, Any]], str]:
    ran = run("stats", "spots.onnx", "--photos", "photos", "--decoder", decoder, "--format", "json", "--no-fps", *more)
    assert ran.code == code, ran.err
    return json.loads(ran.out) if code == 0 else [], ran.err


def change(place: Path, part: str, index: int, **values: Any) -> None:
    path = place / "labels.json"
    data = json.loads(path.read_text())
    data[part][index].update(values)
    path.write_text(json.dumps(data))


def test_a_model_that_finds_every_labelled_square_has_an_ap_of_one(place: Path, run: Run) -> None:
    (row,), talk = stats(run, "--labels", "labels.json", "--out", "results")
    assert (row[AP], row["AR@[IoU=0.50:0.95]"], row["detections"]) == (pytest.approx(1), pytest.approx(1), 6)
    assert 0.9 < row["Avg_confidence"] < 1
    assert row["FPS"] is row["mAP-FPS score"] is None
    assert "note" not in talk
    (written,) = csv.DictReader((place / "results" / "results.csv").open())
    assert list(written) == SEED_COLUMNS
    assert (written["model_name"], written[AP], written["FPS"]) == ("spots", "1.0", "-1")


def test_detections_are_written_as_coco_json_in_px_of_the_photographs(place: Path, run: Run) -> None:
    big = Image.open(place / "photos" / "0.png").resize((256, 128), Image.Resampling.NEAREST)
    big.save(place / "photos" / "0.png")  # letterboxed to 64x32 behind 16 rows of grey
    change(place, "images", 0, width=256, height=128)
    _, talk = stats(run, "--labels", "labels.json", "--out", "results")
    assert "note" not in talk
    data = json.loads((place / "results" / "spots.json").read_text())
    assert {c["name"]: c["id"] for c in data["categories"]} == {"red": 3, "Blue": 7}
    assert data["images"][0]["file_name"] == "val/0.png"
    sure = [entry for entry in data["annotations"] if entry["score"] > 0.4]
    boxes = {(entry["image_id"], entry["category_id"]): entry["bbox"] for entry in sure}
    assert boxes[101, 7] == pytest.approx([24, 24, 8, 8], abs=1e-3)
    assert boxes[100, 3] == pytest.approx(
        [64, 0, 32, 32], abs=1e-2
    )  # half a cell of red, a cell of four times the size


def test_without_labels_the_first_model_stands_in_and_that_is_said(place: Path, run: Run) -> None:
    rows, talk = stats(run)
    assert rows[0][AP] == 1
    assert "counted against float spots.onnx, so" in talk
    assert "not how good" in talk


def test_the_score_weighs_accuracy_by_speed(place: Path, run: Run) -> None:
    spots.detector(place / "other.onnx")
    ran = run("stats", "spots.onnx", "other.onnx", "--photos", "photos", "--decoder", spots.DETECT, "--format", "json")
    rows = json.loads(ran.out)
    fastest = max(row["FPS"] for row in rows)
    for row in rows:
        assert row["source"] == "host"
        assert row["mAP-FPS score"] == pytest.approx(row[AP] * row["FPS"] / fastest)
    assert rows[0]["mAP-FPS score"] == 1


def test_photographs_without_labels_and_of_other_sizes_are_named_and_kept_in_the_json(place: Path, run: Run) -> None:
    change(place, "images", 0, width=640, height=480)
    change(place, "images", 1, file_name="another.png")
    (row,), talk = stats(run, "--labels", "labels.json", "--out", "results")
    assert "no labels for 1 of 3 photographs: 1.png" in talk
    assert "another size: 0.png is 64x64, labelled as 640x480" in talk
    assert row[AP] == pytest.approx(1)
    data = json.loads((place / "results" / "spots.json").read_text())
    assert len({entry["image_id"] for entry in data["annotations"]}) == 3


def test_categories_that_only_one_side_knows_are_named(place: Path, run: Run) -> None:
    change(place, "categories", 0, name="violet")
    (row,), talk = stats(run, "--labels", "labels.json")
    assert "1 categories that the model does not know: violet" in talk
    assert "no category for 1 classes of the model: blue" in talk
    assert row[AP] == pytest.approx(1)


def test_categories_without_anything_in_common_are_refused(place: Path, run: Run) -> None:
    change(place, "categories", 0, name="blues")
    change(place, "categories", 1, name="reed")
    _, error = stats(run, "--labels", "labels.json", code=2)
    assert "none of its categories (reed, blues) is a class of the model (red, blue)" in error
    assert "'blue' is nearest to 'blues'" in error


def test_classes_without_names_are_taken_in_the_order_of_ids(place: Path, run: Run) -> None:
    (row,), talk = stats(run, "--labels", "labels.json", decoder="{name: yolo, strides: [8]}")
    assert "in the order of their ids" in talk
    assert row[AP] == pytest.approx(1)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "cannot be read"),
        ("{", "not JSON"),
        ("[]", "no list images, annotations, categories"),
        ('{"images": [{"id": 1}], "annotations": [], "categories": []}', r"images[0] needs"),
        (
            '{"images": [{"id": 1, "file_name": "0.png"}], "categories": [{"id": 1, "name": "red"}],'
            ' "annotations": [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3]}]}',
            "annotations[0]: `bbox` must be",
        ),
        (
            '{"images": [{"id": 1, "file_name": "0.png"}], "categories": [{"id": 1, "name": "red"}],'
            ' "annotations": [{"image_id": 9, "category_id": 1, "bbox": [1, 2, 3, 4]}]}',
            "image_id 9 is none",
        ),
        ('{"images": [], "annotations": [], "categories": [{"id": 1, "name": "red"}]}', "no photograph with labels"),
    ],
)
def test_a_file_that_is_no_annotation_file_is_named(place: Path, run: Run, text: str | None, says: str) -> None:
    if text is None:
        (place / "labels.json").unlink()
    else:
        (place / "labels.json").write_text(text)
    _, error = stats(run, "--labels", "labels.json", code=2)
    assert "labels.json" in error
    assert says in error


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["spots.onnx", "--photos", "photos"], "needs --photos and --decoder"),
        (["spots.onnx", "--photos", "photos", "--decoder", "tensors"], "neither boxes nor maps"),
        (["spots.onnx", "--photos", "photos", "--decoder", "yolu"], "nearest: 'yolo'"),
        (["spots.onnx", "--photos", "photos", "--decoder", "{"], "not YAML"),
        (["spots.onnx", "mpsearch.yaml"], "a study and ONNX files at once"),
        (["spots.onnx", "--photos", "photos", "--decoder", "yolo", "--pick", "budget"], "--pick chooses among"),
        (["spots.onnx", "spots.onnx", "--photos", "photos", "--decoder", spots.DETECT, "--no-fps"], "two models"),
        (["spots.onnx", "--photos", "photos", "--decoder", "yolo", "--means", "a,b"], "three with commas"),
    ],
)
def test_wrong_usage_is_explained(place: Path, run: Run, arguments: list[str], says: str) -> None:
    ran = run("stats", *arguments)
    assert ran.code == 2
    assert says in ran.err


def test_candidates_of_a_study_are_counted_and_drawn(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    spots.study(tmp_path)
    spots.labels(tmp_path / "labels.json")
    searched = run("run", "--format", "json")
    assert searched.code == 0, searched.err
    front = json.loads(searched.out)
    assert {"box_mse_px2", "objects", "missed"} <= set(front[0])
    ran = run("stats", "--pick", "budget", "--pick", "uint8", "--labels", "labels.json", "--format", "json")
    assert ran.code == 0, ran.err
    rows = {row["model_name"]: row for row in json.loads(ran.out)}
    assert len(rows) == 3
    assert rows["float"][AP] == pytest.approx(1)
    assert rows["float"]["FPS"] is None
    assert rows["uint8"]["source"] == "simulated"
    assert 0 < rows["uint8"]["mAP-FPS score"] <= 1
    drawn = run("show", "--pick", "uint8", "--out", "drawn")
    assert drawn.code == 0, drawn.err
    files = [tmp_path / line for line in drawn.out.split()]
    assert [file.name for file in files] == ["00_0.png", "01_1.png", "02_2.png"]
    for file in files:
        picture = np.asarray(Image.open(file))
        assert picture.shape == (480 + 26, 2 * 480 + 6, 3)
        assert (picture[26:] == (43, 178, 76)).all(axis=2).sum() > 100  # boxes that both found


def test_a_study_of_maps_is_searched_counted_and_drawn(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spots.study(tmp_path, decoder=spots.SEGMENT)
    spots.masks(tmp_path / "masks")
    searched = run("run", "--format", "json")
    assert searched.code == 0, searched.err
    assert all(0 <= row["miou_loss"] < 0.1 for row in json.loads(searched.out))
    for labels in ([], ["--labels", "masks"]):
        ran = run("stats", "--pick", "uint8", "--format", "json", "--out", "results", *labels)
        assert ran.code == 0, ran.err
        rows = {row["model_name"]: row for row in json.loads(ran.out)}
        assert rows["float"]["mIoU"] == pytest.approx(1)
        assert 0.9 < rows["uint8"]["mIoU"] <= 1
        assert ("counted against float" in ran.err) is not labels
    assert (
        (tmp_path / "results" / "results.csv").read_text().startswith("model_name,mIoU-FPS score,mIoU,accuracy,FPS\n")
    )
    drawn = run("show", "--pick", "uint8", "--out", "drawn", "--limit", "1")
    assert drawn.code == 0, drawn.err
    assert len(drawn.out.split()) == 1


def test_masks_that_do_not_fit_are_named(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    spots.segmenter(tmp_path / "spots.onnx")
    spots.pictures(tmp_path / "photos")
    masks = spots.masks(tmp_path / "masks")
    (masks / "0.png").unlink()
    Image.open(masks / "1.png").resize((32, 32)).save(masks / "1.png")
    (row,), talk = stats(run, "--labels", "masks", decoder=spots.SEGMENT)
    assert row["mIoU"] == pytest.approx(1)
    assert "no mask for 1 of 3 photographs: 0.png" in talk
    assert "1.png is 64x64, its mask 32x32" in talk
    Image.fromarray(np.full((64, 64), 9, np.uint8)).save(masks / "2.png")
    _, error = stats(run, "--labels", "masks", decoder=spots.SEGMENT, code=2)
    assert "2.png: class 9, but the model has 3 classes" in error
    _, error = stats(run, "--labels", "nowhere", decoder=spots.SEGMENT, code=2)
    assert "nowhere: no such folder" in error


def test_an_objective_that_the_decoder_cannot_serve_stops_the_study(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spots.study(tmp_path, more="objective: landmarks\n")
    ran = run("run")
    assert ran.code == 2
    assert "With this decoder: boxes, tensors" in ran.err


def test_outputs_that_are_not_finite_fail_by_name_and_the_other_models_still_count(place: Path, run: Run) -> None:
    b = Builder()
    weight = b.constant(np.full((6, 3, 8, 8), -1, np.float32))
    below_zero = b.node("Conv", "input", weight, kernel_shape=[8, 8], strides=[8, 8])
    save(b.model([b.node("Log", below_zero)], shape=(1, 3, 64, 64)), place / "broken.onnx")
    ran = run(
        "stats", "spots.onnx", "broken.onnx", "--photos", "photos", "--decoder", spots.DETECT,
        "--labels", "labels.json", "--format", "json", "--no-fps", "--out", "results",
    )  # fmt: skip
    assert ran.code == 1
    good, bad = json.loads(ran.out)
    assert good[AP] == pytest.approx(1)
    assert bad["failed"].startswith("score: output 't1' is not finite for 0.png")
    assert (place / "results" / "results.csv").read_text().splitlines()[2] == "broken,,,,,-1"
    assert (place / "results" / "spots.json").exists()


def test_a_candidate_that_the_host_cannot_build_is_named_beside_one_that_it_can(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spots.study(tmp_path)
    ran = run("stats", "--target", "host", "--pick", "int16", "--pick", "uint8", "--format", "json", "--no-fps")
    rows = {row["model_name"]: row for row in json.loads(ran.out)}
    assert ran.code == 1
    assert "int16" in rows["int16"]["failed"]
    assert rows["uint8"]["AP50"] == pytest.approx(1)


def test_another_objective_is_another_study(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = spots.study(tmp_path)
    assert run("run", "--trials", "2").code == 0
    path.write_text(path.read_text() + "objective: tensors\n")
    for command in (("run", "--trials", "2"), ("export", "--pick", "knee", "--out", "bundle")):
        refused = run(*command)
        assert refused.code == 2, command
        assert "changed" in refused.err or "something else" in refused.err


def test_without_pycocotools_the_next_step_is_said(place: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycocotools.coco", None)
    _, error = stats(run, code=1)
    assert "pip install 'mpsearch[coco]'" in error
