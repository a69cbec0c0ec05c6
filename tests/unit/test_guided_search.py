"""The guided sampler in real studies on a toy model."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import optuna
import pytest
from optuna.trial import TrialState

from mpsearch.candidate import Candidate
from mpsearch.pareto.front import Trial
from mpsearch.pareto.limits import Limits
from mpsearch.pareto.pick import best
from mpsearch.record import Measured
from mpsearch.search import samplers
from mpsearch.search.guided import Context, GuidedSampler, seeds
from mpsearch.search.guided.engine import Engine
from mpsearch.search.guided.report import error_loo, latency_loo, switches
from mpsearch.space import load as loading
from mpsearch.space import spec, yamlfile
from mpsearch.space.load import load
from mpsearch.space.space import SearchSpace
from mpsearch.study.ledger import Ledger
from mpsearch.study.run import StudyRun
from mpsearch.testing.toy import ToyEvaluator, toy_graph

GRAPH = toy_graph(body=8)
SPACE = load("synap_int8_int16", GRAPH)
LIMITS = Limits(budget_ms=5.0)


def study(
    storage: optuna.storages.BaseStorage,
    evaluator: ToyEvaluator,
    *,
    sampler: str = "guided",
    limits: Limits = LIMITS,
    seed: int = 1,
    context: Context | None = None,
) -> tuple[StudyRun, Ledger]:
    ledger = Ledger.create(storage, "toy", {"space": SPACE.digest}, limits)
    known = context or Context(SPACE, limits, planned=30)

    def make(trials: int) -> optuna.samplers.BaseSampler:
        return GuidedSampler(known, seed) if sampler == "guided" else samplers.create(sampler, seed, trials)

    return StudyRun(ledger, SPACE, evaluator, limits=limits, sampler=make, seeds=seeds(SPACE), seed=seed), ledger


def memory() -> optuna.storages.BaseStorage:
    return optuna.storages.InMemoryStorage()


def digests(ledger: Ledger) -> list[str]:
    return [trial.record.candidate.digest for trial in ledger.trials]


def errors(trials: tuple[Trial, ...]) -> float:
    found = best(trials, LIMITS)
    assert found is not None
    assert found.objectives is not None
    return found.objectives[1]


def test_no_candidate_is_proposed_twice_until_none_is_left() -> None:
    evaluator = ToyEvaluator(GRAPH)
    run, ledger = study(memory(), evaluator)
    run.run(40)
    assert len(digests(ledger)) == len(set(digests(ledger))) == 40
    assert ledger.duplicates == 0


def test_it_finds_within_thirty_trials_what_a_hundred_random_ones_do_not() -> None:
    guided, random = study(memory(), ToyEvaluator(GRAPH)), study(memory(), ToyEvaluator(GRAPH), sampler="random")
    guided[0].run(30)
    random[0].run(100)
    assert errors(guided[1].trials) < errors(random[1].trials)


def test_a_seed_decides_the_study_and_a_resumed_one_goes_on_as_if_it_had_not_stopped() -> None:
    whole = study(memory(), ToyEvaluator(GRAPH))
    whole[0].run(16)
    storage = memory()
    study(storage, ToyEvaluator(GRAPH))[0].run(9)
    parts = study(storage, ToyEvaluator(GRAPH))
    parts[0].run(16)
    other = study(memory(), ToyEvaluator(GRAPH), seed=2)
    other[0].run(16)
    assert digests(parts[1]) == digests(whole[1])
    assert digests(other[1]) != digests(whole[1])


def test_it_finds_the_best_tail_where_groups_cannot_say_it() -> None:
    graph = toy_graph(body=24)
    text = "vendor: synap\nbases: [uint8]\ntypes: [int16]\ngrouping: {by: stage, stages: 1}\ntails: 24\ncuts: none\n"
    searched = loading.build(spec.parse(yamlfile.parse(text, "s.yaml"), "s"), graph)
    evaluator, limits = ToyEvaluator(graph), Limits(budget_ms=15.0)
    every = {candidate.digest: evaluator.evaluate(candidate) for candidate in candidates(searched)}
    measured = {digest: r.outcome for digest, r in every.items() if isinstance(r.outcome, Measured)}
    within = {d: o.score.objective for d, o in measured.items() if o.timing.median_ms <= limits.budget_ms}
    ledger = Ledger.create(memory(), "tails", {"space": searched.digest}, limits)
    context = Context(searched, limits, planned=12)
    run = StudyRun(
        ledger, searched, evaluator, limits=limits, sampler=lambda _: GuidedSampler(context, 1),
        seeds=seeds(searched),
    )  # fmt: skip
    run.run(12)
    winner = min(within, key=within.__getitem__)
    assert len(every) > 30
    assert every[winner].candidate in searched.tails()
    assert winner in digests(ledger)


def candidates(searched: SearchSpace) -> set[Candidate]:
    names, choices = zip(*searched.dimensions.items(), strict=True)
    return {searched.at(dict(zip(names, point, strict=True))) for point in itertools.product(*choices)}


@pytest.mark.parametrize("first", ["tpe", "random"])
def test_it_goes_on_with_a_study_that_another_sampler_began(first: str) -> None:
    storage = memory()
    study(storage, ToyEvaluator(GRAPH), sampler=first)[0].run(12)
    run, ledger = study(storage, ToyEvaluator(GRAPH))
    run.run(24)
    assert len(set(digests(ledger))) == 24
    assert all(trial.state is not TrialState.FAIL for trial in ledger.study.trials)


def test_what_runs_elsewhere_is_not_proposed() -> None:
    storage = memory()
    run, ledger = study(storage, ToyEvaluator(GRAPH))
    run.run(10)
    ledger.study.sampler = GuidedSampler(Context(SPACE, LIMITS, planned=30), 1)
    asked = [SPACE.sample(ledger.study.ask()).digest for _ in range(5)]
    assert len({*asked, *digests(ledger)}) == 15


def refuse_wide_heads(candidate: Candidate) -> str | None:
    return "too wide" if candidate.type_of("near").bits == 16 and candidate.type_of("far").bits == 8 else None


def test_refused_candidates_become_rarer() -> None:
    run, ledger = study(memory(), ToyEvaluator(GRAPH, refuse=refuse_wide_heads))
    run.run(40)
    failed = [index for index, trial in enumerate(ledger.trials) if trial.measured is None]
    assert sum(index >= 25 for index in failed) <= 4


def test_a_queued_candidate_is_measured_first() -> None:
    run, ledger = study(memory(), ToyEvaluator(GRAPH))
    run.run(8)
    wanted = SPACE.at({"base": "uint8", "type:" + SPACE.groups[1].name: "int16"})
    ledger.study.enqueue_trial(SPACE.nearest(wanted))
    run.run(9)
    assert digests(ledger)[-1] == wanted.digest


def test_without_a_budget_it_searches_the_whole_range() -> None:
    limits = Limits()
    run, ledger = study(memory(), ToyEvaluator(GRAPH), limits=limits, context=Context(SPACE, limits, planned=30))
    run.run(20)
    assert len(set(digests(ledger))) == 20


def counting(calls: list[Candidate], evaluator: ToyEvaluator) -> Callable[[Candidate], float | None]:
    def cheap(candidate: Candidate) -> float | None:
        calls.append(candidate)
        outcome = evaluator.evaluate(candidate).outcome
        return None if not hasattr(outcome, "score") else 1.1 * outcome.score.objective

    return cheap


def test_the_cheap_rung_is_asked_once_for_each_candidate_and_keeps_its_limit() -> None:
    calls: list[Candidate] = []
    cheap = counting(calls, ToyEvaluator(GRAPH))
    context = Context(SPACE, LIMITS, cheap_error=cheap, cheap_cost=0.5, cheap_share=0.1, planned=40)
    run, _ = study(memory(), ToyEvaluator(GRAPH), context=context)
    run.run(20)
    assert len(calls) == len({candidate.digest for candidate in calls}) == context.cheap_calls == 8


def test_a_study_that_is_extended_goes_on_as_it_began() -> None:
    """The number of trials sets the cheap rung's limit once, when the study begins."""

    def context(planned: int) -> Context:
        cheap = counting([], ToyEvaluator(GRAPH))
        return Context(SPACE, LIMITS, cheap_error=cheap, cheap_cost=2.0, planned=planned)

    def run(storage: optuna.storages.BaseStorage, planned: int, total: int) -> list[str]:
        going, ledger = study(storage, ToyEvaluator(GRAPH), context=context(planned))
        going.run(total)
        return digests(ledger)

    storage = memory()
    began = run(storage, 40, 8)
    extended = run(storage, 120, 20)
    assert extended[:8] == began
    assert extended == run(memory(), 40, 20)
    assert extended != run(memory(), 120, 20)


