"""The end of a search: measured again in turns, compared in pairs, and said in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpsearch.board.camera import WithCamera
from mpsearch.board.measure import Lengthens, Plan
from mpsearch.candidate import Candidate, DataType
from mpsearch.device.board import DeviceBoard
from mpsearch.device.lease import Lease
from mpsearch.device.snpe.board import SnpeBoard
from mpsearch.device.snpe.commands import How
from mpsearch.device.work import Device
from mpsearch.errors import CandidateError
from mpsearch.evaluate import Artifact
from mpsearch.pareto.front import Trial
from mpsearch.pareto.limits import Limits
from mpsearch.record import Measured, Record, Score, Timing
from mpsearch.search import final
from mpsearch.search.guided.context import PlainPrior
from mpsearch.space.load import load
from mpsearch.testing.toy import ToyEvaluator, toy_graph
from mpsearch.transport.local import LocalTransport

LIMITS = Limits(budget_ms=33.0)


GRAPH = toy_graph(body=6)


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


def test_means_are_not_called_runs_for_they_hide_the_late_ones() -> None:
    means = Timing((0.224, 0.225, 0.227), "board", "b", interval_ms=(0.2241, 0.2268), mean_s=2.0)
    (text,) = final.Final(WINNER, WINNER, {7: means}, None).lines(Limits(budget_ms=0.226))
    assert "0.2250 ms, 95 % interval 0.2241 to 0.2268, 3 means over 2 s, 1 over 0.226 ms;" in text
    (text,) = final.Final(WINNER, WINNER, {7: means}, None).lines(Limits(budget_ms=0.23))
    assert "3 means over 2 s, none over 0.23 ms;" in text
    assert "runs" not in text


def test_who_wins_by_the_new_timings_is_said_with_the_reason() -> None:
    other = Trial(9, record(33.5, [1.0] * 40, Candidate("uint8")))
    late, early = Timing((34.0,), "board", "b"), Timing((32.0,), "board", "b")
    *_, text = final.Final(other, WINNER, {7: early, 9: early}, None).lines(LIMITS)
    assert text == "trial 7 was the best before that; trial 9 is within the budget now"
    *_, text = final.Final(other, WINNER, {7: late, 9: early}, None).lines(LIMITS)
    assert text == "trial 7 was the best before that; it is not within the budget any more"


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


class Means(Turns):
    """A board whose timings are of seven means over two seconds each, by a clock of its own."""

    now_s = 0.0

    def time(self, artifact: Artifact) -> Timing:
        self.now_s += 7 * 2.6
        return replace(super().time(artifact), samples_ms=(0.2,) * 7, mean_s=2.0)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_board_of_means_takes_no_longer_than_a_minute_each(count: int) -> None:
    board = Means()
    assert not isinstance(board, Lengthens)
    artifacts = {number: artifact("uint8") for number in range(count)}
    found = final.remeasure(board, artifacts, clock=lambda: board.now_s)
    assert 30 * count < board.now_s <= 60 * count
    assert {len(timing.samples_ms) for timing in found.values()} == {21}
    assert {timing.mean_s for timing in found.values()} == {2.0}


def test_a_minute_of_means_is_enough_where_they_come_faster_than_they_last() -> None:
    found = final.remeasure(Means(), {1: artifact("uint8")}, clock=lambda: 0.0)
    assert len(found[1].samples_ms) == 35  # the first whole turn with thirty


def test_neighbours_are_those_beside_the_winner_and_not_far_over_the_budget() -> None:
    points = [(20.0, 9.0), (28.0, 3.0), (32.9, 2.0), (33.5, 1.0), (50.0, 0.5)]
    trials = [Trial(i, record(ms, [error] * 4)) for i, (ms, error) in enumerate(points)]
    assert [t.number for t in final.neighbours(trials, trials[2], LIMITS)] == [1, 3]
    assert [t.number for t in final.neighbours(trials, trials[3], Limits(34.0))] == [2]


def test_tails_are_those_expected_as_fast_with_the_most_work_in_wide_types_first() -> None:
    space = load("synap_int8_int16", GRAPH)
    prior = PlainPrior(GRAPH)
    winner = space.tails()[len(space.tails()) // 2]
    found = final.tails_within(space, prior, winner)
    assert found
    end = final.expected_ms(prior, space, winner)
    assert all(final.expected_ms(prior, space, tail) <= end * 1.001 for tail in found)
    assert winner in space.tails()


@settings(max_examples=20, deadline=None)
@given(known=st.sets(st.integers(0, 9)), kinds=st.integers(1, 10))
def test_no_tail_is_evaluated_of_which_a_twin_is_known_or_was_evaluated(known: set[int], kinds: int) -> None:
    tails = load("synap_int8_int16", GRAPH).tails()[:10]
    named = {tail.digest: f"twin {number % kinds}" for number, tail in enumerate(tails)}
    evaluator = ToyEvaluator(GRAPH)
    stored = {named[tails[number].digest]: Trial(number, evaluator.evaluate(tails[number])) for number in known}
    evaluator.calls.clear()
    found = final.outcomes(tails, stored.get, lambda tail: named[tail.digest], evaluator)
    assert len(found) == len(set(named.values()))
    fresh = [named[candidate.digest] for candidate in evaluator.calls]
    assert sorted(fresh) == sorted(set(named.values()) - set(stored))


def test_the_best_tail_keeps_latency_and_limits() -> None:
    slow, good, bad = record(40.0, [0.1] * 4), record(20.0, [1.0] * 4), record(20.0, [2.0] * 4)
    assert final.best_tail([slow, good, bad], 30.0, LIMITS) is good
    assert final.best_tail([slow], 30.0, LIMITS) is None


def test_only_a_board_that_times_single_runs_makes_more_of_them(tmp_path: Path) -> None:
    device = Device("b", LocalTransport(), str(tmp_path), Lease(LocalTransport(), str(tmp_path), 1.0, print))
    longer = DeviceBoard(device, plan=Plan(least=15, most=60)).lengthened(200)
    assert (longer.plan.least, longer.plan.most) == (200, 200)
    assert longer.lengthened(100).plan == longer.plan
    means = SnpeBoard(device, How(), lambda: np.zeros((1, 3, 8, 8), np.float32))
    assert not isinstance(means, Lengthens)


def test_a_camera_in_front_of_a_board_changes_nothing_about_that() -> None:
    plain = WithCamera(Turns(), cpu_ms=1.0, overlaps=False)
    assert plain.lengthened(200) is plain
    longer = WithCamera(Longer(), cpu_ms=1.0, overlaps=False).lengthened(200)
    assert longer.time(artifact("uint8")).samples_ms == (201.0,)


class Longer(Turns):
    """Its samples say how many runs it was asked for."""

    def __init__(self, runs: int = 1) -> None:
        super().__init__()
        self._runs = runs

    def time(self, artifact: Artifact) -> Timing:
        return Timing((float(self._runs),), "board", "b")

    def lengthened(self, runs: int) -> Longer:
        return Longer(runs)
