"""Several models in one loop: who gets which trial. Real Optuna, real SQLite, toy networks."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import optuna
import pytest

from mpsearch.candidate import Candidate
from mpsearch.errors import ConfigError
from mpsearch.pareto.front import dominates, front
from mpsearch.pareto.limits import Limits
from mpsearch.record import Measured, Record
from mpsearch.search import guided, samplers
from mpsearch.space import spec, yamlfile
from mpsearch.space.load import build, load
from mpsearch.study.ledger import Ledger
from mpsearch.study.run import StudyRun
from mpsearch.study.storage import default_url
from mpsearch.study.together import FLOOR, Member, Together
from mpsearch.testing.toy import ToyEvaluator, toy_graph

LIMITS = Limits(budget_ms=4.0)
Storage = str | optuna.storages.BaseStorage


class Scaled:
    """A toy network that takes ``latency`` times as long, and whose errors begin at ``floor``."""

    def __init__(self, body: int, *, latency: float = 1.0, floor: float = 0.0) -> None:
        self.inner = ToyEvaluator(toy_graph(body))
        self._latency, self._floor = latency, floor

    @property
    def calls(self) -> list[Candidate]:
        return self.inner.calls

    def evaluate(self, candidate: Candidate) -> Record:
        record = self.inner.evaluate(candidate)
        assert isinstance(record.outcome, Measured)
        score, timing = record.outcome.score, record.outcome.timing
        px2 = self._floor + score.objective
        ms = self._latency * timing.median_ms
        outcome = Measured(replace(score, objective=px2, per_image=(px2,)), replace(timing, samples_ms=(ms,)))
        return replace(record, outcome=outcome)


MODELS = {
    "good": partial(Scaled, 4),
    "slow": partial(Scaled, 4, latency=20.0),
    "vague": partial(Scaled, 3, floor=1e4),
}
"""The best within the budget; far beyond it; and one that never comes near the first."""


def member(
    name: str,
    evaluator: Scaled,
    storage: Storage,
    *,
    sampler: str = "guided",
    order: list[str] | None = None,
    body: int = 4,
    space_text: str = "",
) -> Member:
    graph = toy_graph(body)
    space = load("synap_int8_int16", graph)
    if space_text:
        space = build(spec.parse(yamlfile.parse(space_text, "s.yaml"), "s"), graph)
    ledger = Ledger.create(storage, f"toy:{name}", {"model": graph.digest}, LIMITS)
    rivals = guided.Rivals()
    context = guided.Context(space, LIMITS, planned=20, rivals=rivals)
    make: Callable[[int], optuna.samplers.BaseSampler] = lambda trials: samplers.create(  # noqa: E731
        sampler, 1, trials, context=context
    )
    run = StudyRun(
        ledger, space, evaluator, limits=LIMITS, sampler=make, seeds=guided.seeds(space), seed=1,
        on_trial=lambda *_: None if order is None else order.append(name),
    )  # fmt: skip
    return Member(name, run, ledger, rivals)


def together(
    storage: Storage | None = None,
    *,
    sampler: str = "guided",
    stopped: Callable[[str], bool] = lambda name: False,
    models: tuple[str, ...] = ("vague", "good"),
) -> tuple[Together, list[str]]:
    """The loop, and the names in the order in which they get trials."""
    order: list[str] = []
    chosen = storage or optuna.storages.InMemoryStorage()
    found = [
        member(name, MODELS[name](), chosen, sampler=sampler, order=order, body=3 if name == "vague" else 4)
        for name in models
    ]
    return Together(found, LIMITS, seed=1, stopped=stopped), order


def test_trials_count_together_and_the_front_is_that_of_all() -> None:
    search, order = together()
    summary = search.run(24)
    assert summary.evaluations == len(order) == 24
    assert len(search.trials) == 24
    best = front(search.trials)
    points = [trial.objectives for trial in search.trials if trial.objectives is not None]
    for trial in search.trials:
        assert trial.objectives is not None
        assert (trial in best) == (not any(dominates(other, trial.objectives) for other in points))
    assert summary.front_size == len(best)
    assert summary.best_within_budget is not None
    assert summary.best_within_budget.model == "good"
    assert summary.best_within_budget.label.endswith("of good")


def test_the_first_candidates_of_all_come_first_in_turns() -> None:
    search, order = together()
    opening = {m.name: len(guided.seeds(m.run._space)) for m in search.members}
    search.run(sum(opening.values()))
    assert Counter(order) == opening
    assert order[:4] == ["vague", "good", "vague", "good"]


def test_the_model_that_promises_most_gets_the_trials_and_no_other_starves() -> None:
    search, order = together()
    search.run(40)
    opening = sum(len(guided.seeds(m.run._space)) for m in search.members)
    later = Counter(order[opening:])
    assert later["good"] > 3 * later["vague"], "what can never reach the front is seldom tried"
    assert later["vague"] >= (40 - opening) // FLOOR - 1
    alone, _ = together(models=("good",))
    alone.run(40)
    mine, theirs = (s.summary().best_within_budget for s in (search, alone))
    assert mine is not None
    assert theirs is not None
    assert mine.objectives is not None
    assert theirs.objectives is not None
    assert mine.objectives[1] <= 1.1 * theirs.objectives[1]


def test_other_samplers_take_turns() -> None:
    search, order = together(sampler="random")
    search.run(60)
    counts = Counter(order)
    assert abs(counts["vague"] - counts["good"]) <= 1


def test_a_model_that_is_stopped_gets_no_trial_unless_all_are() -> None:
    search, order = together(models=("slow", "good"), stopped=lambda name: name == "slow")
    search.run(12)
    assert set(order) == {"good"}
    search, order = together(models=("slow", "good"), stopped=lambda name: True)
    search.run(12)
    assert set(order) == {"slow", "good"}


def test_with_one_worker_the_seed_decides_and_a_stop_changes_nothing(tmp_path: Path) -> None:
    straight, order = together(default_url(tmp_path / "a"))
    straight.run(16)
    digests = [(t.model, t.record.candidate.digest) for t in straight.trials]
    for total in (3, 10, 16):  # each time everything is read anew
        halting, _ = together(default_url(tmp_path / "b"))
        halting.run(total)
    assert [(t.model, t.record.candidate.digest) for t in halting.trials] == digests
    assert order.count("good") == sum(model == "good" for model, _ in digests)


def test_a_study_that_has_what_was_asked_for_measures_nothing() -> None:
    storage = optuna.storages.InMemoryStorage()
    together(storage)[0].run(10)
    again, order = together(storage)
    assert again.run(10).evaluations == 10
    assert order == []
    with pytest.raises(ConfigError, match="must be positive"):
        again.run(0)


def test_time_ends_it(tmp_path: Path) -> None:
    ticks = iter(range(100))
    search, order = together()
    timed = Together(search.members, LIMITS, clock=lambda: float(next(ticks)))
    timed.run(50, timeout_s=4)
    assert 0 < len(order) < 6


def test_when_one_space_is_exhausted_the_others_go_on_until_all_are() -> None:
    text = "vendor: synap\nbases: [uint8]\ngrouping: tail\ntails: {}\ncuts: none\n"
    storage = optuna.storages.InMemoryStorage()
    few, more = (
        member(f"m{tails}", Scaled(4), storage, sampler="random", space_text=text.format(tails)) for tails in (1, 4)
    )
    stopped = Together((few, more), LIMITS, stopped=lambda name: name == "m4").run(100)
    assert stopped.exhausted
    assert stopped.evaluations == len(few.trials), "one that was stopped does not begin where the others end"
    summary = Together((few, more), LIMITS).run(100)
    assert summary.exhausted
    assert 0 < len(few.trials) < len(more.trials)
    assert summary.evaluations == len(few.trials) + len(more.trials)


def test_two_workers_share_the_trials_and_never_measure_the_same(tmp_path: Path) -> None:
    url = default_url(tmp_path)
    found: list[Together] = []

    def work() -> None:
        search, _ = together(url, sampler="random")
        found.append(search)
        search.run(14)

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for place in range(2):
        evaluators = [search.members[place].run._evaluator for search in found]
        digests = [c.digest for e in evaluators if isinstance(e, Scaled) for c in e.calls]
        assert len(digests) == len(set(digests))
    assert 14 <= len(together(url)[0].trials) <= 15
