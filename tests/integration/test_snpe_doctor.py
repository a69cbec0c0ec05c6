"""``mpsearch doctor`` and Qualcomm's tools: found, half there, or absent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mpsearch.cli.app import app
from mpsearch.testing.lab.snpe.bench import SnpeLab
from mpsearch.toolchain.snpe.tools import VARIABLES


def rows() -> dict[str, dict[str, object]]:
    ran = CliRunner().invoke(app, ["doctor", "--format", "json"])
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
