"""The sample-efficiency benchmark: its tables, and what its report calls reached."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from mpsearch.errors import DataError

MADE_OF = {"network": "small", "base": "uint8", "types": ["int16"]}
ROWS = {(0, 0): [10.0, 4.0, 4.5, -1, -1], (1, 1): [14.0, 1.0, 1.5, -1, -1]}
PRIOR = {
    "unit_ms": np.array([[3.0, 5.0], [3.0, 5.0]]), "fixed_ms": 1.0, "edges": np.array([[-1, 0], [0, 1]]),
    "edge_ms": np.zeros((2, 2, 2)), "photographs": 20, "few": 2, "faces": 30,
}  # fmt: skip


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch, root: Path) -> Any:
    monkeypatch.syspath_prepend(str(root / "benchmarks"))

    def load(name: str) -> ModuleType:
        return importlib.import_module(f"efficiency.{name}")

    return load


@pytest.fixture
def packed(part: Any, tmp_path: Path) -> Path:
    path = tmp_path / "small_units.npz"
    part("lines").pack(path, ROWS, MADE_OF, **PRIOR)
    return path


def test_what_is_packed_comes_back(part: Any, packed: Path) -> None:
    assert part("lines").unpack(packed, MADE_OF) == ROWS


def test_rows_of_something_else_are_refused(part: Any, packed: Path) -> None:
    with pytest.raises(SystemExit, match="other types"):
        part("lines").unpack(packed, {**MADE_OF, "types": ["float16"]})


def test_a_line_that_a_kill_cut_off_is_left_out(part: Any, tmp_path: Path) -> None:
    path = tmp_path / "some.jsonl"
    store = part("lines").Store(path, MADE_OF)
    store.add((0, 1), [1.0, 2.0, 3.0, -1, -1])
    with path.open("a") as out:
        out.write("[[1, 1], [1.0, 2.")
    assert part("lines").read(path, MADE_OF) == {(0, 1): [1.0, 2.0, 3.0, -1, -1]}


def test_lines_recorded_since_belong_to_an_incomplete_table(part: Any, packed: Path) -> None:
    part("lines").Store(packed.with_suffix(".jsonl"), MADE_OF).add((0, 1), [12.0, 3.0, 3.5, -1, -1])
    table = part("table").Table(packed)
    assert not table.complete
    assert list(table[0, 1]) == [12.0, 3.0, 3.5, -1, -1]


def test_an_assignment_that_was_never_measured_says_what_to_set(
    part: Any, packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MPSEARCH_SHARED", raising=False)
    with pytest.raises(DataError, match=r"small_units\.npz") as caught:
        part("table").Table(packed)[1, 0]
    assert "MPSEARCH_SHARED" in str(caught.value.hint)


def test_committed_tables_have_their_groups_in_the_networks_order(root: Path) -> None:
    """Tail splits and the edges of the prior depend on it."""
    paths = sorted((root / "benchmarks" / "oracles").glob("*.npz"))
    assert paths
    for path in paths:
        with np.load(path) as data:
            names = list(json.loads(str(data["made_of"]))["groups"])
            heads = [name.startswith("head") for name in names]
            assert heads == sorted(heads), path.name
            assert path.stat().st_size < 300_000


def test_a_complete_table_holds_every_assignment_once(part: Any, root: Path) -> None:
    table = part("table").Table(root / "benchmarks" / "oracles" / "yolov5n_3x8.npz")
    assert table.complete
    assert len(table.known) == 3**8


def run(volumes: list[float], regret: float = 0.0, seeds: int = 3) -> dict[str, Any]:
    return {"volume": volumes, "regret": [regret] * len(volumes), "seconds": 1.0, "true": [2.0, 1.0]}


def goals_of(part: Any, capsys: pytest.CaptureFixture[str], **curves: list[float]) -> str:
    names = {"greedy": "greedy forward"}
    rows = {("w", names.get(m, m), 0, len(v)): run(v) for m, v in curves.items()}
    found = part("report").gather(rows, "w", [key[1] for key in rows], 1, len(next(iter(curves.values()))))
    part("report").goals({"w": found})
    return capsys.readouterr().out.splitlines()[-1]


def test_three_times_fewer_evaluations_than_the_best_sampler_is_reached(
    part: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    said = goals_of(part, capsys, guided=[0.0, 1.0] + [1.0] * 8, TPE=[0.0] * 5 + [1.0] * 5, GP=[0.0] * 10)
    assert "2, 6 (TPE): 3.0" in said
    assert "missed" not in said


def test_a_simple_method_that_leads_is_named_with_the_evaluation(part: Any, capsys: pytest.CaptureFixture[str]) -> None:
    said = goals_of(part, capsys, guided=[0.0, 0.5, 1.0], greedy=[0.0, 0.9, 1.0])
    assert "**missed** 0.400 (greedy forward at 2)" in said


def test_a_sampler_that_never_arrives_in_a_short_run_leaves_the_question_open(
    part: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "open: 3, > 4" in goals_of(part, capsys, guided=[0.0, 0.0, 1.0, 1.0], TPE=[0.0] * 4)


def test_a_run_that_passed_the_lower_bound_becomes_the_measure(part: Any) -> None:
    rows = {("w", "a", 0, 2): run([0.5, 1.25]), ("w", "b", 0, 2): run([0.5, 1.0])}
    found = part("report").against_all(rows)
    assert found["w", "a", 0, 2]["volume"] == pytest.approx([0.4, 1.0])
    assert found["w", "b", 0, 2]["volume"] == pytest.approx([0.4, 0.8])
