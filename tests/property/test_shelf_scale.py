"""Several boards of one kind: their ratio by a reference, the scale of the slowest, and what the trials say beyond."""

from __future__ import annotations

import random
from dataclasses import replace

import optuna
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mpsearch.board import drift, shelf
from mpsearch.board.drift import Check
from mpsearch.candidate import Candidate
from mpsearch.pareto.limits import Limits
from mpsearch.pareto.table import rows
from mpsearch.record import Failed, Measured, Record, Timing
from mpsearch.search.guided import Context, GuidedSampler, seeds
from mpsearch.search.guided.engine import Engine
from mpsearch.space.load import load
from mpsearch.study.ledger import Ledger
from mpsearch.study.run import StudyRun
from mpsearch.testing.toy import ToyEvaluator, toy_graph

GRAPH = toy_graph(body=6)
SPACE = load("synap_int8_int16", GRAPH)
REFERENCE_MS = 20.0
FACTORS = st.floats(0.5, 2.0)
NAMES = ("a", "b", "c")


def look(ms: float, ratio: float = 1.0) -> str:
    return str(Check(0.0, ms, None, ratio, drifted=ratio != 1.0))


class Boards:
    """Toy evaluations that go round several boards.

    Args:
        factors: board -> its times over those of the toy.
        beyond: board -> what its reference does not tell.
    """

    def __init__(
        self, factors: dict[str, float], *, noise: float = 0.0, beyond: dict[str, float] | None = None
    ) -> None:
        self._factors, self._noise, self._beyond = factors, noise, beyond or {}
        self._toy, self._random, self._count = ToyEvaluator(GRAPH), random.Random(1), 0

    def evaluate(self, candidate: Candidate) -> Record:
        record = self._toy.evaluate(candidate)
        assert isinstance(record.outcome, Measured)
        board = list(self._factors)[self._count % len(self._factors)]
        self._count += 1
        ms = record.outcome.timing.median_ms * self._factors[board] * (1 + self._beyond.get(board, 0.0))
        ms *= 1 + self._random.gauss(0, self._noise)
        said = look(REFERENCE_MS * self._factors[board] * (1 + self._random.gauss(0, self._noise)))
        timing = Timing((ms,), "board", board, conditions={shelf.REFERENCE: said})
        return replace(record, outcome=replace(record.outcome, timing=timing))


def some(boards: Boards, count: int) -> list[Record]:
    draw = random.Random(2)
    found: dict[str, Candidate] = {c.digest: c for c in SPACE.uniforms()}
    while len(found) < count:
        candidate = SPACE.at({name: draw.choice(choices) for name, choices in SPACE.dimensions.items()})
        found.setdefault(candidate.digest, candidate)
    return [boards.evaluate(candidate) for candidate in list(found.values())[:count]]


def timing_of(record: Record) -> Timing:
    assert isinstance(record.outcome, Measured)
    return record.outcome.timing


@given(ms=st.floats(0.5, 500), ratio=st.floats(0.5, 2.0).filter(lambda ratio: abs(ratio - 1) > 0.03))
def test_a_look_at_the_reference_is_read_back_corrected_as_the_timings_beside_it(ms: float, ratio: float) -> None:
    assert drift.reading_ms(look(ms)) == pytest.approx(ms, abs=6e-4)
    assert drift.reading_ms(look(ms, ratio)) == pytest.approx(ms / ratio, rel=3e-3)


@pytest.mark.parametrize("said", ["", "not watched", "not watched: refused", "reference ms"])
def test_words_without_a_reference_are_no_look(said: str) -> None:
    assert drift.reading_ms(said) is None


@given(factors=st.lists(FACTORS, min_size=2, max_size=3), seed=st.integers(0, 99))
@example(factors=[1.0, 1.0], seed=0)
def test_to_scale_every_board_takes_what_the_slowest_does(factors: list[float], seed: int) -> None:
    boards = dict(zip(NAMES, factors, strict=False))
    timings = [
        Timing((8.0 * factor,), "board", name, conditions={shelf.REFERENCE: look(REFERENCE_MS * factor)})
        for name, factor in boards.items()
        for _ in range(2)
    ]
    found = shelf.scale(random.Random(seed).sample(timings, len(timings)), NAMES)
    scaled = [found.timing(timing) for timing in timings]
    assert [timing.median_ms for timing in scaled] == pytest.approx([8.0 * max(factors)] * len(timings), rel=1e-3)
    assert boards[found.slowest] == pytest.approx(max(factors), rel=1e-4)
    assert [timing.scale for timing in scaled if timing.board == found.slowest] == [1.0, 1.0]
    assert shelf.scale(scaled, NAMES) == found  # to scale is to scale: nothing is multiplied twice
    assert [found.timing(timing) for timing in scaled] == scaled


