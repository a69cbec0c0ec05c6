"""What the ladder rejects could not have been on the front, whatever its margins allow the board to say."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpsearch.candidate import Candidate, DataType
from mpsearch.pareto.front import Trial, front
from mpsearch.pareto.limits import Limits
from mpsearch.record import PHOTOGRAPHS, Measured, Record, Rung, Score, Timing
from mpsearch.search import forecast
from mpsearch.search.ladder import Look, dominated

LIMITS = Limits(budget_ms=None)
_VALUES = st.floats(0.01, 100.0)
_RATIOS = st.floats(-0.5, 0.5).map(exp)


@dataclass(frozen=True)
class World:
    """Trials with what this computer said of each before its board was asked."""

    trials: tuple[Trial, ...]
    said_ms: dict[str, float]

    def look(self, candidate_ms: float, *, exact: bool = False) -> Look:
        return Look(PHOTOGRAPHS, score, exact, lambda c: self.said_ms.get(c.digest, candidate_ms), 0.25)

    def pairs(self) -> tuple[list[forecast.Pair], list[forecast.Pair]]:
        times = [(self.said_ms[t.record.candidate.digest], t.objectives[0]) for t in self.trials if t.objectives]
        return times, forecast.errors((t.record for t in self.trials), PHOTOGRAPHS)


def score(candidate: Candidate) -> Score:
    raise AssertionError("only its numbers are used here")


def measured(number: int, ms: float, error: float, *, missed: int = 0, here: float | None = None) -> Trial:
    own = Score(None, None, error, faces=20, missed=missed, extra=0)
    rung = {} if here is None else {PHOTOGRAPHS: Rung(here, missed, 0, 1.0)}
    candidate = Candidate(overrides=((f"unit{number}", DataType.INT16),))
    return Trial(number, Record(candidate, Measured(own, Timing((ms,), "board", "lab")), rungs=rung))


@st.composite
def worlds(draw: st.DrawFn, least: int = forecast.LEAST_PAIRS, missed: int = 0) -> World:
    trials, said = [], {}
    for number in range(draw(st.integers(least, 12))):
        ms, error = draw(_VALUES), draw(_VALUES)
        trial = measured(number, ms, error, missed=missed, here=error * draw(_RATIOS))
        trials.append(trial)
        said[trial.record.candidate.digest] = ms * draw(_RATIOS)
    return World(tuple(trials), said)


NEW = Candidate(overrides=(("new", DataType.INT16),))


def asked(world: World, ms: float, error: float, *, exact: bool = False) -> str:
    new = Score(None, None, error, faces=20, missed=0, extra=0)
    return dominated(world.look(ms, exact=exact), NEW, new, world.trials, LIMITS)


def margin(pairs: list[forecast.Pair]) -> float:
    """The largest log ratio of said to real that the forecast allows for."""
    return log(1.0 / forecast.lowest(1.0, pairs))


@settings(max_examples=300, deadline=None)
@given(worlds(), _VALUES, _VALUES, st.floats(0, 2), st.floats(0, 2))
def test_what_is_rejected_is_off_the_front_for_every_truth_within_the_margins(
    world: World, ms: float, error: float, off_ms: float, off_error: float
) -> None:
    if not asked(world, ms, error):
        return
    times, pairs = world.pairs()
    true_ms = ms / exp(margin(times) - off_ms)
    true_error = error / exp(margin(pairs) - off_error)
    new = measured(99, true_ms * (1 + 1e-12), true_error * (1 + 1e-12))
    assert new not in front((*world.trials, new))


@settings(deadline=None)
@given(worlds(), st.floats(1.5, 10), st.floats(1.5, 10))
def test_what_is_worse_than_a_trial_by_more_than_the_margins_is_rejected(
    world: World, more_ms: float, more: float
) -> None:
    times, pairs = world.pairs()
    ms, error = world.trials[0].objectives or (0.0, 0.0)
    assert asked(world, more_ms * ms * exp(margin(times)), more * error * exp(margin(pairs)))
    assert not asked(world, ms * exp(margin(times)) / 200000, more * error)


@settings(deadline=None)
@given(worlds())
def test_every_trial_of_the_front_would_have_been_let_through(world: World) -> None:
    for trial in front(world.trials):
        assert isinstance(trial.record.outcome, Measured)
        assert not asked(world, world.said_ms[trial.record.candidate.digest], trial.record.rungs[PHOTOGRAPHS].error)


@settings(deadline=None)
@given(worlds(least=1).filter(lambda world: len(world.trials) < forecast.LEAST_PAIRS), st.floats(1, 1e6))
def test_with_fewer_than_five_pairs_nothing_is_rejected(world: World, worse: float) -> None:
    assert not asked(world, 100 * worse, 100 * worse)


@settings(deadline=None)
@given(worlds(missed=5))
def test_trials_that_lose_faces_reject_nobody(world: World) -> None:
    assert not asked(world, 1e6, 1e6)


def test_where_the_look_is_the_score_errors_need_neither_pairs_nor_margin() -> None:
    trials = tuple(measured(number, 10.0 + number, 1.0) for number in range(6))
    world = World(trials, {trial.record.candidate.digest: 10.0 + trial.number for trial in trials})
    assert "trial 0 has 1 (" in asked(world, 12.0, 1.01, exact=True).replace("px2", "(")
    assert not asked(world, 12.0, 0.99, exact=True)
    assert not asked(world, 12.0, 1.01)


@pytest.mark.parametrize("count", [5, 20])
def test_the_forecast_is_below_the_most_favourable_pair_by_the_scatter(count: int) -> None:
    pairs = [(2.0 * 1.1 ** (index % 3 - 1), 1.0) for index in range(count)]
    assert forecast.lowest(2.2, pairs) < 1.0
    assert forecast.lowest(2.2, [(2.2, 1.0)] * count) == pytest.approx(1 / forecast.MARGIN)
    assert forecast.typical([(2.0, 1.0), (4.0, 1.0), (2.0, 1.0)]) == 0.5
