"""Picking, tabling, plotting and exporting trials."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import inf, nan
from pathlib import Path

import pytest
from PIL import Image

from mpsearch.candidate import Candidate
from mpsearch.errors import ConfigError
from mpsearch.pareto.export import FILES, Provenance, write
from mpsearch.pareto.front import Trial
from mpsearch.pareto.limits import Limits
from mpsearch.pareto.pick import NothingWithinBudgetError, gap, knee, pick
from mpsearch.pareto.plot import plot
from mpsearch.pareto.table import columns, rows, short
from mpsearch.record import Failed, Record
from mpsearch.space.load import load
from mpsearch.task import LANDMARKS
from mpsearch.testing.toy import ToyEvaluator, toy_graph

GRAPH = toy_graph()
SPACE = load("synap_int8_int16", GRAPH)
EVALUATOR = ToyEvaluator(GRAPH)
TRIALS = tuple(
    Trial(number, EVALUATOR.evaluate(candidate), "uniform" if candidate.is_uniform else "tail")
    for number, candidate in enumerate(SPACE.seeds())
)
FAILED = Trial(90, Record(Candidate(base="int16"), Failed("build", "CandidateError", "refused")))
LATENCIES = sorted(t.measured.timing.median_ms for t in TRIALS if t.measured)
MIDDLE = Limits(budget_ms=LATENCIES[len(LATENCIES) // 2])


@dataclass(frozen=True)
class Made:
    text: str = "quantization: {}\n"
    unresolved: tuple[str, ...] = ("near: fused",)
    notes: tuple[str, ...] = ()
    commands: tuple[tuple[str, ...], ...] = (("synap", "convert", "--model", "my model.onnx"),)
    blobs: Mapping[str, Callable[[Path], object]] = field(default_factory=dict)

    @property
    def texts(self) -> Mapping[str, str]:
        return {"metafile.yaml": self.text}


PROVENANCE = Provenance("toy", "toy.yaml", "toy.onnx", {"model": "ab12"}, {"mpsearch": "0.1.0"})


@pytest.mark.parametrize("budget", [0.0, -1.0, nan, inf])
def test_a_budget_that_is_no_positive_number_is_refused(budget: float) -> None:
    with pytest.raises(ConfigError, match="budget must be a positive number"):
        Limits(budget_ms=budget)


def test_budget_knee_and_number_pick_a_trial() -> None:
    chosen = pick(TRIALS, "budget", MIDDLE)
    assert MIDDLE.feasible(chosen.record)
    assert pick(TRIALS, str(chosen.number), MIDDLE) == chosen
    assert pick(TRIALS, "knee", MIDDLE) == knee(TRIALS)


def test_a_budget_that_nothing_meets_names_the_nearest_and_the_gap() -> None:
    with pytest.raises(NothingWithinBudgetError, match=r"nearest is trial \d+: .* ms over the budget") as caught:
        pick(TRIALS, "budget", Limits(budget_ms=LATENCIES[0] / 2))
    assert caught.value.exit_code == 4


def test_missed_faces_make_a_fast_trial_infeasible() -> None:
    fast = TRIALS[0]
    assert fast.measured is not None
    score = replace(fast.measured.score, missed=2)
    blind = Trial(0, replace(fast.record, outcome=replace(fast.measured, score=score)))
    assert "missed 2 of 20 faces" in gap(blind, Limits(budget_ms=1000))


@pytest.mark.parametrize(("how", "says"), [("best", "Give budget, knee"), ("77", "nearest: "), ("90", "failed")])
def test_what_cannot_be_picked_is_refused(how: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        pick((*TRIALS, FAILED), how, MIDDLE)


def test_picking_before_anything_was_measured_says_so() -> None:
    with pytest.raises(ConfigError, match="no trial has been measured"):
        pick([FAILED], "budget", MIDDLE)


def test_every_row_has_every_column_and_survives_json_and_csv() -> None:
    table = rows((*TRIALS, FAILED), MIDDLE)
    assert all(tuple(row) == columns(LANDMARKS) for row in table)
    assert json.loads(json.dumps(table)) == table
    text = io.StringIO()
    writer = csv.DictWriter(text, columns(LANDMARKS))
    writer.writeheader()
    writer.writerows(table)
    assert len(text.getvalue().splitlines()) == len(table) + 1
    assert table[-1]["failed"] == "build: refused"
    assert table[-1]["feasible"] is False
    assert {row["source"] for row in table[:-1]} == {"simulated"}


def test_a_candidate_in_short_tells_base_types_and_cuts() -> None:
    candidate = SPACE.at({"tail": "conv2_relu", "cut:near_out": "2"})
    assert short(candidate) == "uint8 | int16: 4 units and 2 outputs | cut n0"


def test_the_plot_is_a_picture_of_some_size(tmp_path: Path) -> None:
    path = tmp_path / "front.png"
    plot((*TRIALS, FAILED), MIDDLE, path, title="toy")
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.width > 800
        assert len(image.convert("RGB").getcolors(1 << 24) or ()) > 50


def test_a_plot_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing to plot"):
        plot([FAILED], MIDDLE, tmp_path / "front.png")
    with pytest.raises(ConfigError, match="cannot be written"):
        plot(TRIALS, MIDDLE, tmp_path / "absent" / "front.png")


def test_a_bundle_holds_what_rebuilds_and_verifies_the_candidate(tmp_path: Path) -> None:
    files = write(TRIALS[3], Made(), PROVENANCE, tmp_path / "out")
    assert [path.name for path in files] == ["metafile.yaml", *FILES]
    texts = {path.name: path.read_text() for path in files}
    assert texts["metafile.yaml"] == Made().text
    assert texts["command.txt"] == "synap convert --model 'my model.onnx'\n"
    assert Candidate.from_json(json.loads(texts["candidate.json"])) == TRIALS[3].record.candidate
    assert Record.from_json(json.loads(texts["record.json"])) == TRIALS[3].record
    lock = json.loads(texts["lock.json"])
    assert lock["digests"] == {"model": "ab12"}
    assert lock["candidate"] == TRIALS[3].record.candidate.digest
    assert "near: fused" in texts["README.md"]
    assert "mpsearch eval" in texts["README.md"]


def test_an_earlier_bundle_is_replaced_and_leaves_nothing_beside(tmp_path: Path) -> None:
    write(TRIALS[3], Made(), PROVENANCE, tmp_path / "out")
    write(TRIALS[4], Made(text="new"), PROVENANCE, tmp_path / "out")
    assert (tmp_path / "out" / "metafile.yaml").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_compiled_model_goes_along_and_is_replaced_with_its_bundle(tmp_path: Path) -> None:
    made = Made(blobs={"model.dlc": lambda path: path.write_bytes(b"dlc")})
    files = write(TRIALS[3], made, PROVENANCE, tmp_path / "out")
    assert files[0].read_bytes() == b"dlc"
    write(TRIALS[4], Made(), PROVENANCE, tmp_path / "out")
    assert not files[0].exists()


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match=r"holds other files \(thesis.tex\)"):
        write(TRIALS[3], Made(), PROVENANCE, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is not a folder"):
        write(TRIALS[3], Made(), PROVENANCE, tmp_path / "file")
    with pytest.raises(ConfigError, match="cannot be written"):
        write(TRIALS[3], Made(), PROVENANCE, tmp_path / "file" / "out")
