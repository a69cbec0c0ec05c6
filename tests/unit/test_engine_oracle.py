"""The oracle recorded from the vendor's engine: what a line says, and what a search sees of it."""

from __future__ import annotations

import importlib
import math
import sys
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from mpsearch.candidate import Candidate
from mpsearch.record import Failed, Measured, Record, Score, Timing

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
GROUPS = 3
BROKEN = (0, 1, 1)
FACES = np.array([0, 2, 1, 1, 0, 1, 3])
"""Of each photograph: the first four with faces are 1, 2, 3 and 5."""


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS / "oracles"))
    monkeypatch.setattr(sys, "path", [*sys.path])  # the script adds to it
    return importlib.import_module("record_engine")


def measured() -> Record:
    errors = (None, 1.0, 2.0, 3.0, None, 4.0, 100.0)
    score = Score(50.0, 50.0, 50.0, faces=8, missed=1, extra=2, per_image=errors)
    return Record(Candidate("uint8"), Measured(score, Timing((5.0,), "simulated", "vs680")))


@pytest.fixture
def oracle(recorder: ModuleType, tmp_path: Path) -> Path:
    """Three groups in a chain; wider groups cost 1, 2 and 3 ms and divide the error by 2, 3 and 5."""
    rows = {}
    for chosen in product((0, 1), repeat=GROUPS):
        error = 90.0 / math.prod(factor for factor, wide in zip((2, 3, 5), chosen, strict=True) if wide)
        latency_ms = 10.0 + sum(ms for ms, wide in zip((1, 2, 3), chosen, strict=True) if wide)
        rows[chosen] = [latency_ms, error, error + 1, 0, 0, error + 2]
    rows[BROKEN] = recorder.row_of(
        Record(Candidate("uint8"), Failed("build", "CandidateError", "refused")), 15.0, 7.0, FACES
    )
    known: dict[str, Any] = {
        "unit_ms": np.array([[3.0, 4.0], [3.0, 5.0], [3.0, 6.0]]), "fixed_ms": 1.0,
        "edges": np.array([[-1, 0], [0, 1], [1, 2]]), "edge_ms": np.zeros((3, 2, 2)), "photographs": 16, "few": 4,
        "faces": 8,
    }  # fmt: skip
    path = tmp_path / "small_engine_2x3.npz"
    made_of = {"network": "small", "base": "uint8", "types": ["int16"], "engine": "6.33.0", "compiled": False}
    recorder.pack(path, rows, made_of, known)
    return path


def test_a_line_has_the_engines_error_and_the_simulators_few(recorder: ModuleType) -> None:
    latency_ms, error, few, missed, extra, engine_few = recorder.row_of(measured(), 12.0, 9.0, FACES)
    assert (latency_ms, error, few, missed, extra) == (12.0, 50.0, 9.0, 1, 2)
    assert engine_few == pytest.approx((2 * 1.0 + 2.0 + 3.0 + 4.0) / 5)  # each face counts, the fifth photograph not


def test_a_failure_is_a_line_without_an_error(recorder: ModuleType) -> None:
    failed = Record(Candidate("uint8"), Failed("build", "CandidateError", "refused"))
    latency_ms, error, few, missed, extra, engine_few = recorder.row_of(failed, 12.0, None, FACES)
    assert (latency_ms, missed, extra) == (12.0, -1, -1)
    assert all(map(math.isnan, (error, few, engine_few)))


def test_a_search_meets_failures_as_failures_and_the_rest_as_recorded(oracle: Path) -> None:
    worlds = importlib.import_module("efficiency.worlds")
    world = worlds.recorded(oracle, 1.4, spread=0.0, seed=0)
    assert world.value(BROKEN) is None
    assert isinstance(world.record(BROKEN, np.random.default_rng(0), 0).outcome, Failed)
    assert world.truth.cheap_px2(BROKEN) == 7.0
    assert world.value((0, 0, 1))[1] == pytest.approx(18.0)
    assert world.truth.cheap_px2((0, 0, 1)) == pytest.approx(19.0)
    assert world.cheap_cost == 0.25
    within = [world.value(c) for c in product((0, 1), repeat=GROUPS) if c != BROKEN]
    assert world.best[1] == min(error for ms, error in within if ms <= world.budget_ms)


@pytest.mark.parametrize("method", ["random", "TPE", "ILP", "guided"])
def test_every_method_goes_on_after_a_failure(oracle: Path, method: str) -> None:
    worlds, methods = (importlib.import_module(f"efficiency.{name}") for name in ("worlds", "methods"))
    session = methods.run(worlds.recorded(oracle, 2.0, seed=0), method, 0, 2**GROUPS)
    after = session.visited[session.visited.index(None) + 1 :] if None in session.visited else session.visited
    assert session.visited.count(None) <= 1
    assert after
    assert len(session.visited) >= 2**GROUPS - 2  # one-shot programming ends when no other solution fits


def test_the_engines_own_few_photographs_stand_beside_the_simulators(oracle: Path) -> None:
    with np.load(oracle) as data:
        good = ~np.isnan(data["error_px2"])
        assert good.sum() == 2**GROUPS - 1
        np.testing.assert_allclose(data["engine_few_px2"][good], data["few_px2"][good] + 1)
        assert data["missed"][~good].tolist() == [-1]