def test_a_board_that_has_left_the_shelf_is_still_compared_but_holds_nobody_back() -> None:
    records = some(Boards({"a": 1.0, "b": 1.2}), 4)
    both, one = shelf.scale(records, ("a", "b")), shelf.scale(records, ("a",))
    assert (both.slowest, one.slowest) == ("b", "a")
    assert both.of("a") == pytest.approx(1.2, rel=1e-3)
    assert one.of("b") == pytest.approx(1 / 1.2, rel=1e-3)


def test_without_looks_timings_stay_as_they_are() -> None:
    timings = [Timing((3.0,), "board", "a"), Timing((4.0,), "board", "b")]
    found = shelf.scale(timings, ("a", "b"))
    assert [found.timing(timing) for timing in timings] == timings


def test_where_one_board_measured_a_record_stays_the_same_object() -> None:
    record = some(Boards({"a": 1.0}), 1)[0]
    failed = Record(Candidate(), Failed("build", "CandidateError", "refused"))
    for names in ((), ("a",), ("a", "b")):
        found = shelf.scale([record, failed], names)
        assert found is shelf.AS_MEASURED
        assert found.record(record) is record
        assert found.record(failed) is failed


def test_a_worker_that_knows_of_one_board_only_reads_the_others_to_scale_all_the_same() -> None:
    records = some(Boards({"a": 1.0, "b": 1.2}), 4)
    assert shelf.scale(records, ()) == shelf.scale(records, ("a", "b"))


@settings(max_examples=12, deadline=None)
@given(factor=st.floats(0.8, 1.25), beyond=st.floats(-0.04, 0.04))
@example(factor=1.0, beyond=0.0)
def test_what_a_reference_does_not_tell_is_learnt_from_few_trials(factor: float, beyond: float) -> None:
    records = some(Boards({"a": 1.0, "b": factor}, noise=0.002, beyond={"b": beyond}), 16)
    pace = shelf.scale(records, ("a", "b"))
    learnt = Engine(Context(SPACE, Limits(5.0), shelf=("a", "b"))).learn(records).latency.boards
    other = "b" if pace.slowest == "a" else "a"
    assert set(learnt) == {other}
    share, sd = learnt[other]
    truth = factor * (1 + beyond) if other == "b" else 1 / (factor * (1 + beyond))
    by_reference = pace.paces[other].factor
    assert abs(by_reference * (1 + share) - truth) < 4 * by_reference * sd
    assert sd < 0.015  # the trials have said something: it was 0.02 before


@pytest.mark.parametrize("sampler", ["guided", "random"])
def test_a_study_on_two_boards_has_one_front_that_holds_on_both(sampler: str) -> None:
    limits, names = Limits(budget_ms=6.0), ("a", "b")
    ledger = Ledger.create(optuna.storages.InMemoryStorage(), "toy", {}, limits, shelf=names)
    context = Context(SPACE, limits, planned=20, shelf=names)
    StudyRun(
        ledger, SPACE, Boards({"a": 1.0, "b": 1.3}), limits=limits, seeds=seeds(SPACE),
        sampler=lambda _: GuidedSampler(context, 1) if sampler == "guided" else optuna.samplers.RandomSampler(seed=1),
    ).run(20)  # fmt: skip
    toy = ToyEvaluator(GRAPH)
    slowest = [timing_of(toy.evaluate(trial.record.candidate)).median_ms * 1.3 for trial in ledger.trials]
    assert [timing_of(trial.record).median_ms for trial in ledger.trials] == pytest.approx(slowest, rel=1e-3)
    assert {timing_of(trial.record).board for trial in ledger.trials} == {"a", "b"}
    listed = rows(ledger.trials, limits)
    assert [row["feasible"] for row in listed] == [ms <= 6.0 for ms in slowest]
    assert any(row["measured_ms"] < row["latency_ms"] * 0.8 for row in listed)
    stored = [trial for trial in ledger.study.get_trials(deepcopy=False) if "record" in trial.user_attrs]
    assert not any("scale" in trial.user_attrs["record"]["measured"]["timing"] for trial in stored)  # as measured
    told = {trial.number: trial.constraints["latency"] <= 0 for trial in stored}
    wrong = [row["trial"] for row in listed if told[row["trial"]] != row["feasible"]]
    assert not [number for number in wrong if number > 0]  # the first was told before there was another board


def test_a_shelf_of_one_board_proposes_what_a_study_without_a_shelf_does() -> None:
    def proposed(names: tuple[str, ...]) -> list[str]:
        limits = Limits(budget_ms=6.0)
        ledger = Ledger.create(optuna.storages.InMemoryStorage(), "toy", {}, limits, shelf=names)
        context = Context(SPACE, limits, planned=14, shelf=names)
        run = StudyRun(
            ledger, SPACE, Boards({"a": 1.0}), limits=limits, seeds=seeds(SPACE),
            sampler=lambda _: GuidedSampler(context, 1),
        )  # fmt: skip
        run.run(14)
        assert "measured_ms" not in rows(ledger.trials, limits)[0]
        assert ("shelf" in ledger.study.user_attrs) == bool(names)
        return [trial.record.candidate.digest for trial in ledger.trials]

    assert proposed(()) == proposed(("a",))
