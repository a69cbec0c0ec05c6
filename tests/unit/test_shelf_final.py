"""The end of a study on two boards: what the faster one measures again is said as on the slower one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from mpsearch import config
from mpsearch.board.drift import Check
from mpsearch.board.shelf import REFERENCE, scale
from mpsearch.evaluate import Artifact, Board, Evaluator
from mpsearch.pareto.front import Trial
from mpsearch.pareto.limits import Limits
from mpsearch.record import Timing
from mpsearch.search import final
from mpsearch.testing.studies import small_study
from mpsearch.workbench import open_workbench


@dataclass(frozen=True)
class Paced:
    """A board whose times are the cost model's times ``factor``.

    Implements :class:`mpsearch.evaluate.Board`.
    """

    model: Board
    name: str
    factor: float

    def time(self, artifact: Artifact) -> Timing:
        ms = self.model.time(artifact).median_ms * 100 * self.factor
        look = str(Check(0.0, 20.0 * self.factor, None, 1.0, drifted=False))
        return Timing((ms,) * 9, "board", self.name, interval_ms=(ms, ms), conditions={REFERENCE: look})

    def close(self) -> None:
        pass


def test_what_is_measured_again_on_the_faster_board_is_said_as_on_the_slower_one(tmp_path: Path) -> None:
    bench = open_workbench(config.load(small_study(tmp_path)), cache=tmp_path / "cache")
    opened = bench.target
    fast, slow = Paced(bench.board, "a", 1.0), Paced(bench.board, "b", 1.25)
    on = {board.name: Evaluator(opened.toolchain, opened.executor, board, bench.scorer) for board in (fast, slow)}
    uniforms = bench.space.uniforms()[:4]
    records = [on["ab"[index % 2]].evaluate(candidate) for index, candidate in enumerate(uniforms)]
    pace = scale(records)
    trials = [Trial(number, pace.record(record)) for number, record in enumerate(records)]
    limits = Limits(max(trial.objectives[0] for trial in trials if trial.objectives is not None) * 1.001)
    found = final.conclude(
        replace(bench, board=fast, evaluator=on["a"]), trials, limits, lambda name: None, cache=tmp_path / "cache"
    )
    assert found is not None
    before = {trial.number: trial.objectives[0] for trial in trials if trial.objectives is not None}
    for number, timing in found.again.items():
        assert (timing.board, timing.scale) == ("a", pytest.approx(1.25))
        assert timing.median_ms == pytest.approx(before[number])
    first = found.lines(limits)[0]
    assert "(a's times 1.250, as on the slowest board)" in first
    assert f"{before[found.winner.number]:.3g}"[:3] in first