def test_the_models_tell_how_well_they_predict_and_what_a_switch_costs() -> None:
    run, ledger = study(memory(), ToyEvaluator(GRAPH))
    run.run(40)
    models = Engine(Context(SPACE, LIMITS, planned=30)).learn([trial.record for trial in ledger.trials])
    latency, error = latency_loo(models), error_loo(models)
    assert latency.count == error.count == 40
    assert latency.error < 0.05
    assert latency.coverage > 0.7
    assert error.error < 0.5
    narrowing = [switch for switch in switches(models) if switch.made == "int16"]
    assert narrowing
    assert "+-" in str(narrowing[0])


def test_one_trial_is_not_enough_to_learn_from() -> None:
    with pytest.raises(ValueError, match="two measured"):
        Engine(Context(SPACE, LIMITS)).learn([])


def test_many_settings_of_the_options_cost_no_more_than_those_that_were_met() -> None:
    """``snpe_qairt`` has thousands; what was never met has what its base's settings have in common."""
    many = load("snpe_qairt", GRAPH)
    settings = [many.at({"base": base, "option:weight_bits": bits}) for base in many.bases for bits in ("8", "4")]
    evaluator = ToyEvaluator(GRAPH)
    learner = Engine(Context(many, LIMITS, planned=30)).learner
    known = learner.gather([evaluator.evaluate(candidate) for candidate in settings], {})
    models = learner.fit(known)
    assert models.error.bases == len(settings) + len({*many.bases, *many.uniform_bases})
    assert len({learner.base_of(candidate) for candidate in settings}) == len(settings)
    unmet = [many.at({"option:bias_bits": "8", "option:act_schema": schema}) for schema in ("tool", "symmetric")]
    assert len({learner.base_of(candidate) for candidate in unmet}) == 1
    assert learner.base_of(unmet[0]) not in {learner.base_of(candidate) for candidate in settings}
