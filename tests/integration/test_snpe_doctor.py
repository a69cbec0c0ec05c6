"""``mpsearch doctor`` and Qualcomm's tools: found, half there, or absent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mpsearch.cli.app import app
from mpsearch.errors import SetupError
from mpsearch.testing.lab.snpe.bench import SnpeLab
from mpsearch.toolchain.snpe.builds import find
from mpsearch.toolchain.snpe.tools import VARIABLES, Tools


def rows(*more: str) -> dict[str, dict[str, object]]:
    ran = CliRunner().invoke(app, ["doctor", *more, "--format", "json"])
    return {row["what"]: row for row in json.loads(ran.stdout)}


@pytest.fixture(autouse=True)
def _no_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_without_an_sdk_the_tools_are_absent_and_not_needed() -> None:
    found = rows()
    assert (found["snpe tools"]["found"], found["snpe tools"]["ok"]) == ("-", False)
    assert not found["qairt tools"]["needed"]


def test_an_sdk_of_the_environment_is_asked_for_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with SnpeLab(tmp_path) as lab:
        monkeypatch.setenv("SNPE_ROOT", str(lab.sdk))
        found = rows()["snpe tools"]
        assert found["ok"]
        assert str(found["found"]).startswith("2.41.0")
        (lab.sdk_bin / "snpe-dlc-info").unlink()
        found = rows()["snpe tools"]
        assert not found["ok"]
        assert "snpe-dlc-info missing in" in str(found["found"])


def test_each_tool_of_a_boards_file_is_looked_for_and_a_missing_one_is_told_with_its_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with SnpeLab(tmp_path / "lab") as lab:
        board = str(lab.board_file("local", toolkit={"sdk": str(lab.sdk), "tools": "qairt"}))
        found = rows("--board", board)
        tools = ("qairt-converter", "qairt-quantizer", "snpe-dlc-graph-prepare", "snpe-dlc-info", "snpe-diagview")
        assert all(found[name]["ok"] and str(found[name]["found"]).startswith(str(lab.sdk)) for name in tools)
        for name in ("snpe-diagview", "snpe-dlc-graph-prepare"):
            (lab.sdk_bin / name).unlink()
        found = rows("--board", board)
        assert found["SNPE tools"]["ok"]
        assert [name for name in tools if not found[name]["ok"]] == ["snpe-dlc-graph-prepare", "snpe-diagview"]
        assert str(found["snpe-diagview"]["for"]).startswith("times of single layers (mpsearch profile --time): ")
        assert not found["snpe-diagview"]["needed"]
        assert found["snpe-dlc-graph-prepare"]["needed"]
        assert found["snpe-dlc-graph-prepare"]["found"] == f"missing in {lab.sdk}"
        assert "compiling for the chip's HTP" in str(found["snpe-dlc-graph-prepare"]["for"])
        sysmon = rows("--board", str(lab.board_file("local", snpe={"tools": "/nowhere", "sysmon": "/no/sysmon"})))
        assert (sysmon["sysMonApp"]["ok"], sysmon["sysMonApp"]["needed"]) == (False, False)
        assert sysmon["snpe-net-run"]["ok"] is False


@pytest.mark.parametrize("command", [["env"], ["env", "X=1"]])
def test_tools_behind_a_command_are_looked_for_behind_it(command: list[str], tmp_path: Path) -> None:
    with SnpeLab(tmp_path) as lab:
        tools = Tools(sdk=lab.sdk, prefix=tuple(command))
        assert find(tools, "snpe-dlc-info", tmp_path) == str(lab.sdk_bin / "snpe-dlc-info")
        with pytest.raises(SetupError, match=f"missing in {' '.join(command)}"):
            find(tools, "snpe-dlc-nothing", tmp_path)
