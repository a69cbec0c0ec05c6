"""Qualcomm's own example of mixed precision, found by the search: a detector whose 8-bit class scores are all zero.

YOLOv8's only output joins boxes in px with class scores. In 8 bits both have one scale (640 / 255 = 2.5 there, half of
it here, for scores of 0.55), and every score becomes 0. Two tensors in 16 bits mend it: what the Sigmoid makes, and the
output.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from mpsearch import config
from mpsearch.candidate import Candidate
from mpsearch.cli.app import app
from mpsearch.device import opening
from mpsearch.graph.read import read
from mpsearch.photographs import photo_set
from mpsearch.record import Measured
from mpsearch.testing.lab.snpe.bench import SnpeLab
from mpsearch.testing.models import Builder, save
from mpsearch.toolchain.snpe import dlcinfo
from mpsearch.toolchain.snpe.artifact import SnpeArtifact
from mpsearch.workbench import open_workbench

SIZE, STRIDE = 320, 32
CELLS = SIZE // STRIDE

STUDY = f"""model: model.onnx
target: rvc4
search_space: space.yaml
budget: {{times: 1.15, of: a8w8}}
decoder: {{name: yolo, strides: [{STRIDE}], classes: 2, objectness: none, threshold: 0.4}}
input: {{means: 0, scale: 255}}
data: {{calibration: calibration, evaluation: evaluation}}
trials: 6
"""
SPACE = "vendor: snpe\nbases: [a8w8]\ntypes: [a16w8]\ngrouping: each\ncuts: none\n"


def detector(path: Path) -> Path:
    """Finds red and blue squares of one cell; boxes and scores leave together, as YOLOv8's do."""
    b = Builder(seed=3)
    colour = np.zeros((2, 3, STRIDE, STRIDE), np.float32)
    for kind, (channel, others) in enumerate(((0, (1, 2)), (2, (0, 1)))):
        colour[kind, channel] = 6 / STRIDE**2
        colour[kind, others] = -3 / STRIDE**2
    bias = np.full(2, -5.2, np.float32)
    logits = b.node(
        "Conv", "images", b.constant(colour), b.constant(bias), name="/head/cls/Conv", kernel_shape=[STRIDE] * 2,
        strides=[STRIDE] * 2,
    )  # fmt: skip
    sizes = b.node(
        "Conv", "images", b.constant(np.zeros((4, 3, STRIDE, STRIDE), np.float32) + 1e-5),
        b.constant(np.array([0, 0, 1, 1], np.float32)), name="/head/box/Conv", kernel_shape=[STRIDE] * 2,
        strides=[STRIDE] * 2,
    )  # fmt: skip
    scaled = b.node("Mul", sizes, b.constant(np.array(STRIDE, np.float32)), name="/head/Mul")
    rows, columns = np.mgrid[:CELLS, :CELLS].astype(np.float32)
    zeros = np.zeros_like(rows)
    centres = np.stack([columns + 0.5, rows + 0.5, zeros, zeros])[None] * STRIDE
    boxes = b.node("Add", scaled, b.constant(centres.astype(np.float32)), name="/head/Add")
    flat = [
        b.node(
            "Reshape", tensor, b.constant(np.array([1, channels, CELLS**2], np.int64)), name=f"/head/Reshape_{channels}"
        )
        for tensor, channels in ((boxes, 4), (logits, 2))
    ]
    scores = b.node("Sigmoid", flat[1], name="/head/Sigmoid")
    output = b.node("Concat", flat[0], scores, name="/head/Concat", axis=1)
    return save(b.model([output], shape=(1, 3, SIZE, SIZE), name="images"), path)


