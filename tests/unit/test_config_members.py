"""Study files with several models: what each entry may say, what all share, and how wrong ones are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpsearch import config, members
from mpsearch.errors import ConfigError
from mpsearch.study.folder import cache_folder, stored_name

GOOD = """
models:
  - {name: a, model: nets/a.onnx}
  - {name: b, model: nets/b.onnx, decoder: {name: yunet}, input: {order: bgr}, search_space: full, face_sizes: [8, 90]}
budget: {times: 1.2, of: uint8}
data: {calibration: c, evaluation: e}
decoder: {name: yolov5-face}
input: {scale: 255}
"""


def write(folder: Path, text: str) -> str:
    path = folder / "two.yaml"
    path.write_text(text)
    return str(path)


def test_an_entry_replaces_what_all_share(tmp_path: Path) -> None:
    a, b = members.every(write(tmp_path, GOOD))
    assert (a.name, a.member, a.title) == ("two", "a", "two:a")
    assert a.model == tmp_path / "nets/a.onnx"
    assert (a.decoder["name"], b.decoder["name"]) == ("yolov5-face", "yunet")
    assert (a.input.scale, b.input.scale, b.input.order) == (255, 1.0, "bgr"), "an entry's input is the whole input"
    assert (b.search_space, b.face_sizes, a.face_sizes) == ("full", (8, 90), None)
    assert a.trials == b.trials == 100


def test_the_first_model_judges_and_gives_the_budget_unless_others_are_named(tmp_path: Path) -> None:
    a, b = members.every(write(tmp_path, GOOD))
    assert a.kin is not None
    assert b.kin is not None
    assert a.kin.reference.model == b.kin.reference.model == a.model
    assert a.kin.budget is None, "its own"
    assert b.kin.budget is not None
    assert b.kin.budget.model == a.model
    text = GOOD.replace("of: uint8", "of: uint8, model: b") + "reference: b\n"
    a, b = members.every(write(tmp_path, text))
    assert a.kin is not None
    assert a.kin.reference.model == b.model
    assert a.kin.budget is not None
    assert a.kin.budget.model == b.model


def test_the_reference_may_be_a_model_that_is_not_searched(tmp_path: Path) -> None:
    found = members.every(write(tmp_path, GOOD + "reference: {model: nets/big.onnx, decoder: {name: retinaface}}\n"))
    assert [study.member for study in found] == ["a", "b"]
    for study in found:
        assert study.kin is not None
        assert study.kin.reference.model == tmp_path / "nets/big.onnx"
        assert study.kin.reference.decoder["name"] == "retinaface"
        assert study.kin.reference.input.scale == 255


def test_one_of_several_is_named_behind_a_colon(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    assert members.one(f"{path}:b").member == "b"
    assert members.one(members.one(f"{path}:b").address).title == "two:b"
    assert [study.member for study in members.every(f"{path}:b")] == ["b"]
    with pytest.raises(ConfigError, match=r"has several models: a, b"):
        members.one(path)
    with pytest.raises(ConfigError, match="several `models:`"):
        config.load(Path(path))
    with pytest.raises(ConfigError, match=r"no model 'bb'; nearest: 'b'"):
        members.every(f"{path}:bb")


def test_models_of_one_study_share_a_folder_and_have_their_own_names_in_its_storage(tmp_path: Path) -> None:
    a, b = members.every(write(tmp_path, GOOD))
    assert cache_folder(a) == cache_folder(b) == tmp_path / "mpsearch-runs/two/cache"
    assert [stored_name(study) for study in (a, b)] == ["two:a", "two:b"]
    assert stored_name(a, "vs640", "acuity") == "two:a.vs640.acuity"


def test_a_study_of_one_model_is_what_it_was(tmp_path: Path) -> None:
    path = tmp_path / "one.yaml"
    path.write_text(GOOD.replace(GOOD[: GOOD.index("budget")], "model: a.onnx\n"))
    (study,) = members.every(str(path))
    assert study == config.load(path)
    assert (study.member, study.title, study.kin, stored_name(study)) == ("", "one", None, "one")
    with pytest.raises(ConfigError, match="has one model"):
        members.every(f"{path}:a")
    path.write_text(path.read_text().replace("of: uint8", "of: uint8, model: a"))
    with pytest.raises(ConfigError, match=r"budget\.model"):
        members.every(str(path))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("budget:", "model: x.onnx\nbudget:", "both `model:` and `models:`"),
        ("name: a,", "", r"models\[0\]: needs `name:` and `model:`"),
        ("model: nets/a.onnx", "modle: nets/a.onnx", r"models\[0\]: needs `name:` and `model:`"),
        ("name: a,", "name: a.b,", r"models\[0\]\.name: letters"),
        ("name: b,", "name: a,", r"models\[1\]: a second model 'a'"),
        ("name: b,", "name: b, trials: 3,", r"models\[1\] \(b\): unknown field 'trials'"),
        ("name: b,", "name: b, seach_space: x,", r"'seach_space'; nearest: 'search_space'"),
        ("order: bgr", "order: rbg", r"models\[1\] \(b\): input\.order"),
        ("order: bgr", "ordre: bgr", r"models\[1\] \(b\): input\.ordre: unknown field; did you mean 'order'"),
        ("[8, 90]", "[90, 8]", r"models\[1\] \(b\): face_sizes"),
        ("decoder: {name: yolov5-face}", "", r"models\[0\] \(a\): decoder: is missing"),
        ("budget:", "trials: 0\nbudget:", r"two\.yaml: trials"),
        ("budget:", "reference: c\nbudget:", r"reference: no model 'c'"),
        ("budget:", "reference: {decoder: {name: x}}\nbudget:", r"reference: needs `name:` and `model:`"),
        ("budget:", "reference: {model: r.onnx, seeds: []}\nbudget:", r"reference: unknown field 'seeds'"),
        ("of: uint8", "of: uint8, model: c", r"budget\.model: no model 'c'"),
        ("{times: 1.2, of: uint8}", "{ms: 3, model: b}", r"budget\.model: goes with `times:`"),
    ],
)
def test_wrong_entries_are_named(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError, match=says):
        members.every(write(tmp_path, GOOD.replace(old, new, 1)))


@pytest.mark.parametrize("models", ["{}", "[]", "a", "[3]"])
def test_models_that_are_no_list_of_entries_are_refused(tmp_path: Path, models: str) -> None:
    text = f"models: {models}\n" + GOOD[GOOD.index("budget") :]
    with pytest.raises(ConfigError, match=r"models(\[0\])?: "):
        members.every(write(tmp_path, text))
