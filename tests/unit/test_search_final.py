"""The end of a search: measured again in turns, compared in pairs, and said in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest

from mpsearch.board.measure import Plan
from mpsearch.candidate import Candidate, DataType
from mpsearch.errors import CandidateError
from mpsearch.evaluate import Artifact
from mpsearch.pareto.front import Trial
from mpsearch.pareto.limits import Limits
from mpsearch.record import Measured, Record, Score, Timing
from mpsearch.search import final
from mpsearch.search.guided.context import PlainPrior
from mpsearch.space.load import load
from mpsearch.testing.toy import toy_graph

LIMITS = Limits(budget_ms=33.0)


def record(latency_ms: float, errors: list[float], candidate: Candidate | None = None, source: str = "board") -> Record:
    mean = float(np.mean(errors))
    score = Score(mean, mean, mean, faces=40, missed=0, extra=0, per_image=tuple(errors))
    return Record(candidate or Candidate(), Measured(score, Timing((latency_ms,), source, "b")))


WINNER = Trial(7, record(28.4, [1.3 + 0.001 * i for i in range(40)], Candidate("int16")))
TAIL = record(28.0, [2.1 + 0.001 * i for i in range(40)])
SAMPLES = tuple([28.2] * 100 + [28.4] * 800 + [28.6] * 97 + [34.0] * 3)


def again(samples: tuple[float, ...] = SAMPLES) -> Timing:
    return Timing(samples, "board", "b", interval_ms=(28.2, 28.6))


def test_the_sentence_says_latency_with_interval_late_runs_error_tail_and_test() -> None:
    (text,) = final.Final(WINNER, WINNER, {7: again()}, TAIL).lines(LIMITS)
    assert text.startswith("trial 7: 28.40 ms, 95 % interval 28.20 to 28.60, 3 of 1000 runs over 33 ms; ")
    assert "landmark error" in text
    assert "better than the best tail at that latency (2.12 px2), p = " in text
    assert text.endswith("over 40 photographs (Wilcoxon signed-rank test of pairs)")


def test_a_simulated_latency_is_said_to_have_no_interval() -> None:
    winner = Trial(1, record(28.4, [1.0] * 40, Candidate("int16"), "simulated"))
    (text,) = final.Final(winner, winner, {}, None).lines(LIMITS)
    assert "simulated by a cost model, so without an interval" in text
    assert "95 %" not in text
    assert text.endswith("no tail split is as fast")


def test_what_the_test_cannot_tell_apart_is_not_called_better() -> None:
    rng = np.random.default_rng(0)
    errors = list(rng.lognormal(size=40))
    rival = record(28.0, list(rng.permutation(errors)))
    (text,) = final.Final(Trial(1, record(28.4, errors, Candidate("int16"))), WINNER, {}, rival).lines(LIMITS)[:1]
    assert "not clearly different" in text
    assert "better" not in text


class Turns:
    """A board whose times grow with each call; candidates in ``broken`` fail."""

    def __init__(self, broken: str = "") -> None:
        self.order: list[str] = []
        self._broken = broken

    def time(self, artifact: Artifact) -> Timing:
        base = artifact.candidate.base
        self.order.append(base)
        if base == self._broken:
            raise CandidateError("does not run", stage="time")
        return Timing(tuple(10.0 + len(self.order) + i / 10 for i in range(10)), "board", "b", correction=2.0)

    def close(self) -> None:
        """Nothing is held."""


def artifact(base: str) -> Artifact:
    return Artifact(Candidate(base), {"conv0": DataType.UINT8})


def ticks() -> Iterator[float]:
    now = 0.0
    while True:
        yield now
        now += 1.0


def test_all_are_timed_in_turns_until_each_has_its_runs() -> None:
    board = Turns()
    found = final.remeasure(board, {1: artifact("uint8"), 2: artifact("int16")}, runs=40)
    assert board.order == ["uint8", "int16", "int16", "uint8"] * 2
    assert [len(timing.samples_ms) for timing in found.values()] == [40, 40]
    assert found[1].samples_ms[0] == pytest.approx(2 * 11.0)
    assert found[1].correction == 1.0
    assert found[1].interval_ms is not None


def test_the_time_ends_it_after_one_round_at_least_and_what_fails_is_left_out() -> None:
    clock = ticks()
    board = Turns(broken="int16")
    found = final.remeasure(
        board, {1: artifact("uint8"), 2: artifact("int16")}, runs=10_000, limit_s=3.0, clock=lambda: next(clock)
    )
    assert list(found) == [1]
    assert 10 <= len(found[1].samples_ms) <= 40


def test_neighbours_are_those_beside_the_winner_and_not_far_over_the_budget() -> None:
    points = [(20.0, 9.0), (28.0, 3.0), (32.9, 2.0), (33.5, 1.0), (50.0, 0.5)]
    trials = [Trial(i, record(ms, [error] * 4)) for i, (ms, error) in enumerate(points)]
    assert [t.number for t in final.neighbours(trials, trials[2], LIMITS)] == [1, 3]
    assert [t.number for t in final.neighbours(trials, trials[3], Limits(34.0))] == [2]


def test_tails_are_those_expected_as_fast_with_the_most_work_in_wide_types_first() -> None:
    graph = toy_graph(body=6)
    space = load("synap_int8_int16", graph)
    prior = PlainPrior(graph)
    winner = space.tails()[len(space.tails()) // 2]
    found = final.tails_within(space, prior, winner)
    assert found
    end = final.expected_ms(prior, space, winner)
    assert all(final.expected_ms(prior, space, tail) <= end * 1.001 for tail in found)
    assert winner in space.tails()


def test_the_best_tail_keeps_latency_and_limits() -> None:
    slow, good, bad = record(40.0, [0.1] * 4), record(20.0, [1.0] * 4), record(20.0, [2.0] * 4)
    assert final.best_tail([slow, good, bad], 30.0, LIMITS) is good
    assert final.best_tail([slow], 30.0, LIMITS) is None


@dataclass
class Planned(Turns):
    """A board that shows its plan."""

    plan: Plan = field(default_factory=lambda: Plan(least=15, most=60))

    def __post_init__(self) -> None:
        super().__init__()


def test_a_board_with_a_plan_makes_more_runs_a_turn_and_any_other_stays_as_it_is() -> None:
    longer = final.patient(Planned(), runs=1000)
    assert isinstance(longer, Planned)
    assert (longer.plan.least, longer.plan.most) == (200, 200)
    plain = Turns()
    assert final.patient(plain) is plain
