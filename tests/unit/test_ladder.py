"""Cheaper looks before a board, in real studies on a toy model with a real evaluator."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from mpsearch.candidate import Candidate
from mpsearch.errors import CandidateError
from mpsearch.evaluate import Artifact, Evaluator, FloatArray
from mpsearch.graph.model import ModelGraph
from mpsearch.pareto.front import front
from mpsearch.pareto.limits import Limits
from mpsearch.record import PHOTOGRAPHS, RULES, Measured, Record, Rejected, Score, Timing
from mpsearch.search import samplers
from mpsearch.search.guided import Context, GuidedSampler
from mpsearch.search.guided.engine import Engine
from mpsearch.search.ladder import IN_A_ROW, Ladder, Look
from mpsearch.space.load import load
from mpsearch.space.space import SearchSpace
from mpsearch.study.ledger import Ledger
from mpsearch.study.run import StudyRun
from mpsearch.testing.toy import ToyEvaluator, toy_graph

GRAPH = toy_graph()
SPACE = load("synap_int8_int16", GRAPH)
LIMITS = Limits(budget_ms=3.0)
COUNTS = {"random": 40, "tpe": 40, "guided": 16}


class Parts:
    """Toolchain, executor, board and scorer with the toy's numbers; the board is off by a few per cent, and each stage
    takes its time by the test's clock.

    Attributes:
        built, scored, timed: candidates, in the order in which they came.
    """

    def __init__(self, *, refuse: Callable[[Candidate], bool] = lambda _: False) -> None:
        self._toy, self._refuse = ToyEvaluator(GRAPH), refuse
        self._truths: dict[str, Measured] = {}
        self.built: list[Candidate] = []
        self.scored: list[Candidate] = []
        self.timed: list[Candidate] = []
        self.looked: list[Candidate] = []
        self.now_s = 0.0

    def truth(self, candidate: Candidate) -> Measured:
        if candidate.digest not in self._truths:
            found = self._toy.evaluate(candidate).outcome
            assert isinstance(found, Measured)
            self._truths[candidate.digest] = found
        return self._truths[candidate.digest]

    def build(self, candidate: Candidate) -> Artifact:
        self.now_s += 10
        self.built.append(candidate)
        if self._refuse(candidate):
            raise CandidateError("the compiler does not like it", stage="build")
        return Artifact(candidate, GRAPH.assign(candidate))

    def batches(self, artifact: Artifact) -> Iterator[Mapping[str, FloatArray]]:
        self.now_s += 30
        self.scored.append(artifact.candidate)
        yield {"error": self._noisy(artifact.candidate, "error") * np.ones(1, dtype=np.float32)}

    def score(self, batches: Iterator[Mapping[str, FloatArray]]) -> Score:
        (batch,) = batches
        error = float(batch["error"][0])
        return Score(error, error, error, faces=20, missed=0, extra=0)

    def time(self, artifact: Artifact) -> Timing:
        self.now_s += 20
        self.timed.append(artifact.candidate)
        return Timing(
            (self.truth(artifact.candidate).timing.median_ms * self._noisy(artifact.candidate, "ms"),), "board", "toy"
        )

    def close(self) -> None:
        pass

    def look(self, candidate: Candidate) -> Score:
        self.now_s += 5
        self.looked.append(candidate)
        return self.truth(candidate).score

    def _noisy(self, candidate: Candidate, what: str) -> float:
        draw = np.random.default_rng([*candidate.digest.encode(), len(what)])
        exact = self.truth(candidate).score.objective if what == "error" else 1.0
        return exact * float(np.exp(0.02 * draw.standard_normal()))


def memory() -> optuna.storages.BaseStorage:
    return optuna.storages.InMemoryStorage()


def study(
    parts: Parts,
    storage: optuna.storages.BaseStorage,
    *,
    sampler: str = "random",
    share: float = 0.25,
    exact: bool = False,
    space: SearchSpace = SPACE,
) -> tuple[StudyRun, Ledger, Ladder]:
    ledger = Ledger.create(storage, "toy", {"space": space.digest}, LIMITS)
    clock = lambda: parts.now_s  # noqa: E731
    look = Look(PHOTOGRAPHS, parts.look, exact, lambda c: parts.truth(c).timing.median_ms, share)
    ladder = Ladder(
        Evaluator(parts, parts, parts, parts, clock=clock), ledger, LIMITS,
        lambda candidate: space.illegal(space.graph, candidate), look if share else None, clock,
    )  # fmt: skip
    context = Context(space, LIMITS, planned=30)

    def make(trials: int) -> optuna.samplers.BaseSampler:
        return GuidedSampler(context, 1) if sampler == "guided" else samplers.create(sampler, 1, trials)

    return StudyRun(ledger, space, ladder, limits=LIMITS, sampler=make, seed=1), ledger, ladder


@pytest.mark.parametrize("sampler", ["random", "tpe", "guided"])
def test_rejected_candidates_never_reach_the_board_and_counted_trials_all_did(sampler: str) -> None:
    parts = Parts()
    run, ledger, _ = study(parts, memory(), sampler=sampler)
    summary = run.run(COUNTS[sampler])
    rejected = {trial.record.candidate.digest for trial in ledger.rejected}
    assert summary.evaluations == len(parts.timed) == len(parts.built) == len(parts.scored) == COUNTS[sampler]
    assert summary.rejected == len(rejected) > 0
    assert rejected.isdisjoint(candidate.digest for candidate in parts.timed)
    assert len(parts.looked) == len({candidate.digest for candidate in parts.looked})
    for trial in ledger.rejected:
        assert isinstance(trial.record.outcome, Rejected)
        assert trial.record.rungs[PHOTOGRAPHS].error == parts.truth(trial.record.candidate).score.objective
        assert "trial" in trial.record.outcome.reason


def test_nothing_that_was_rejected_belongs_on_the_front() -> None:
    parts = Parts()
    run, ledger, ladder = study(parts, memory())
    run.run(40)
    late = [replace(trial, record=ladder.evaluator.evaluate(trial.record.candidate)) for trial in ledger.rejected]
    assert len(late) > 5
    assert {trial.number for trial in front((*ledger.trials, *late))} == {t.number for t in front(ledger.trials)}


def test_a_rejected_candidate_is_told_as_pruned_and_answered_when_it_comes_again() -> None:
    parts = Parts()
    run, ledger, _ = study(parts, memory(), sampler="tpe")
    run.run(20)
    told = ledger.study.trials[ledger.rejected[0].number]
    assert told.state is TrialState.PRUNED
    assert told.constraints == {"latency": 1.0, "missed": 1.0, "extra": 1.0}
    looked = len(parts.looked)
    before = ledger.duplicates
    ledger.study.enqueue_trial(told.params)
    assert run.step()
    assert ledger.duplicates == before + 1
    assert len(parts.looked) == looked
    assert ledger.find(ledger.rejected[0].record.candidate.digest) == ledger.rejected[0]
    assert ledger.evaluated(ledger.rejected[0].record.candidate.digest) is None


def test_a_resumed_study_goes_on_as_if_it_had_not_stopped() -> None:
    whole, half = Parts(), Parts()
    run, ledger, _ = study(whole, memory(), sampler="guided")
    run.run(16)
    storage = memory()
    study(half, storage, sampler="guided")[0].run(11)
    run, resumed, _ = study(half, storage, sampler="guided")
    run.run(16)
    assert [t.record.candidate for t in resumed.trials] == [t.record.candidate for t in ledger.trials]
    assert [t.record for t in resumed.rejected] == [t.record for t in ledger.rejected]
    assert ledger.rejected


def test_two_processes_share_what_they_rejected_and_what_they_spent() -> None:
    storage, parts = memory(), Parts()
    first, ledger, ladder = study(parts, storage)
    second, _, other = study(parts, storage)
    for run in (first, second):
        run.prepare()
    while len(ledger.trials) < 24:
        assert first.step()
        assert second.step()
        ledger.refresh()
    assert ledger.rejected
    for seen in (parts.timed, parts.looked):
        assert len({candidate.digest for candidate in seen}) == len(seen)
    other.ledger.refresh()
    assert other.left_s() == ladder.left_s() == 0.25 * 60 * len(parts.timed) - 5 * len(parts.looked)


@pytest.mark.parametrize("share", [0.01, 0.05, 0.25])
def test_the_looks_take_no_more_than_their_share_of_the_boards_time(share: float) -> None:
    parts = Parts()
    run, ledger, ladder = study(parts, memory(), share=share)
    run.run(30)
    board_s = 60 * len(parts.timed)
    assert 5 * len(parts.looked) <= max(5, share * board_s)
    assert len(parts.looked) > 0
    assert ladder.left_s() == pytest.approx(share * board_s - 5 * len(parts.looked))
    assert all(trial.measured for trial in ledger.trials)


def test_without_a_share_nobody_looks() -> None:
    parts = Parts()
    run, ledger, _ = study(parts, memory(), share=0.0)
    run.run(20)
    assert not parts.looked
    assert not ledger.rejected


def test_after_some_rejections_in_a_row_one_is_evaluated_all_the_same() -> None:
    run, ledger, _ = study(Parts(), memory(), share=1.0)
    run.run(40)
    numbers = sorted((t.number, bool(t.measured)) for t in (*ledger.trials, *ledger.rejected))
    rows = "".join("T" if measured else "r" for _, measured in numbers)
    assert max(map(len, rows.split("T"))) <= IN_A_ROW
    assert "rr" in rows


def test_where_the_look_is_the_score_it_is_made_once_and_costs_nothing_extra() -> None:
    parts = Parts()
    run, ledger, _ = study(parts, memory(), exact=True)
    run.run(30)
    assert not parts.scored
    assert ledger.rejected
    for trial in ledger.trials:
        assert trial.record.rungs[PHOTOGRAPHS].seconds == 0.0
        assert trial.record.stage_s["score"] == 5.0
        assert trial.objectives is not None
        assert trial.objectives[1] == trial.record.rungs[PHOTOGRAPHS].error


def test_what_the_compiler_refuses_touches_no_board_and_counts_as_a_failed_trial() -> None:
    parts = Parts(refuse=lambda candidate: candidate.base == "int8-pc")
    run, _, _ = study(parts, memory())
    summary = run.run(30)
    assert summary.failures == sum(candidate.base == "int8-pc" for candidate in parts.built) > 0
    assert all(candidate.base != "int8-pc" for candidate in (*parts.scored, *parts.timed))


def test_a_candidate_without_a_score_here_goes_to_the_board() -> None:
    class Blind(Parts):
        def look(self, candidate: Candidate) -> Score:
            raise CandidateError("nothing in scope", stage="score")

    parts = Blind()
    run, ledger, _ = study(parts, memory())
    assert run.run(10).evaluations == len(parts.timed) == 10
    assert not any(trial.record.rungs for trial in ledger.trials)


def forbidden(graph: ModelGraph, candidate: Candidate) -> tuple[str, ...]:
    """Rules that refuse most of a space, and no unit by itself."""
    return () if candidate.base == "uint8" or not candidate.cuts else (f"{candidate.base} cannot be cut",)


@pytest.mark.parametrize("sampler", ["random", "tpe", "nsga2", "guided"])
def test_what_the_rules_refuse_is_no_trial_and_its_reason_is_kept(sampler: str) -> None:
    parts, space = Parts(), replace(SPACE, illegal=forbidden)
    run, ledger, _ = study(parts, memory(), sampler=sampler, space=space, share=0.0)
    summary = run.run(30)
    assert summary.evaluations == len(parts.timed) == 30
    assert summary.failures == 0
    assert {t.record.outcome.rung for t in ledger.rejected if isinstance(t.record.outcome, Rejected)} <= {RULES}
    assert not any(forbidden(GRAPH, candidate) for candidate in parts.built)
    if sampler == "guided":
        assert not ledger.rejected
    else:
        assert ledger.rejected
        assert ledger.study.trials[ledger.rejected[0].number].state is TrialState.PRUNED


def test_a_space_in_which_nothing_is_allowed_ends() -> None:
    space = replace(SPACE, illegal=lambda graph, candidate: ("never",))
    run, ledger, _ = study(Parts(), memory(), space=space, share=0.0)
    summary = run.run(5)
    assert summary.exhausted
    assert summary.evaluations == 0
    assert 1 <= len(ledger.rejected) <= 3


def test_a_rejection_teaches_the_guided_search_an_error_and_no_failure() -> None:
    parts = Parts()
    run, ledger, _ = study(parts, memory())
    run.run(30)
    known = [trial.record for trial in ledger.trials]
    records = [*known, *(trial.record for trial in ledger.rejected)]
    engine = Engine(Context(SPACE, LIMITS, planned=30))
    models = engine.learn(records)
    assert len(models.known) == len(records)
    assert all(item.ok for item in models.known)
    seen = [item for item in models.known if item.elsewhere]
    assert [item.latency_ms for item in seen] == [None] * len(ledger.rejected)
    for item in seen:
        assert item.error_px2 == pytest.approx(parts.truth(item.candidate).score.objective, rel=0.1)
    by_rules = Record(Candidate("int8-pc"), Rejected(RULES, "never"))
    assert len(engine.learn([*known, by_rules]).known) == len(known)


def test_a_rejected_record_survives_its_journey_through_json() -> None:
    run, ledger, _ = study(Parts(), memory())
    run.run(30)
    for trial in (*ledger.rejected, *ledger.trials):
        assert Record.from_json(trial.record.to_json()) == trial.record
    assert partial(Ledger.open, ledger.storage, "toy")().rejected == ledger.rejected


def test_few_photographs_are_asked_for_only_while_there_is_time() -> None:
    asked: list[Candidate] = []

    def few(candidate: Candidate) -> float:
        asked.append(candidate)
        return 1.0

    left_s = 0.0
    engine = Engine(Context(SPACE, LIMITS, cheap_error=few, planned=30, cheap_left_s=lambda: left_s))
    assert engine.cheap.known([]) == {}
    left_s = 1e-9
    assert len(engine.cheap.known([])) == len(asked) == 1
    left_s = 1000.0
    assert len(engine.cheap.known([])) == len(asked) > 5
    left_s = 0.0
    assert len(engine.cheap.known([])) == len(asked)
