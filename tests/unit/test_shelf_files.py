"""``target: [boards/a.yaml, boards/b.yaml]``: which board a worker means, and what boards of one study must share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml

from mpsearch import config
from mpsearch.device import shelf
from mpsearch.errors import ConfigError
from mpsearch.pareto.limits import Limits
from mpsearch.study.folder import stored_name
from mpsearch.study.ledger import Ledger

STUDY = "model: m.onnx\nbudget: 33\ndecoder: {name: tensors}\ndata: {calibration: c, evaluation: e}\n"


def board(folder: Path, stem: str, **more: Any) -> str:
    fields: dict[str, Any] = {"target": "VS680", "transport": {"kind": "ssh", "host": f"{stem}.local"}, **more}
    path = folder / "boards" / f"{stem}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(fields))
    return str(path)


def study(folder: Path, target: str) -> config.Study:
    path = folder / "study.yaml"
    path.write_text(f"{STUDY}target: {target}\n")
    return config.load(path)


def test_boards_lie_relative_to_the_study_file_and_the_first_is_the_target(tmp_path: Path) -> None:
    a, b = board(tmp_path, "a"), board(tmp_path, "b")
    found = study(tmp_path, "[boards/a.yaml, boards/b.yaml]")
    assert (found.target, found.shelf) == (a, (a, b))
    assert study(tmp_path, "boards/a.yaml").shelf == ()


def test_a_worker_names_its_board_by_its_file_or_by_the_file_s_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = board(tmp_path, "a"), board(tmp_path, "b")
    found = study(tmp_path, "[boards/a.yaml, boards/b.yaml]")
    monkeypatch.chdir(tmp_path / "boards")
    assert [found.at(name) for name in (None, "a", "b", "b.yaml", "../boards/b.yaml", b)] == [a, a, b, b, b, b]
    assert found.at("vs640") == "vs640"


def test_all_boards_of_a_shelf_share_the_study_that_the_first_one_had_alone(tmp_path: Path) -> None:
    board(tmp_path, "a"), board(tmp_path, "b")
    alone = stored_name(study(tmp_path, "boards/a.yaml"))
    found = study(tmp_path, "[boards/a.yaml, boards/b.yaml]")
    assert {stored_name(found, target) for target in (None, "a", "b")} == {alone} == {"study"}
    assert stored_name(found, "vs640") == "study.vs640"


@pytest.mark.parametrize("wrong", ["[]", "[a.yaml, a.yaml]", "[a.yaml, 3]", "{a: b}"])
def test_a_list_that_is_no_shelf_is_refused_by_its_field(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(ConfigError, match="target"):
        study(tmp_path, wrong)


def test_boards_may_differ_in_name_door_and_place(tmp_path: Path) -> None:
    paths = (
        board(tmp_path, "a"),
        board(tmp_path, "b", transport={"kind": "adb", "serial": "1234"}, base="/data/x", wait_s=10),
        board(tmp_path, "c", toolkit={"docker": "image", "timeout_s": 60}, python=None, cli=["sudo", "synap_cli"]),
    )
    assert [found.name for found in shelf.boards(paths, paths[2])] == ["a", "b", "c"]
    assert shelf.boards(paths, "vs680") == ()


@pytest.mark.parametrize(
    ("field", "more"),
    [
        ("target is VS640, and VS680 in", {"target": "VS640"}),
        ("accuracy is simulator, and board in", {"accuracy": "simulator"}),
        ("timing.least is 20, and 15 in", {"timing": {"least": 20}}),
        ("runtime is snpe, and synap in", {"target": "rvc4"}),
    ],
)
def test_a_board_of_another_kind_is_refused_by_what_differs(tmp_path: Path, field: str, more: dict[str, Any]) -> None:
    paths = (board(tmp_path, "a"), board(tmp_path, "b", **more))
    with pytest.raises(ConfigError) as error:
        shelf.boards(paths, paths[0])
    assert field in str(error.value) or (field.startswith("runtime") and "target is rvc4" in str(error.value))
    assert paths[1] in str(error.value)


def test_two_boards_of_one_name_are_refused(tmp_path: Path) -> None:
    paths = (board(tmp_path, "a", name="mine"), board(tmp_path, "b", name="mine"))
    with pytest.raises(ConfigError, match="'mine' is that of another board"):
        shelf.boards(paths, paths[0])


def test_a_shelf_needs_the_reference_and_files(tmp_path: Path) -> None:
    never = {"timing": {"reference_s": None}}
    paths = (board(tmp_path, "a", **never), board(tmp_path, "b", **never))
    with pytest.raises(ConfigError, match="compared by the reference"):
        shelf.boards(paths, paths[0])
    with pytest.raises(ConfigError, match="vs640: not there"):
        shelf.boards((paths[0], "vs640"), paths[0])
    (tmp_path / "list.yaml").write_text("[1]")
    with pytest.raises(ConfigError, match="no board's file"):
        shelf.boards((paths[0], str(tmp_path / "list.yaml")), paths[0])


def test_a_stored_study_takes_boards_on_and_gives_them_up_again() -> None:
    storage = optuna.storages.InMemoryStorage()

    def names(*boards: str) -> tuple[str, ...]:
        Ledger.create(storage, "s", {"board": "kind"}, Limits(), shelf=boards)
        return Ledger.open(storage, "s").shelf

    assert names() == ()
    assert "shelf" not in Ledger.open(storage, "s").study.user_attrs
    assert names("a", "b") == ("a", "b")
    assert names() == ()
