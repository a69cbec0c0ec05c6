"""A guided study on a board from the command line, with its end, for each vendor: who calls which tool how often."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mpsearch import config
from mpsearch.board.cost import estimate
from mpsearch.cli import main
from mpsearch.device import unittimes
from mpsearch.record import Measured, Record
from mpsearch.search import twins
from mpsearch.search.final import expected_ms
from mpsearch.search.prior import prior_of
from mpsearch.study.folder import cache_folder, storage_url, stored_name
from mpsearch.study.ledger import Ledger
from mpsearch.testing.lab.bench import Lab
from mpsearch.testing.lab.snpe.bench import SnpeLab
from mpsearch.testing.models import save, small_detector
from mpsearch.testing.studies import pictures
from mpsearch.workbench import open_bench, open_workbench

STUDY = """
model: model.onnx
target: {chip}
budget: {{times: 1.3, of: {base}}}
data: {{calibration: calibration, evaluation: evaluation}}
decoder: {{name: tensors}}
input: {{means: 0, scale: 255}}
search_space: space.yaml
"""
SYNAP = """
vendor: synap
bases: [uint8]
types: [int16]
grouping: {by: stage, stages: 2}
tails: 2
"""
SNPE = """
vendor: snpe
bases: [a8w8]
types: [a16w8]
grouping: each
tails: 2
pins: [{unit: "output:*", type: base}]
"""
ONE = {"warm_up": 0, "least": 1, "most": 1, "reference_s": None}
TRIALS, TAILS = 6, 3

Run = Callable[..., str]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command line in this process; what it says to people, then what it prints."""

    def call(*arguments: str, code: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["mpsearch", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        assert (stop.value.code or 0) == code, captured.err
        return captured.err + captured.out

    return call


def written(folder: Path, chip: str, base: str, space: str) -> Path:
    save(small_detector(), folder / "model.onnx")
    pictures(folder / "calibration", 2, seed=1)
    pictures(folder / "evaluation", 2, seed=2)
    (folder / "space.yaml").write_text(space)
    study = folder / "study.yaml"
    study.write_text(STUDY.format(chip=chip, base=base))
    return study


def stored(study: Path, board: Path) -> list[Record]:
    loaded = config.load(study)
    ledger = Ledger.open(storage_url(loaded, None), stored_name(loaded, str(board)))
    return [trial.record for trial in ledger.trials]


def identities(study: Path, board: Path, records: list[Record]) -> list[str | None]:
    loaded = config.load(study)
    bench = open_workbench(loaded, cache=cache_folder(loaded), target=str(board), budget_ms=1.0)
    try:
        twin = twins.of(bench)
        return [twin(record.candidate) for record in records]
    finally:
        bench.board.close()


def measured(records: list[Record]) -> list[Measured]:
    return [record.outcome for record in records if isinstance(record.outcome, Measured)]


def test_on_an_snpe_board_each_build_is_timed_once_and_the_end_says_what_its_samples_are(
    tmp_path: Path, run: Run
) -> None:
    study = written(tmp_path, "rvc4", "a8w8", SNPE)
    with SnpeLab(tmp_path / "lab") as lab:
        how = {"tools": str(lab.tools), "duration_s": 20, "sys": str(tmp_path)}
        base = str(tmp_path / "base")
        board = lab.board_file("local", base=base, timing=ONE, accuracy="simulator", snpe=how)
        target = ("--target", str(board))
        beyond = ("--budget-ms", "0.05", "--no-final")
        said = run("run", str(study), *target, "--trials", "1", *beyond, code=4)
        assert "0.0500 ms can probably not be met" in said
        assert "model: none is small enough" in said

        run("run", str(study), *target, "--trials", str(TRIALS), "--no-final")
        records, searched = stored(study, board), lab.calls
        assert len(measured(records)) == TRIALS
        assert searched["snpe-throughput-net-run"] == searched["snpe-dlc-graph-prepare"] == TRIALS
        assert len(set(identities(study, board, records))) == TRIALS

        ended = run("run", str(study), *target, "--trials", str(TRIALS)).split("in the end: ")[1]
        again = ended.count(" 3 means over 20 s, none over ")
        assert again >= 1
        tails = lab.calls["snpe-dlc-graph-prepare"] - TRIALS
        assert lab.calls["snpe-throughput-net-run"] == TRIALS + 3 * again + tails

        assert "by what 6 trials say" in run("run", str(study), *target, "--trials", str(TRIALS), *beyond, code=4)
        assert "the cost model" in run("explain", str(study), *target, "--format", "json")
        run("profile", str(study), "--time", "--base", "a8w8", *target)
        assert "the board's layer times" in run("explain", str(study), *target, "--format", "json")
        check_level(study, board)


def check_level(study: Path, board: Path) -> None:
    """The lab's cycles are the cost model's, so each unit is off by what the whole is, and the sum is the latency."""
    loaded = config.load(study)
    bench = open_bench(loaded, target=str(board))
    times = unittimes.load(next(cache_folder(loaded).glob("unit-times-*.json")))
    measured_ms = stored(study, board)[0].outcome.timing.median_ms
    uncut = replace(stored(study, board)[0].candidate, cuts=())
    cost = estimate(bench.profile, bench.graph, uncut, bench.graph.assign(uncut))
    ratios = [ms / cost.unit_ms[unit] for unit, ms in times.unit_ms.items()]
    assert len(ratios) == sum(ms > 0 for ms in cost.unit_ms.values())
    assert min(ratios) == pytest.approx(max(ratios), rel=0.01)
    prior = prior_of(bench, cache_folder(loaded))
    assert expected_ms(prior, bench.space, stored(study, board)[0].candidate) == pytest.approx(measured_ms, rel=0.03)


def test_on_a_synap_board_each_build_is_timed_once_and_the_end_is_on_a_thousand_runs(tmp_path: Path, run: Run) -> None:
    study = written(tmp_path, "vs680", "uint8", SYNAP)
    with Lab(tmp_path / "lab") as lab:
        board = lab.board_file("local", base=str(tmp_path / "base"), timing=ONE, accuracy="simulator")
        words = (str(study), "--target", str(board), "--trials", str(TRIALS))
        run("run", *words, "--no-final")
        records, searched = stored(study, board), lab.calls
        assert len(measured(records)) == searched["synap_cli"] == TRIALS
        assert len(set(identities(study, board, records))) == TRIALS

        before = lab.calls
        ended = run("run", *words).split("in the end: ")[1]
        again = ended.count(" of 1000 runs over ")
        assert again >= 1
        assert 5 * again <= lab.calls["synap_cli"] - before["synap_cli"] <= 5 * again + TAILS
