"""Study files: what is accepted, and how wrong ones are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpsearch import config
from mpsearch.errors import ConfigError

GOOD = """
model: models/m.onnx
budget: 33
data: {calibration: a, evaluation: b}
decoder: {name: yolov5-face}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "one.yaml"
    path.write_text(text)
    return path


def test_a_short_study_has_sensible_defaults(tmp_path: Path) -> None:
    study = config.load(write(tmp_path, GOOD))
    assert (study.name, study.target, study.sampler, study.trials) == ("one", "vs680", "guided", 100)
    assert study.model == tmp_path / "models/m.onnx"
    assert study.budget.ms == 33
    assert study.data_spec("evaluation") == tmp_path / "b"


def test_a_budget_may_be_a_multiple_of_a_uniform_type(tmp_path: Path) -> None:
    study = config.load(write(tmp_path, GOOD.replace("33", "{times: 1.1, of: uint8}")))
    assert (study.budget.times, study.budget.of) == (1.1, "uint8")


@pytest.mark.parametrize("budget", ["0", "-3", ".nan", ".inf", "{times: 1.1, of: int9}", "{}", "soon"])
def test_budgets_that_mean_nothing_are_refused(tmp_path: Path, budget: str) -> None:
    with pytest.raises(ConfigError, match=r"one\.yaml: budget"):
        config.load(write(tmp_path, GOOD.replace("33", budget)))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("modle: x", "did you mean 'model'"),
        ("trials: 0", "trials"),
        ("sampler: tpee", "one of guided"),
        ("input: {scale: 0}", "scale"),
        ("input: {mean: [0, 0, 0]}", "did you mean 'means'"),
        ("face_sizes: [90, 10]", "smallest, largest"),
        ("seeds: [{base: uint9}]", "uint9"),
        ("limits: {missed: 2}", r"limits\.missed"),
    ],
)
def test_wrong_fields_are_named_with_the_nearest_right_one(tmp_path: Path, line: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        config.load(write(tmp_path, GOOD + line + "\n"))


def test_missing_fields_unreadable_files_and_other_yaml_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="model: is missing"):
        config.load(write(tmp_path, GOOD.replace("model: models/m.onnx", "")))
    with pytest.raises(ConfigError, match="not YAML"):
        config.load(write(tmp_path, "a: [1"))
    with pytest.raises(ConfigError, match="mapping"):
        config.load(write(tmp_path, "- 1"))
    with pytest.raises(ConfigError, match="cannot be read"):
        config.load(tmp_path / "absent.yaml")


def test_environment_variables_are_replaced_or_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = GOOD.replace("models/m.onnx", "${FOLDER}/m.onnx")
    with pytest.raises(ConfigError, match=r"line 2: .*FOLDER is not set"):
        config.load(write(tmp_path, text))
    monkeypatch.setenv("FOLDER", "/data")
    assert config.load(write(tmp_path, text)).model == Path("/data/m.onnx")
    assert config.load(write(tmp_path, GOOD.replace("models", "${OTHER:-here}"))).model == tmp_path / "here/m.onnx"


def test_a_study_is_found_by_path_by_name_or_by_default(tmp_path: Path) -> None:
    (tmp_path / "studies").mkdir()
    quick = tmp_path / "studies" / "quickstart.yaml"
    quick.write_text(GOOD)
    assert config.find(None, tmp_path) == quick
    assert config.find("quickstart", tmp_path) == quick
    with pytest.raises(ConfigError, match="Did you mean 'quickstart'"):
        config.find("quikstart", tmp_path)
    (tmp_path / "mpsearch.yaml").write_text(GOOD)
    assert config.find(None, tmp_path) == tmp_path / "mpsearch.yaml"
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="no study given"):
        config.find(None, tmp_path / "empty")
