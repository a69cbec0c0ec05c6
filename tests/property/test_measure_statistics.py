"""How long to measure, how sure to be, and what frames make of it."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpsearch.board import frames, measure, stats
from mpsearch.board.drift import DriftWatch
from mpsearch.board.measure import Plan
from mpsearch.errors import ConfigError
from mpsearch.record import Timing

times = st.floats(0.01, 1000)
samples = st.lists(times, min_size=1, max_size=200)


class Clock:
    """Seconds that pass only when something runs."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def running(self, *series: float, scale: Callable[[], float] = lambda: 1.0) -> Callable[[], float]:
        """A run that takes the series' milliseconds one after another, again and again."""
        source = itertools.cycle(series)

        def run() -> float:
            ms = next(source) * scale()
            self.now_s += ms / 1e3
            return ms

        return run


@given(samples)
def test_an_interval_holds_the_samples_own_median_and_lies_within_them(found: list[float]) -> None:
    interval = stats.median_interval(found)
    if len(found) < 6:
        assert interval is None
        return
    assert interval is not None
    assert min(found) <= interval[0] <= median(found) <= interval[1] <= max(found)


@pytest.mark.parametrize(("count", "rank"), [(6, 1), (8, 1), (9, 2), (15, 4), (20, 6), (50, 18), (100, 40)])
def test_the_interval_is_the_one_of_the_tables(count: int, rank: int) -> None:
    # Conover, Practical Nonparametric Statistics: ranks for n, 95 %.
    assert stats.median_interval(list(range(1, count + 1))) == (rank, count + 1 - rank)


def test_the_interval_covers_the_true_median_as_often_as_it_says() -> None:
    rng = random.Random(5)
    held = 0
    for _ in range(1000):
        low, high = stats.median_interval([rng.lognormvariate(0, 0.5) for _ in range(25)]) or (0, 0)
        held += low <= 1 <= high
    assert 0.94 <= held / 1000 <= 0.99


@given(st.lists(times, min_size=1, max_size=30), st.integers(0, 8), st.integers(1, 20), st.integers(0, 60))
def test_a_plan_is_kept(series: list[float], warm_up: int, least: int, more: int) -> None:
    clock, plan = Clock(), Plan(warm_up, 0.05, least, least + more, limit_s=5)
    found = measure.measure(clock.running(*series), plan, clock=clock)
    assert len(found.warm_up_ms) == warm_up
    assert least <= len(found.ms) <= least + more
    expected = list(itertools.islice(itertools.cycle(series), warm_up + len(found.ms)))
    assert [*found.warm_up_ms, *found.ms] == expected
    if found.stopped == "narrow":
        assert stats.relative_width(found.ms) <= plan.width
    elif found.stopped == "time":
        assert clock() >= plan.limit_s
    else:
        assert len(found.ms) == plan.most
    if len(found.ms) > least:  # it did not go on although it could have stopped
        assert stats.relative_width(found.ms[:-1]) > plan.width


def test_a_slow_first_run_is_dropped_and_a_steady_device_is_timed_briefly() -> None:
    clock = Clock()
    series = [50.0, 40.0, *[10.0] * 500]
    found = measure.measure(clock.running(*series), Plan(warm_up=2), clock=clock)
    assert (found.median_ms, found.interval_ms, len(found.ms), found.stopped) == (10, (10, 10), 15, "narrow")


@pytest.mark.parametrize(
    "values", [{"least": 0}, {"least": 9, "most": 8}, {"warm_up": -1}, {"width": 0}, {"limit_s": 0}]
)
def test_a_plan_that_cannot_be_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="measuring"):
        Plan(**values)  # type: ignore[arg-type]


def noisy(seed: int, ms: float, drift: Callable[[], float] = lambda: 1.0) -> Callable[[], float]:
    rng = random.Random(seed)
    return lambda: ms * rng.lognormvariate(0, 0.05) * drift()


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from((0.8, 0.9, 1.1, 1.3)))
def test_the_faster_of_two_is_found_although_the_device_slows_down(seed: int, ratio: float) -> None:
    runs = itertools.count()

    def slowing() -> float:
        return 1 + next(runs) / 200

    verdict = measure.compare(
        noisy(seed, 10, slowing), noisy(seed + 1, 10 * ratio, slowing), Plan(most=200, limit_s=1e6)
    )
    assert verdict.faster == ("second" if ratio < 1 else "first")
    assert verdict.ratio == pytest.approx(ratio, rel=0.05)