def photographs(folder: Path, count: int, *, seed: int) -> None:
    folder.mkdir()
    rng = np.random.default_rng(seed)
    for index in range(count):
        pixels = rng.integers(90, 130, (SIZE, SIZE, 3), dtype=np.uint8)
        for _ in range(6):
            row, column = rng.integers(0, CELLS, 2) * STRIDE
            pixels[row : row + STRIDE, column : column + STRIDE] = (
                rng.permutation([250, 20, 20]) if rng.random() < 0.5 else (20, 20, 250)
            )
        Image.fromarray(pixels).save(folder / f"{index}.png")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two_tensors")
    detector(folder / "model.onnx")
    photographs(folder / "calibration", 2, seed=1)
    photographs(folder / "evaluation", 3, seed=2)
    (folder / "space.yaml").write_text(SPACE)
    path = folder / "detector.yaml"
    path.write_text(STUDY)
    return path


def run(*words: str) -> str:
    ran = CliRunner().invoke(app, list(words))
    assert ran.exit_code == 0, f"{ran.output}\n{ran.exception!r}"
    return ran.stdout


def test_all_in_8_bits_finds_nothing_and_two_wide_tensors_find_everything(study: Path, tmp_path: Path) -> None:
    bench = open_workbench(config.load(study), cache=tmp_path)
    scored = {}
    fix = (("/head/Sigmoid", "a16w8"), ("output:t7", "a16w8"))
    for name, overrides in (("narrow", ()), ("fixed", fix)):
        outcome = bench.evaluator.evaluate(Candidate.from_json({"base": "a8w8", "overrides": dict(overrides)})).outcome
        assert isinstance(outcome, Measured)
        scored[name] = outcome.score
    assert scored["narrow"].missed == scored["narrow"].faces > 0
    assert scored["fixed"].missed == 0


def test_the_search_finds_the_overrides_and_their_export_rebuilds_the_same(study: Path, tmp_path: Path) -> None:
    rows = json.loads(run("run", str(study), "--format", "json"))
    assert any(row["feasible"] and row["origin"] != "uniform" for row in rows), rows
    run("export", str(study), "--pick", "budget", "--out", str(tmp_path / "bundle"))
    bundle = tmp_path / "bundle"
    wide = json.loads((bundle / "overrides.json").read_text())["activation_encodings"]
    assert "t7" in wide, "the output that boxes and scores share"
    assert wide.keys() & {"t3", "t6"}, "what one of its branches makes"
    assert yaml.safe_load((bundle / "modelconverter.yaml").read_text())["rvc4"]["encodings"] == "overrides.json"
    candidate = Candidate.from_json(json.loads((bundle / "candidate.json").read_text()))
    graph, loaded = read(study.parent / "model.onnx"), config.load(study)
    photos = [photo_set(loaded, graph, which) for which in ("calibration", "evaluation")]
    with SnpeLab(tmp_path / "lab") as lab:
        board = opening.open(lab.board_file("local"), graph, *photos, None, cache=tmp_path / "cache")
        built = board.toolchain.build(candidate)
        assert isinstance(built, SnpeArtifact)
        (listing,) = (tmp_path / "cache").glob("snpe/dataset-*/inputs.txt")
        shutil.copyfile(listing, bundle / "inputs.txt")
        path = f"{lab.sdk_bin}:{os.environ['PATH']}"
        ran = subprocess.run(
            ["sh", "-ec", (bundle / "command.txt").read_text()], cwd=bundle, env={**os.environ, "PATH": path},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        again = dlcinfo.parse(ran.stdout[ran.stdout.index("DLC info of") :])
        rebuilt = bundle / built.dlc.name
        assert rebuilt.is_file(), f"{built.dlc.name} is not among {sorted(file.name for file in bundle.iterdir())}"
        first, second = (
            [dict(batch) for batch in board.executor.batches(artifact)]
            for artifact in (built, replace(built, dlc=rebuilt))
        )
        board.board.close()
    assert (again.inputs, again.outputs, again.tensors) == (built.info.inputs, built.info.outputs, built.info.tensors)
    assert [batch.keys() for batch in first] == [batch.keys() for batch in second]
    assert all(np.array_equal(one[name], other[name]) for one, other in zip(first, second, strict=True) for name in one)
    scorer = open_workbench(loaded, cache=tmp_path / "host").scorer
    best = min((row for row in rows if row["feasible"]), key=lambda row: row["box_mse_px2"])
    assert scorer.score(iter(second)).objective == pytest.approx(best["box_mse_px2"])
