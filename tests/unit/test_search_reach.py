"""A budget that cannot be met is recognised, and what would have to change is said."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from mpsearch import digits
from mpsearch.board.cost import CostModel, estimate
from mpsearch.board.profile import load as load_profile
from mpsearch.pareto.limits import Limits
from mpsearch.search import reach
from mpsearch.search.guided import Context
from mpsearch.space import load as loading
from mpsearch.space import spec, yamlfile
from mpsearch.space.space import SearchSpace
from mpsearch.testing.toy import ToyEvaluator, toy_graph

GRAPH = toy_graph()
PROFILE = load_profile("vs680")


def space(text: str) -> SearchSpace:
    return loading.build(spec.parse(yamlfile.parse(f"vendor: synap\n{text}\n", "s.yaml"), "s"), GRAPH)


CUT = space("bases: [uint8, int16]\ngrouping: {by: stage, stages: 2}\ncuts: {points: all}\ntails: 0")
UNCUT = space("bases: [uint8]\ngrouping: {by: stage, stages: 2}\ncuts: none\ntails: 0")


@pytest.mark.parametrize("searched", [CUT, UNCUT])
def test_the_fastest_candidate_is_the_fastest_of_a_list_of_all(searched: SearchSpace) -> None:
    found = reach.expected(searched, CostModel(PROFILE, GRAPH))
    points = (dict(zip(searched.dimensions, p, strict=True)) for p in itertools.product(*searched.dimensions.values()))
    least = min(estimate(PROFILE, GRAPH, c, GRAPH.assign(c)).total_ms for c in map(searched.at, points))
    assert found.latency_ms == pytest.approx(least)
    assert found.latency_ms == pytest.approx(
        estimate(PROFILE, GRAPH, found.fastest, GRAPH.assign(found.fastest)).total_ms
    )


def test_a_budget_is_missed_only_below_the_fastest() -> None:
    found = reach.expected(CUT, CostModel(PROFILE, GRAPH))
    assert found.misses(0.99 * found.latency_ms)
    assert not found.misses(1.01 * found.latency_ms)


def test_the_advice_names_the_gap_the_slowest_units_an_input_and_a_share_of_the_work() -> None:
    found = reach.expected(CUT, CostModel(PROFILE, GRAPH))
    budget_ms = found.fixed_ms + 0.3 * (found.latency_ms - found.fixed_ms)
    first, *rest = found.explain(budget_ms)
    text = "\n".join(rest)
    assert f"{digits.milliseconds(budget_ms)} ms cannot be met" in first
    assert f"{digits.milliseconds(found.latency_ms - budget_ms)} ms too much" in first
    assert found.slowest[0][0] in text
    assert "30% of the work" in text


def test_a_cut_that_the_space_leaves_out_is_offered_with_what_it_saves() -> None:
    found = reach.expected(UNCUT, CostModel(PROFILE, GRAPH))
    assert found.other_cut is not None
    output, tensors, saves_ms = found.other_cut
    assert tensors in GRAPH.cut_points[output]
    assert 0 < saves_ms < found.latency_ms
    assert f"{output} at {', '.join(tensors)}" in "\n".join(found.explain(0.9 * found.latency_ms))
    assert reach.expected(CUT, CostModel(PROFILE, GRAPH)).other_cut is None


def test_no_input_is_small_enough_for_less_than_the_fixed_part() -> None:
    found = reach.expected(CUT, CostModel(PROFILE, GRAPH))
    assert found.smaller_input(0.5 * found.fixed_ms) is None
    assert "no size is small enough" in "\n".join(found.explain(0.5 * found.fixed_ms))


def test_the_share_of_the_work_that_may_stay_is_always_said() -> None:
    found = reach.expected(CUT, CostModel(PROFILE, GRAPH))
    for budget_ms in (0.5 * found.fixed_ms, found.fixed_ms, 0.5 * (found.fixed_ms + found.latency_ms)):
        (line,) = [line for line in found.explain(budget_ms) if line.startswith("model: ")]
        assert ("nothing left of the work" in line) is (budget_ms <= found.fixed_ms)


def test_on_a_device_a_cost_model_only_says_probably_and_less_often() -> None:
    found = reach.expected(CUT, CostModel(PROFILE, GRAPH), off_by=PROFILE.off_by)
    assert not found.misses(0.8 * found.latency_ms)
    assert found.misses(0.78 * found.latency_ms)
    first = found.explain(0.7 * found.latency_ms)[0]
    assert "can probably not be met" in first
    assert "(median error 21% on networks that it was not fitted to)" in first


@pytest.mark.parametrize(("name", "table"), [("vs680", "VS680 and VS640"), ("rvc4", "RVC4")])
def test_the_errors_of_the_cost_models_are_those_of_their_tables(name: str, table: str) -> None:
    page = (Path(__file__).parents[2] / "docs" / "boards.md").read_text()
    held_out = page.split(f"### {table}")[1].split("eld out")[1]
    assert f"Median error {100 * load_profile(name).off_by:.2g} %, worst" in held_out


def test_without_a_cost_model_a_few_trials_tell_it() -> None:
    evaluator = ToyEvaluator(GRAPH)
    records = [evaluator.evaluate(candidate) for candidate in CUT.uniforms()]
    found = reach.learnt(Context(CUT, Limits(1.0)), records)
    least = min(record.outcome.timing.median_ms for record in records if hasattr(record.outcome, "timing"))
    assert found.latency_ms == pytest.approx(least, rel=0.05)
    assert found.misses(0.5 * least)
    assert not found.misses(1.2 * least)
    assert f"{len(records)} trials" in found.explain(1.0)[0]
