"""Bad input: a clear error, exit code 2, no traceback, and nothing lost."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cli_types import Run


def replace(folder: Path, old: str, new: str) -> None:
    path = folder / "mpsearch.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize("budget", ["0", "-1", "nan", "inf"])
def test_a_budget_that_means_nothing(folder: Path, run: Run, budget: str) -> None:
    ran = run("run", "--budget-ms", budget)
    assert ran.code == 2
    assert "budget" in ran.err


def test_a_model_that_has_moved(folder: Path, run: Run) -> None:
    (folder / "model.onnx").rename(folder / "moved.onnx")
    ran = run("run")
    assert ran.code == 2
    assert "model.onnx: no such file" in ran.err
    assert "model:" in ran.err


def test_no_photographs(folder: Path, run: Run) -> None:
    shutil.rmtree(folder / "evaluation")
    ran = run("run")
    assert ran.code == 2
    assert "evaluation" in ran.err


def test_an_unreadable_photograph_is_named(folder: Path, run: Run) -> None:
    (folder / "evaluation" / "broken.png").write_bytes(b"\x89PNG not really")
    ran = run("run")
    assert ran.code == 2
    assert "broken.png" in ran.err


def test_calibration_photographs_in_the_evaluation_set(folder: Path, run: Run) -> None:
    shutil.copy(folder / "calibration" / "0.png", folder / "evaluation" / "copied.png")
    warned = run("run", "--trials", "2")
    assert warned.code == 0
    assert "copied.png" in warned.err
    strict = run("run", "--trials", "2", "--strict")
    assert strict.code == 2
    assert "copied.png" in strict.err


def test_an_unknown_decoder_option(folder: Path, run: Run) -> None:
    replace(folder, "{name: tensors}", "{name: tensorz}")
    ran = run("run")
    assert ran.code == 2
    assert "tensors" in ran.err


def test_a_decoder_that_does_not_fit_the_model(folder: Path, run: Run) -> None:
    replace(folder, "{name: tensors}", "{name: retinaface}")
    ran = run("run")
    assert ran.code == 2
    assert "retinaface" in ran.err


def test_an_unknown_target_and_search_space(folder: Path, run: Run) -> None:
    assert "vs680" in run("run", "--target", "vs681").err
    replace(folder, "space.yaml", "synap_int8_int61")
    ran = run("run")
    assert ran.code == 2
    assert "synap_int8_int16" in ran.err


def test_a_space_with_an_unknown_unit_names_file_and_line(folder: Path, run: Run) -> None:
    path = folder / "space.yaml"
    path.write_text(path.read_text() + "pins:\n- {unit: Conv_O, type: int16}\n")
    ran = run("run")
    assert ran.code == 2
    assert "space.yaml" in ran.err
    assert "space.yaml:11" in ran.err
    assert "nearest" in ran.err


def test_no_study_here(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run("run")
    assert ran.code == 2
    assert "no study given" in ran.err
    assert run("status", "studies/none.yaml").code == 2


def test_nothing_stored_yet(folder: Path, run: Run) -> None:
    for command in ("status", "pareto", "export", "resume"):
        ran = run(command)
        assert ran.code == 2, command
        assert "mpsearch run" in ran.err
    assert not (folder / "mpsearch-runs").exists()


def test_a_folder_where_nothing_can_be_written(folder: Path, run: Run) -> None:
    (folder / "mpsearch-runs").write_text("a file in the way")
    ran = run("run", "--trials", "2")
    assert ran.code == 2
    assert "mpsearch-runs" in ran.err
    assert "--storage" in ran.err


def test_a_storage_that_cannot_be_reached(folder: Path, run: Run) -> None:
    ran = run("run", "--trials", "2", "--storage", "nosuch://host/db")
    assert ran.code == 2
    assert "nosuch" in ran.err


def test_an_unknown_sampler_is_refused_before_anything_is_computed(folder: Path, run: Run) -> None:
    ran = run("run", "--sampler", "tpee")
    assert ran.code == 2
    assert "tpe" in ran.err
    assert not (folder / "mpsearch-runs").exists()


def test_a_broken_candidate_and_metafile_are_named(folder: Path, run: Run) -> None:
    (folder / "c.json").write_text('{"base": "uint8", "overrides": {"Conv_99": "int16"}}')
    ran = run("eval", "c.json")
    assert ran.code == 2
    assert "Conv_99" in ran.err
    (folder / "m.yaml").write_text("quantisation: {}\n")
    ran = run("eval", "m.yaml")
    assert ran.code == 2
    assert "quantisation" in ran.err
    assert run("eval", "absent.json").code == 2


def test_wrong_usage_exits_with_two(run: Run) -> None:
    assert run("run", "--no-such-option").code == 2
    assert run("nosuchcommand").code == 2
    assert run("inspect").code == 2


def test_export_into_a_folder_with_other_files_is_refused(folder: Path, run: Run) -> None:
    run("run", "--trials", "3")
    (folder / "mine").mkdir()
    (folder / "mine" / "thesis.txt").write_text("years of work")
    ran = run("export", "--pick", "knee", "--out", "mine")
    assert ran.code == 2
    assert (folder / "mine" / "thesis.txt").read_text() == "years of work"
