"""A complete small study: real model, real pictures, real storage, in a folder of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mpsearch.cli import main
from mpsearch.testing.models import save, small_detector

STUDY = """
model: model.onnx
budget: {times: 1.5, of: uint8}
data: {calibration: calibration, evaluation: evaluation}
decoder: {name: tensors}
input: {means: 0, scale: 255}
search_space: space.yaml
trials: 8
"""
SPACE = """
vendor: synap
bases: [uint8, int8-pc]
uniforms: [int16]
types: [int16]
grouping: {by: stage, stages: 2}
tails: 4
outputs: follow
cuts: {points: all, choose: together}
"""


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


Run = Callable[..., Result]


def pictures(folder: Path, count: int, seed: int) -> None:
    """Write ``count`` different small pictures."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(seed)
    for index in range(count):
        coarse = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((40, 32), Image.Resampling.BICUBIC).save(folder / f"{index}.png")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder with ``mpsearch.yaml``, a model and two disjoint sets of pictures."""
    save(small_detector(), tmp_path / "model.onnx")
    pictures(tmp_path / "calibration", 3, 1)
    pictures(tmp_path / "evaluation", 4, 2)
    (tmp_path / "mpsearch.yaml").write_text(STUDY)
    (tmp_path / "space.yaml").write_text(SPACE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process as the shell would."""

    def call(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["mpsearch", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return Result(stop.value.code if isinstance(stop.value.code, int) else 0, captured.out, captured.err)

    return call
