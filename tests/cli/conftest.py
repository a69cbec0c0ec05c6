"""A complete small study: real model, real pictures, real storage, in a folder of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from mpsearch.cli import main
from mpsearch.testing.studies import small_study

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


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder with ``mpsearch.yaml``, a model and two disjoint sets of pictures."""
    study = small_study(tmp_path)
    study.write_text(study.read_text() + "search_space: space.yaml\n")
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
