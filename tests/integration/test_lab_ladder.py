"""Candidates that are not worth the board never reach it: a small study on the lab's device, stopped and resumed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mpsearch import config
from mpsearch.errors import SetupError
from mpsearch.pareto.front import Trial
from mpsearch.record import PHOTOGRAPHS
from mpsearch.search.session import How, Session, open_session
from mpsearch.study.folder import cache_folder
from mpsearch.study.summary import Summary
from mpsearch.testing.lab.bench import Lab
from mpsearch.testing.studies import small_study

SPACE = (
    "vendor: synap\nbases: [uint8, int8-pc]\ntypes: [int16]\ngrouping: {by: stage, stages: 3}\ntails: 2\ncuts: none\n"
)


def opened(study: Path, board: Path, total: int) -> Session:
    def on_trial(trial: Trial, summary: Summary) -> None:
        assert trial.measured is not None

    how = How(total, target=str(board), sampler="random")
    return open_session([config.load(study)], how, on_trial=on_trial, say=lambda text: None)


def converted(study: Path) -> int:
    """Models that the lab's toolkit has compiled."""
    folders = (cache_folder(config.load(study)) / "synap" / "built").iterdir()
    return sum(json.loads((folder / "seconds").read_text()) > 0 for folder in folders)


@pytest.mark.parametrize("accuracy", ["board", "simulator"])
def test_what_is_rejected_is_neither_compiled_nor_timed_and_stays_rejected(
    lab: Lab, tmp_path: Path, accuracy: str
) -> None:
    study = small_study(tmp_path)
    study.write_text(study.read_text() + f"search_space: {tmp_path / 'space.yaml'}\n")
    (tmp_path / "space.yaml").write_text(SPACE)
    quick = {"warm_up": 0, "least": 3, "most": 3, "reference_s": None}
    board = lab.board_file(
        "local", name=f"lab-{accuracy}", base=str(tmp_path / "base"), timing=quick, accuracy=accuracy
    )
    session = opened(study, board, 6)
    session.search.run(6)
    session.close()
    first = session.stored
    session = opened(study, board, 9)
    summary = session.search.run(9)
    session.close()
    stored = session.stored
    assert summary.evaluations == converted(study) == 9
    assert summary.rejected == len(stored.rejected) > 0
    assert stored.trials[:6] == first.trials
    assert stored.rejected[: len(first.rejected)] == first.rejected
    assert {t.record.candidate.digest for t in stored.trials}.isdisjoint(
        t.record.candidate.digest for t in stored.rejected
    )
    for trial in stored.trials:
        assert trial.objectives is not None
        if PHOTOGRAPHS in trial.record.rungs:
            assert trial.record.rungs[PHOTOGRAPHS].error == pytest.approx(trial.objectives[1], rel=0.01)
            assert (trial.record.rungs[PHOTOGRAPHS].seconds == 0) == (accuracy == "simulator")
    for trial in stored.rejected:
        assert not trial.record.stage_s


def test_an_engine_that_is_not_installed_is_said_before_any_trial(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MPSEARCH_ACUITY", str(tmp_path / "nowhere"))
    study = small_study(tmp_path)
    study.write_text(study.read_text() + "ladder: {acuity: true}\n")
    with pytest.raises(SetupError, match="nowhere is missing") as caught:
        opened(study, lab.board_file("local", base=str(tmp_path / "base")), 3)
    assert "mpsearch toolchain install acuity" in caught.value.hint
