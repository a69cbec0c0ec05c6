"""The simulated VS680 against the board timings of the SyNAP walk-through."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import pytest

from mpsearch.board import cost, profile
from mpsearch.board.simulated import SimulatedBoard
from mpsearch.candidate import Candidate, DataType
from mpsearch.errors import CandidateError
from mpsearch.evaluate import Artifact
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.read import read

NAMES = ("float", "full", "cut", "int16", "tail", "one output")


@dataclass(frozen=True)
class Case:
    graph: ModelGraph
    candidates: dict[str, Candidate]
    measured_ms: dict[str, float]

    def model_ms(self, name: str, board: str = "vs680") -> float:
        candidate = self.candidates[name]
        types = self.graph.assign(candidate)
        return cost.estimate(profile.load(board), self.graph, candidate, types).total_ms


@pytest.fixture(scope="module")
def case(shared: Path) -> Case:
    graph = read(shared / "data" / "models" / "yolov5s_face_480x640_untrained.onnx")
    cuts = tuple((f"output_{i}", (tensor,)) for i, tensor in enumerate(("349", "369", "389")))

    def tail(candidate: Candidate) -> Candidate:
        units = graph.units_after("Concat_155", candidate)
        return replace(candidate, overrides=tuple((unit, DataType.INT16) for unit in units))

    cut = Candidate(cuts=cuts)
    one = tail(Candidate(cuts=cuts, dropped=("output_0", "output_2")))
    candidates = (Candidate("float16"), Candidate(), cut, Candidate("int16", cuts=cuts), tail(cut), one)
    with (shared / "reference" / "seed_vs680.csv").open() as file:
        lines = [row for row in csv.DictReader(file) if row["input"] == "480x640" and row["preprocess"] == "none"]
    rows = [float(row["median_ms"]) for row in lines]
    return Case(graph, dict(zip(NAMES, candidates, strict=True)), dict(zip(NAMES, rows, strict=True)))


@pytest.mark.parametrize("name", NAMES)
def test_a_measured_row_is_met(case: Case, name: str) -> None:
    assert case.model_ms(name) == pytest.approx(case.measured_ms[name], rel=0.5 if name == "float" else 0.05)


def test_the_six_configurations_come_in_the_measured_order(case: Case) -> None:
    assert sorted(NAMES, key=case.model_ms) == sorted(NAMES, key=case.measured_ms.__getitem__)


@pytest.mark.parametrize("name", ["int16", "tail"])
def test_precision_costs_what_it_cost_on_the_board(case: Case, name: str) -> None:
    measured = case.measured_ms[name] / case.measured_ms["cut"]
    assert case.model_ms(name) / case.model_ms("cut") == pytest.approx(measured, rel=0.1)


def test_the_mixed_network_is_met_on_vs640(case: Case) -> None:
    assert case.model_ms("tail", "vs640") == pytest.approx(59.63, rel=0.05)


def test_camera_frames_on_the_npu_take_the_last_row_over_35_ms(case: Case) -> None:
    candidate = replace(case.candidates["one output"], preprocess="nv12:1024x768")
    timing = SimulatedBoard(profile.load("vs680"), case.graph).time(Artifact(candidate, case.graph.assign(candidate)))
    assert 35 < timing.median_ms < 36
    assert timing.parts_ms["preprocess"] == pytest.approx(5, rel=0.1)


def test_a_timing_says_that_it_is_simulated_and_where_the_time_goes(case: Case) -> None:
    board = SimulatedBoard(profile.load("sl1680"), case.graph)
    candidate = case.candidates["tail"]
    timing = board.time(Artifact(candidate, case.graph.assign(candidate)))
    assert (timing.source, timing.board) == ("simulated", "vs680")
    assert timing.samples_ms == (case.model_ms("tail"),)
    assert sum(timing.parts_ms.values()) == pytest.approx(timing.median_ms)
    board.close()
    board.close()


def test_types_that_were_really_built_are_timed_not_those_asked_for(case: Case) -> None:
    board = SimulatedBoard(profile.load("vs680"), case.graph)
    asked = case.candidates["int16"]
    built = case.graph.assign(case.candidates["cut"])
    assert board.time(Artifact(asked, built)).median_ms < case.model_ms("int16") / 2


def test_a_preprocessing_without_a_cost_is_the_candidates_fault(case: Case) -> None:
    board = SimulatedBoard(profile.load("vs680"), case.graph)
    candidate = Candidate(preprocess="nv12")
    with pytest.raises(CandidateError, match="'nv12' has no cost") as caught:
        board.time(Artifact(candidate, case.graph.assign(candidate)))
    assert caught.value.stage == "time"


def test_an_estimate_takes_well_under_two_milliseconds(case: Case) -> None:
    board, candidate = profile.load("vs680"), case.candidates["tail"]
    types = case.graph.assign(candidate)
    cost.estimate(board, case.graph, candidate, types)
    taken_s = []
    for _ in range(20):
        start = time.perf_counter()
        cost.estimate(board, case.graph, candidate, types)
        taken_s.append(time.perf_counter() - start)
    assert min(taken_s) < 0.002


@pytest.mark.parametrize("family", ["verisilicon", "htp"])
def test_the_shipped_profiles_are_what_the_fit_gives(family: str, shared: Path, root: Path, tmp_path: Path) -> None:
    out = tmp_path / "fit.json"
    argv = [sys.executable, str(root / "benchmarks" / "cost_model.py"), "--smoke", "--out", str(out)]
    argv += ["--family", family]
    subprocess.run([*argv, "--shared", str(shared)], check=True, capture_output=True, timeout=120)
    rows = json.loads(out.read_text())["rows"]
    for row in rows:
        assert row["shipped_ms"] == pytest.approx(row["refitted_ms"], rel=0.01), row["row"]
    held_out = sorted(abs(row["ratio"] - 1) for row in rows if row["use"] == "held out")
    error = median(held_out)
    assert error < 0.25
    assert f"Median error {100 * error:.2g} %" in (root / "docs" / "boards.md").read_text()


def test_rvc4_refuses_to_convert_camera_frames(case: Case) -> None:
    board = SimulatedBoard(profile.load("rvc4"), case.graph)
    candidate = Candidate(preprocess="nv12:1024x768")
    with pytest.raises(CandidateError, match="rvc4 takes frames from the CPU only"):
        board.time(Artifact(candidate, case.graph.assign(candidate)))


def test_rvc4_ranks_its_precisions_as_published(case: Case) -> None:
    a8, a16, fp16 = (
        cost.estimate(board, case.graph, c, case.graph.assign(c)).total_ms
        for board in [profile.load("rvc4")]
        for c in (Candidate(), Candidate("int16"), Candidate("float16"))
    )
    assert 1.04 < a16 / a8 < 4.05  # the range of the published ratios
    assert 1.2 < fp16 / a8 < 6.3


def test_the_fit_says_what_it_skips_without_the_walk_throughs_graph(root: Path, tmp_path: Path) -> None:
    argv = [sys.executable, str(root / "benchmarks" / "cost_model.py"), "--smoke", "--shared", str(tmp_path)]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=120)
    assert "skipped: the yolov5s_face rows" in done.stdout