def test_equals_are_rarely_told_apart() -> None:
    plan = Plan(width=0.03, most=100, limit_s=1e6)
    told = sum(measure.compare(noisy(2 * s, 10), noisy(2 * s + 1, 10), plan).faster != "neither" for s in range(200))
    assert told / 200 < 0.09


def test_swapping_the_two_swaps_the_verdict() -> None:
    a, b = Clock(), Clock()
    one = measure.compare(a.running(1.0, 1.1), a.running(2.0, 2.1), Plan(), clock=a)
    other = measure.compare(b.running(2.0, 2.1), b.running(1.0, 1.1), Plan(), clock=b)
    assert (one.faster, other.faster) == ("first", "second")
    assert one.ratio == pytest.approx(1 / other.ratio, rel=0.05)


def test_a_steady_reference_needs_no_correction_and_is_not_asked_all_the_time() -> None:
    clock = Clock()
    watch = DriftWatch(clock.running(10.0, 10.1, 9.9), every_s=60, clock=clock)
    first = watch.check()
    assert watch.check() is first
    clock.now_s += 61
    assert watch.check() is not first
    assert all((check.correction, check.drifted) == (1.0, False) for check in watch.checks)


@given(st.floats(1.1, 3))
def test_throttling_is_noticed_and_taken_out(factor: float) -> None:
    clock, speed = Clock(), [1.0]
    watch = DriftWatch(clock.running(10.0, 10.1, 9.9, scale=lambda: speed[0]), clock=clock)
    watch.check()
    speed[0] = factor
    check = watch.check(now=True)
    assert check.drifted
    assert check.correction * factor == pytest.approx(1, rel=0.02)
    assert f"{check.correction:.3f}" in str(check)


def test_noise_is_not_taken_for_drift() -> None:
    clock = Clock()
    watch = DriftWatch(clock.running(10.0, 30.0, 11.0, 9.0, 14.0, 12.5, 10.5), tolerance=0.001, clock=clock)
    watch.check()
    assert not watch.check(now=True).drifted


@given(st.floats(0.1, 1e4), st.floats(0.5, 240))
def test_the_frames_that_a_latency_allows_are_the_most_that_fit(latency_ms: float, fps: float) -> None:
    found = frames.arithmetic(latency_ms, fps)
    frame_ms = frames.budget_ms(fps)
    assert latency_ms <= found.every * frame_ms * (1 + 1e-9)
    assert found.every == 1 or latency_ms > (found.every - 1) * frame_ms * (1 - 1e-9)
    assert found.spare_ms >= 0


@given(st.floats(0.5, 240), st.integers(1, 10))
def test_a_budget_in_frames_and_one_in_milliseconds_are_the_same(fps: float, every: int) -> None:
    assert frames.budget_fps(frames.budget_ms(fps)) == pytest.approx(fps)
    assert frames.budget_ms(fps, every=every) == pytest.approx(every * frames.budget_ms(fps))


def test_the_outcome_says_what_every_other_frame_would_allow() -> None:
    assert "66 ms would be allowed" in frames.sentence(30, 33)
    assert "fits one frame in 3" in frames.sentence(80, 33)
    assert frames.arithmetic(1000 / 30, 30).every == 1


@given(times, times)
def test_overlap_helps_at_most_by_the_shorter_of_the_two(npu: float, cpu: float) -> None:
    alone, together = (frames.preprocessing_ms(npu, cpu, overlaps=o) for o in (False, True))
    assert alone - together == pytest.approx(min(npu, cpu))


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_no_frame_arithmetic_on_what_is_no_time(value: float) -> None:
    for call in (frames.budget_fps, frames.budget_ms, lambda v: frames.arithmetic(v, 30)):
        with pytest.raises(ValueError, match="positive and finite"):
            call(value)


@given(samples)
def test_a_budget_may_be_on_the_median_or_a_percentile(found: list[float]) -> None:
    timing = Timing(tuple(found), "host", "b")
    assert stats.reading_ms(timing) == timing.median_ms
    assert stats.reading_ms(timing, "p95") == timing.percentile_ms(0.95)
    assert stats.reading_ms(timing, "p100") == max(found)


@pytest.mark.parametrize("at", ["mean", "p0", "p101", "p", "95", ""])
def test_any_other_reading_is_refused(at: str) -> None:
    with pytest.raises(ConfigError, match="the median or a percentile"):
        stats.reading_ms(Timing((1.0,), "host", "b"), at)
