"""A study on an SNPE board over ssh, killed without warning and resumed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mpsearch.testing.lab.bench import missing
from mpsearch.testing.lab.show import killed_once
from mpsearch.testing.lab.snpe.bench import SnpeLab
from mpsearch.testing.models import save, small_detector
from mpsearch.testing.studies import pictures

STUDY = """
model: model.onnx
target: rvc4
budget: {times: 1.15, of: a8w8}
data: {calibration: calibration, evaluation: evaluation}
decoder: {name: tensors}
input: {means: 0, scale: 255}
search_space: space.yaml
"""
SPACE = """
vendor: snpe
bases: [a8w8]
types: [a16w8, float16]
grouping: {by: stage, stages: 2}
tails: 2
"""
TRIALS, BEFORE = 5, 2


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("snpe-study")
    save(small_detector(), folder / "model.onnx")
    pictures(folder / "calibration", 2, seed=1)
    pictures(folder / "evaluation", 2, seed=2)
    (folder / "study.yaml").write_text(STUDY)
    (folder / "space.yaml").write_text(SPACE)
    return folder / "study.yaml"


def test_a_study_on_an_snpe_board_survives_a_kill(study: Path) -> None:
    if reason := missing("sshd"):
        pytest.skip(reason)
    folder = study.parent
    with SnpeLab(folder / "lab") as lab:
        base = folder / "base"
        board = lab.board_file("ssh", base=str(base), timing={"warm_up": 0, "least": 1, "most": 1})
        argv = [sys.executable, "-m", "mpsearch.testing.lab.show", str(study), "--via", "ssh", "--trials", str(TRIALS)]
        argv += ["--folder", str(folder), "--board", str(board)]
        before = killed_once(argv, folder / "first.log", BEFORE)
        assert BEFORE <= before < TRIALS
        done = subprocess.run(argv, capture_output=True, text=True, timeout=180, check=True)
        assert done.stdout.splitlines()[-1] == f"{TRIALS} trials"
        assert done.stderr.count("\ntrial ") == TRIALS - before  # nothing was measured twice
        assert list(base.iterdir()) == []
    built = list((folder / "mpsearch-runs" / "study" / "cache" / "snpe" / "built").iterdir())
    assert all((one / "model.dlc").is_file() for one in built)
