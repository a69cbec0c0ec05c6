"""The front and its area against slow oracles."""

from __future__ import annotations

from math import log10

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpsearch.candidate import Candidate
from mpsearch.pareto.front import ERROR_FLOOR, Objectives, Trial, dominates, front, hypervolume
from mpsearch.pareto.limits import Limits
from mpsearch.pareto.pick import best, knee, nearest
from mpsearch.record import Failed, Measured, Record, Score, Timing

POINTS = st.lists(
    st.tuples(st.integers(1, 8).map(float), st.sampled_from([0.0, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0])), max_size=12
)


def trial(number: int, objectives: Objectives | None, *, missed: int = 0) -> Trial:
    if objectives is None:
        return Trial(number, Record(Candidate(), Failed("build", "CandidateError", "no")))
    latency_ms, error = objectives
    score = Score(error, error, error, faces=20, missed=missed, extra=0)
    return Trial(number, Record(Candidate(), Measured(score, Timing((latency_ms,), "simulated", "toy"))))


def trials(points: list[Objectives]) -> list[Trial]:
    return [trial(number, point) for number, point in enumerate(points)]


@given(POINTS)
def test_the_front_is_what_nothing_dominates(points: list[Objectives]) -> None:
    known = trials(points)
    slow = {
        t.number
        for t in known
        if not any(dominates(o.objectives, t.objectives) for o in known if o.objectives and t.objectives)
    }
    found = front(known)
    assert {t.number for t in found} == slow
    assert [t.objectives for t in found] == sorted(t.objectives for t in found if t.objectives)


@given(POINTS, st.randoms(use_true_random=False))
def test_the_front_does_not_depend_on_the_order(points: list[Objectives], draw: object) -> None:
    known = trials(points)
    mixed = list(known)
    draw.shuffle(mixed)  # type: ignore[attr-defined]
    assert front(mixed) == front(known)


@given(POINTS)
def test_failed_trials_are_on_no_front(points: list[Objectives]) -> None:
    known = trials(points)
    assert front([*known, trial(99, None)]) == front(known)


@given(POINTS)
def test_the_hypervolume_is_the_area_of_the_union_of_boxes(points: list[Objectives]) -> None:
    """Oracle: a grid of unit cells; all latencies are whole ms and all log errors whole decades."""
    reference = (7.0, 1000.0)
    cells = {
        (x, y)
        for latency_ms, error in points
        for x in range(round(latency_ms), 7)
        for y in range(round(log10(max(error, ERROR_FLOOR))), 3)
    }
    assert hypervolume(points, reference) == pytest.approx(len(cells))


@given(POINTS, st.tuples(st.integers(1, 8).map(float), st.sampled_from([0.1, 1.0, 10.0])))
def test_a_further_point_never_shrinks_the_hypervolume(points: list[Objectives], more: Objectives) -> None:
    reference = (7.0, 1000.0)
    assert hypervolume([*points, more], reference) >= hypervolume(points, reference) - 1e-12


@given(POINTS)
def test_the_best_within_the_budget_is_on_the_front_and_in_the_budget(points: list[Objectives]) -> None:
    known, limits = trials(points), Limits(budget_ms=4.0)
    found = best(known, limits)
    inside = [p for p in points if p[0] <= 4.0]
    assert (found is None) == (not inside)
    if found is not None and found.objectives is not None:
        assert found.objectives[1] == min(error for _, error in inside)
        assert found.objectives in {t.objectives for t in front(known)}


@given(POINTS)
def test_the_knee_is_on_the_front(points: list[Objectives]) -> None:
    found = knee(trials(points))
    assert (found is None) == (not points)
    assert found is None or found.objectives in {t.objectives for t in front(trials(points))}


@given(POINTS.filter(bool), st.integers(0, 20))
def test_a_trial_is_feasible_exactly_when_it_violates_nothing(points: list[Objectives], missed: int) -> None:
    limits = Limits(budget_ms=4.0, missed=0.1)
    one = trial(0, points[0], missed=missed)
    assert limits.feasible(one.record) == (points[0][0] <= 4.0 and missed <= 2)
    assert set(limits.violations(one.record)) == set(limits.violations(trial(1, None).record))
    assert nearest([one, trial(1, None)], limits) == one
