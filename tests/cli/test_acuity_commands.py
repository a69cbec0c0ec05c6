"""The commands around the vendor's engine, without the engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_types import Run

from mpsearch.toolchain.acuity import environment


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(environment.PLACE, str(tmp_path / "engine"))


def test_the_toolchains_are_listed_with_what_was_found(folder: Path, run: Run) -> None:
    ran = run("toolchain", "list", "--format", "json")
    assert ran.code == 0
    found = {row["toolchain"]: row for row in json.loads(ran.out)}
    assert found["acuity"]["state"] == "absent"
    assert found["acuity"]["found"] == str(folder / "engine")
    assert found["simulator"]["state"] == "built in"


def test_doctor_shows_the_engine_and_how_to_get_it(folder: Path, run: Run) -> None:
    ran = run("doctor", "--format", "json")
    (row,) = [row for row in json.loads(ran.out) if row["what"] == "acuity"]
    assert not row["ok"]
    assert not row["needed"]
    assert row["found"] == "absent: mpsearch toolchain install acuity"


def test_an_unfinished_installation_is_seen_as_that(folder: Path, run: Run) -> None:
    (folder / "engine").mkdir()
    ran = run("toolchain", "list", "--format", "json")
    assert [row["state"] for row in json.loads(ran.out) if row["toolchain"] == "acuity"] == ["unfinished"]


def test_only_what_can_be_installed_is(folder: Path, run: Run) -> None:
    ran = run("toolchain", "install", "acuitty")
    assert ran.code == 2
    assert "It installs: acuity" in ran.err


def test_an_interpreter_that_is_none_ends_the_installation_with_the_next_step(folder: Path, run: Run) -> None:
    ran = run("toolchain", "install", "acuity", "--python", str(folder / "none"))
    assert ran.code == 1
    assert "uv python install 3.10" in ran.err
    assert not (folder / "engine").exists()


@pytest.mark.parametrize("command", [("run", "--trials", "2"), ("eval", "candidate.json")])
def test_without_the_engine_the_next_step_is_said_before_anything_is_measured(
    folder: Path, run: Run, command: tuple[str, ...]
) -> None:
    (folder / "candidate.json").write_text('{"base": "uint8"}')
    ran = run(*command, *(("--study", "mpsearch.yaml") if command[0] == "eval" else ()), "--toolchain", "acuity")
    assert ran.code == 1
    assert "mpsearch toolchain install acuity" in ran.err


def test_an_unknown_toolchain_is_refused_with_the_nearest(folder: Path, run: Run) -> None:
    ran = run("run", "--toolchain", "acuty")
    assert ran.code == 2
    assert "acuity" in ran.err


def test_a_target_that_builds_for_itself_takes_no_other_toolchain(folder: Path, run: Run) -> None:
    ran = run("run", "--toolchain", "acuity", "--target", "host")
    assert ran.code == 2
    assert "vs680" in ran.err


def test_a_target_that_the_engine_does_not_compile_for_is_refused(folder: Path, run: Run) -> None:
    ran = run("eval", "--study", "mpsearch.yaml", "--toolchain", "acuity", "--target", "rvc4", "candidate.json")
    assert ran.code == 2


def test_another_toolchain_is_another_study(folder: Path, run: Run) -> None:
    assert run("run", "--trials", "2", "--sampler", "random").code == 0
    ran = run("status", "--toolchain", "acuity")
    assert ran.code == 2
    assert ".acuity" in ran.err


def test_fidelity_needs_a_stored_study_and_the_engine(folder: Path, run: Run) -> None:
    assert run("fidelity").code == 2
    assert run("run", "--trials", "2", "--sampler", "random").code == 0
    ran = run("fidelity")
    assert ran.code == 1
    assert "mpsearch toolchain install acuity" in ran.err


def test_several_candidates_are_scored_in_one_call(folder: Path, run: Run) -> None:
    (folder / "a.json").write_text('{"base": "uint8"}')
    (folder / "b.json").write_text('{"base": "int16"}')
    ran = run("eval", "a.json", "b.json", "--study", "mpsearch.yaml", "--format", "json")
    assert ran.code == 0
    rows = json.loads(ran.out)
    assert [Path(row["file"]).name for row in rows] == ["a.json", "b.json"]
    assert rows[0]["latency_ms"] < rows[1]["latency_ms"]
