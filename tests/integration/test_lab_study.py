"""A study on a board over ssh and over adb, killed without warning and resumed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mpsearch.testing.lab.bench import Lab, missing
from mpsearch.testing.lab.show import killed_once
from mpsearch.testing.models import save, small_detector

STUDY = """
model: model.onnx
budget: {times: 1.5, of: uint8}
data: {calibration: calibration, evaluation: evaluation}
decoder: {name: tensors}
input: {means: 0, scale: 255}
search_space: space.yaml
"""
SPACE = """
vendor: synap
bases: [uint8, int8-pc]
types: [int16]
grouping: {by: stage, stages: 2}
tails: 2
"""
TRIALS, BEFORE = 5, 2


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    save(small_detector(), folder / "model.onnx")
    rng = np.random.default_rng(5)
    for name in ("calibration", "evaluation"):
        (folder / name).mkdir()
        for index in range(2):
            pixels = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize((40, 32), Image.Resampling.BICUBIC).save(folder / name / f"{index}.png")
    (folder / "study.yaml").write_text(STUDY.replace("space.yaml", str(folder / "space.yaml")))
    (folder / "space.yaml").write_text(SPACE)
    return folder / "study.yaml"


@pytest.mark.parametrize("via", ["ssh", "adb"])
def test_a_study_on_a_board_survives_a_kill(lab: Lab, study: Path, via: str) -> None:
    if reason := missing({"ssh": "sshd"}.get(via, via)):
        pytest.skip(reason)
    base = lab.folder / f"base-{via}"
    board = lab.board_file(via, base=str(base))
    argv = [sys.executable, "-m", "mpsearch.testing.lab.show", str(study), "--via", via, "--trials", str(TRIALS)]
    argv += ["--folder", str(study.parent), "--board", str(board)]
    before = killed_once(argv, study.parent / f"{via}.log", BEFORE)
    assert BEFORE <= before < TRIALS
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.splitlines()[-1] == f"{TRIALS} trials"
    assert done.stderr.count("\ntrial ") == TRIALS - before  # nothing was measured twice
    converted = list((study.parent / "mpsearch-runs" / "study" / "cache" / "synap" / "built").iterdir())
    assert all(json.loads((folder / "seconds").read_text()) > 0 for folder in converted)
    assert list(base.iterdir()) == []
