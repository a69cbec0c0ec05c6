"""What is wrong is said before the work, and what is right is said in the right words."""

from __future__ import annotations

import json
import re
from importlib import metadata
from pathlib import Path

import pytest
from cli_types import Run

from mpsearch import demo
from mpsearch.cli import doctor
from mpsearch.errors import SetupError


@pytest.mark.parametrize("command", [["pareto"], ["profile"]])
def test_a_picture_of_an_unknown_kind_is_refused_before_anything_is_read(
    folder: Path, run: Run, command: list[str]
) -> None:
    shown = run(*command, "--plot", "front.xlsx")
    assert shown.code == 2
    assert "front.xlsx: a picture's name ends in .png, .svg, .pdf" in shown.err
    assert not (folder / "mpsearch-runs").exists()


def test_a_candidate_that_is_not_there_is_missed_before_the_study_is_opened(folder: Path, run: Run) -> None:
    shown = run("eval", "nofile.yaml")
    assert shown.code == 2
    assert "nofile.yaml: cannot be read" in shown.err
    assert "float reference" not in shown.err


def test_a_budget_that_is_a_word_is_told_what_budgets_are(folder: Path, run: Run) -> None:
    study = folder / "mpsearch.yaml"
    study.write_text(re.sub(r"^budget:.*$", "budget: fast", study.read_text(), flags=re.MULTILINE))
    shown = run("run", "--dry-run")
    assert shown.code == 2
    assert "budget: must be milliseconds, such as 33, or {times: 1.1, of: uint8}, got 'fast'" in shown.err


def test_one_photograph_is_one_photograph(folder: Path, run: Run) -> None:
    for name in ("calibration", "evaluation"):
        pictures = sorted(p for p in (folder / name).iterdir() if p.is_file())
        for extra in pictures[1:]:
            extra.unlink()
    shown = run("run", "--trials", "1", "--sampler", "random")
    assert shown.code in (0, 4), shown.err
    assert re.search(r"\b1 photograph\b(?!s)", shown.err)
    assert "1 photographs" not in shown.err


def test_a_lock_holds_digests_and_versions_apart(folder: Path, run: Run) -> None:
    assert run("run", "--trials", "2", "--sampler", "random", "--budget-ms", "100").code == 0
    assert run("export", "--out", "out").code == 0
    lock = json.loads((folder / "out" / "lock.json").read_text())
    assert all(re.fullmatch(r"[0-9a-f]{64}", value) for value in lock["digests"].values())
    assert lock["versions"]["simulator"].isdigit()


def test_the_doctor_looks_for_every_package_that_mpsearch_requires(run: Run) -> None:
    assert {"pydantic", "pyyaml", "typer", "rich", "pillow", "onnx"} <= set(doctor.required())
    assert not {"torch", "pytest"} & set(doctor.required())
    shown = json.loads(run("doctor", "--format", "json").out)
    rows = {row["what"]: row for row in shown}
    for name in doctor.required():
        assert rows[name]["found"] == metadata.version(name)


def test_data_that_cannot_be_made_leaves_no_folder_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(distribution: str, file: str) -> Path:
        raise SetupError("not installed")

    monkeypatch.setattr(demo.model, "locate", missing)
    with pytest.raises(SetupError):
        demo.prepare(tmp_path / "new", log=lambda line: None)
    assert not (tmp_path / "new").exists()
    (tmp_path / "old").mkdir()
    with pytest.raises(SetupError):
        demo.prepare(tmp_path / "old", log=lambda line: None)
    assert (tmp_path / "old").is_dir()
