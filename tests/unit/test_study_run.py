"""Studies on a toy model: real Optuna, real SQLite."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from mpsearch.candidate import Candidate, DataType
from mpsearch.errors import ConfigError, SetupError, StudyChangedError
from mpsearch.pareto.limits import Limits
from mpsearch.record import Record
from mpsearch.search import samplers
from mpsearch.space import load as loading
from mpsearch.space import spec, yamlfile
from mpsearch.space.space import SearchSpace
from mpsearch.study import owner
from mpsearch.study.ledger import Ledger, values
from mpsearch.study.run import StudyRun
from mpsearch.study.storage import default_url
from mpsearch.testing.toy import ToyEvaluator, toy_graph

GRAPH = toy_graph()
SPACE = loading.load("synap_int8_int16", GRAPH)
LIMITS = Limits(budget_ms=3.0)
FINGERPRINT = {"model": GRAPH.digest, "space": SPACE.digest, "sizes": [1, 2]}
Storage = str | optuna.storages.BaseStorage


def memory() -> Storage:
    return optuna.storages.InMemoryStorage()


def make(
    storage: Storage,
    evaluator: ToyEvaluator,
    *,
    limits: Limits = LIMITS,
    sampler: str = "random",
    space: SearchSpace = SPACE,
    seeds: tuple[Candidate, ...] = (),
    on_trial: Callable[..., None] = lambda *_: None,
) -> tuple[StudyRun, Ledger]:
    ledger = Ledger.create(storage, "toy", FINGERPRINT, limits)
    make_sampler = partial(samplers.create, sampler, 1)
    run = StudyRun(
        ledger, space, evaluator, limits=limits, sampler=make_sampler, seeds=seeds, on_trial=on_trial
    )  # fmt: skip
    return run, ledger


def states(ledger: Ledger) -> Counter[TrialState]:
    return Counter(trial.state for trial in ledger.study.get_trials(deepcopy=False))


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random"])
def test_the_number_of_trials_counts_evaluations_and_never_duplicates(sampler: str) -> None:
    evaluator = ToyEvaluator(GRAPH)
    run, ledger = make(memory(), evaluator, sampler=sampler, seeds=SPACE.seeds())
    summary = run.run(40)
    assert summary.evaluations == len(ledger.trials) == len(evaluator.calls) == 40
    assert len({candidate.digest for candidate in evaluator.calls}) == 40
    assert summary.duplicates == states(ledger)[TrialState.COMPLETE] - 40


def test_seeds_come_first_in_their_order_and_once() -> None:
    storage, seeds = memory(), SPACE.seeds()
    first = ToyEvaluator(GRAPH)
    make(storage, first, seeds=seeds)[0].run(4)
    again = ToyEvaluator(GRAPH)
    make(storage, again, seeds=seeds)[0].run(len(seeds) + 2)
    order = [candidate.digest for candidate in (*first.calls, *again.calls)]
    assert order[: len(seeds)] == [seed.digest for seed in seeds]
    assert len(set(order)) == len(order) == len(seeds) + 2


def test_a_seed_outside_the_space_is_measured_as_it_is() -> None:
    storage = memory()
    odd = Candidate(base="int8-sym", overrides=(("conv0", DataType.FLOAT16),))
    evaluator = ToyEvaluator(GRAPH)
    _, ledger = make(storage, evaluator, seeds=(odd,))
    run, ledger = make(storage, evaluator, seeds=(odd,))
    run.run(1)
    assert SPACE.params(odd) is None
    assert ledger.trials[0].record.candidate == odd
    assert ledger.study.trials[0].params == {
        name: value for name, value in SPACE.nearest(odd).items() if len(SPACE.dimensions[name]) > 1
    }


def test_trials_say_whether_they_are_uniform_tail_seed_or_proposed() -> None:
    own = Candidate(overrides=(("conv0", DataType.INT16), ("conv2", DataType.INT16)))
    run, ledger = make(memory(), ToyEvaluator(GRAPH), seeds=SPACE.seeds([own]))
    run.run(30)
    origins = Counter(trial.origin for trial in ledger.trials)
    assert origins["uniform"] >= 6
    assert origins["seed"] >= 1
    assert set(origins) == {"uniform", "tail", "seed", "sampler"}


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_a_candidate_that_fails_is_told_as_pruned_and_the_study_goes_on(sampler: str) -> None:
    def refuse(candidate: Candidate) -> str | None:
        return "no int8" if candidate.base == "int8-pc" else None

    run, ledger = make(memory(), ToyEvaluator(GRAPH, refuse=refuse), sampler=sampler, seeds=SPACE.seeds())
    summary = run.run(30)
    failed = [trial for trial in ledger.trials if trial.measured is None]
    assert summary.failures == len(failed) > 0
    assert summary.evaluations == 30
    told = ledger.study.trials[failed[0].number]
    assert told.state is TrialState.PRUNED
    assert told.constraints == {"latency": 1.0, "missed": 1.0, "extra": 1.0}
    assert states(ledger)[TrialState.FAIL] == 0


def test_every_finished_trial_has_all_constraints() -> None:
    run, ledger = make(memory(), ToyEvaluator(GRAPH), sampler="tpe", seeds=SPACE.seeds())
    run.run(30)
    assert {frozenset(t.constraints) for t in ledger.study.trials} == {frozenset(("latency", "missed", "extra"))}
    for trial in ledger.trials:
        assert ledger.study.trials[trial.number].constraints == LIMITS.violations(trial.record)


@pytest.mark.parametrize("error", [SetupError("the board is gone"), KeyboardInterrupt(), TypeError("a bug")])
def test_what_is_nobodys_candidate_fault_stops_the_run_and_keeps_what_is_finished(error: BaseException) -> None:
    class Breaks(ToyEvaluator):
        def evaluate(self, candidate: Candidate) -> Record:
            if len(self.calls) == 5:
                raise error
            return super().evaluate(candidate)

    storage = memory()
    run, ledger = make(storage, Breaks(GRAPH), seeds=SPACE.seeds())
    with pytest.raises(type(error)):
        run.run(20)
    assert run.summary().evaluations == 5
    assert states(ledger) == {TrialState.COMPLETE: 5, TrialState.FAIL: 1}
    assert ledger.study.trials[5].user_attrs["ended"] == type(error).__name__
    resumed, ledger = make(storage, ToyEvaluator(GRAPH), seeds=SPACE.seeds())
    assert resumed.run(20).evaluations == 20
    assert ledger.trials[5].record.candidate == SPACE.seeds()[5]


def test_a_small_space_ends_when_it_is_exhausted() -> None:
    text = "vendor: synap\nbases: [uint8]\ngrouping: tail\ntails: 3\ncuts: none\n"
    small = loading.build(spec.parse(yamlfile.parse(text, "s.yaml"), "s"), GRAPH)
    run, _ = make(memory(), ToyEvaluator(GRAPH), space=small)
    summary = run.run(50)
    assert summary.exhausted
    assert summary.evaluations == 4


def test_the_callback_sees_every_evaluation_once() -> None:
    seen: list[tuple[int, int]] = []
    run, ledger = make(memory(), ToyEvaluator(GRAPH), on_trial=lambda n, _, s: seen.append((n, s.evaluations)))
    run.run(10)
    assert seen == [(trial.number, place + 1) for place, trial in enumerate(ledger.trials)]


def test_a_time_limit_ends_the_run() -> None:
    ticks = iter(range(1000))
    ledger = Ledger.create(memory(), "toy", FINGERPRINT, LIMITS)
    run = StudyRun(
        ledger, SPACE, ToyEvaluator(GRAPH), limits=LIMITS, sampler=partial(samplers.create, "random", 0),
        clock=lambda: float(next(ticks)),
    )  # fmt: skip
    assert run.run(50, timeout_s=4).evaluations == 3


def test_a_budget_below_anything_ends_with_exit_code_4_and_the_nearest() -> None:
    run, ledger = make(memory(), ToyEvaluator(GRAPH), limits=Limits(budget_ms=0.5), seeds=SPACE.seeds())
    summary = run.run(8)
    assert summary.best_within_budget is None
    assert summary.exit_code == 4
    assert summary.nearest is not None
    assert "ms over the budget" in summary.gap
    fastest = min(trial.objectives for trial in ledger.trials if trial.objectives)
    assert summary.nearest.objectives == fastest


def test_a_new_budget_re_reads_the_records_and_evaluates_nothing(tmp_path: Path) -> None:
    url = default_url(tmp_path)
    make(url, ToyEvaluator(GRAPH), limits=Limits(budget_ms=0.5), seeds=SPACE.seeds())[0].run(8)
    evaluator = ToyEvaluator(GRAPH)
    run, _ = make(url, evaluator, limits=Limits(budget_ms=100.0))
    summary = run.run(8)
    assert not evaluator.calls
    assert summary.best_within_budget is not None
    assert Ledger.open(url, "toy").limits == Limits(budget_ms=100.0)


def test_more_trials_under_a_new_budget_see_its_constraints_under_the_same_numbers(tmp_path: Path) -> None:
    url, wide = default_url(tmp_path), Limits(budget_ms=100.0)
    run, before = make(url, ToyEvaluator(GRAPH), limits=Limits(budget_ms=0.5), seeds=SPACE.seeds(), sampler="tpe")
    run.run(12)
    numbers = {trial.number: trial.record for trial in before.trials}
    evaluator = ToyEvaluator(GRAPH)
    run, after = make(url, evaluator, limits=wide, sampler="tpe", seeds=SPACE.seeds())
    summary = run.run(15)
    assert summary.evaluations == 15
    assert len(evaluator.calls) == 3
    assert {n: r for n, r in ((t.number, t.record) for t in after.trials) if n in numbers} == numbers
    for trial in after.trials:
        assert after.study.trials[trial.number].constraints == wide.violations(trial.record)
        assert after.study.trials[trial.number].values == list(values(trial.record) or ())
    names = optuna.get_all_study_names(after.storage)
    assert names == ["toy@2"]


def test_a_change_of_budget_that_was_cut_off_loses_nothing(tmp_path: Path) -> None:
    url = default_url(tmp_path)
    run, ledger = make(url, ToyEvaluator(GRAPH), seeds=SPACE.seeds())
    run.run(6)
    half = optuna.create_study(storage=ledger.storage, study_name="toy@2", directions=["minimize"] * 2)
    half.add_trial(ledger.study.trials[0])
    run, ledger = make(url, ToyEvaluator(GRAPH), limits=Limits(budget_ms=7.0), seeds=SPACE.seeds())
    assert run.run(8).evaluations == 8
    assert optuna.get_all_study_names(ledger.storage) == ["toy@2"]


def test_another_process_with_other_limits_is_not_disturbed(tmp_path: Path) -> None:
    url = default_url(tmp_path)
    _, ledger = make(url, ToyEvaluator(GRAPH))
    ledger.study.ask().set_user_attr("owner", owner.me())
    run, _ = make(url, ToyEvaluator(GRAPH), limits=Limits(budget_ms=9.0))
    with pytest.raises(ConfigError, match="being run by another process"):
        run.run(3)


def test_a_changed_fingerprint_is_refused_by_name(tmp_path: Path) -> None:
    url = default_url(tmp_path)
    Ledger.create(url, "toy", FINGERPRINT, LIMITS)
    changed = {**FINGERPRINT, "model": "ffff", "metric": "new"}
    with pytest.raises(StudyChangedError, match=r"metric \(nothing stored, new now\), model \(") as caught:
        Ledger.create(url, "toy", changed, LIMITS)
    assert "another study" in caught.value.hint
    assert caught.value.exit_code == 2
    Ledger.create(url, "toy", {**FINGERPRINT, "sizes": (1, 2)}, replace(LIMITS, missed=0.5))


def test_opening_a_study_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    url = default_url(tmp_path)
    with pytest.raises(ConfigError, match="no study is stored here"):
        Ledger.open(url, "toy")
    Ledger.create(url, "toy", FINGERPRINT, LIMITS)
    with pytest.raises(ConfigError, match="nearest: 'toy'"):
        Ledger.open(url, "tony")


def test_a_study_that_mpsearch_did_not_make_is_left_alone() -> None:
    storage = optuna.storages.InMemoryStorage()
    foreign = optuna.create_study(storage=storage, study_name="toy")
    foreign.tell(foreign.ask(), 1.0)
    with pytest.raises(ConfigError, match="did not make"):
        Ledger.create(storage, "toy", FINGERPRINT, LIMITS)


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "mysql://me:secret@localhost/x",
        "postgresql+nodriver://localhost/x",
        "sqlite:////proc/nothing/here/x.db",
    ],
)
def test_a_storage_that_cannot_be_used_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Ledger.create(url, "toy", FINGERPRINT, LIMITS)
    assert caught.value.hint
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "study.db").write_text("this is no database, but long enough to look at it" * 50)
    with pytest.raises(ConfigError, match="cannot be used"):
        Ledger.create(default_url(tmp_path), "toy", FINGERPRINT, LIMITS)


@pytest.mark.parametrize("total", [0, -3])
def test_a_number_of_trials_that_is_not_positive_is_refused(total: int) -> None:
    with pytest.raises(ConfigError, match="must be positive"):
        make(memory(), ToyEvaluator(GRAPH))[0].run(total)
