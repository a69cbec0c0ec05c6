"""The guided search's tables say the same as candidates taken one by one, and its solver finds what a list finds."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpsearch.board.cost import CostModel
from mpsearch.board.profile import load as load_profile
from mpsearch.search.guided.context import PlainPrior
from mpsearch.search.guided.features import Features
from mpsearch.search.guided.frames import Frame, Frames
from mpsearch.search.guided.knowledge import Encoder
from mpsearch.search.guided.solve import Model
from mpsearch.space import load as loading
from mpsearch.space import spec, yamlfile
from mpsearch.space.space import SearchSpace
from mpsearch.testing.toy import toy_graph

GRAPH = toy_graph()


def space(text: str) -> SearchSpace:
    return loading.build(spec.parse(yamlfile.parse(f"vendor: synap\n{text}\n", "s.yaml"), "s"), GRAPH)


SPACES = {
    "two bases": space("bases: [uint8, int8-pc]\ngrouping: each\ntails: 2"),
    "three types": space("bases: [uint8]\ntypes: [int16, float16]\ngrouping: each\ntails: 0\noutputs: free"),
    "pins": space("bases: [uint8]\ngrouping: {by: stage, stages: 2}\npins: [{unit: conv1, type: int16}]"),
    "cuts": space("bases: [uint8]\ngrouping: {by: stage, stages: 3}\ncuts: {points: all, choose: each}\ntails: 0"),
}
PRIORS = {"plain": PlainPrior(GRAPH), "cost model": CostModel(load_profile("vs680"), GRAPH)}


@st.composite
def frames_of(draw: st.DrawFn, frames: Frames) -> Frame:
    """Any frame, those with a tail too."""
    params = {name: draw(st.sampled_from(choices)) for name, choices in frames.dimensions.items()}
    return frames.at({**params, **draw(st.sampled_from(({}, *frames.tails)))})


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("name", SPACES)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_table_and_a_candidate_agree_on_latency_and_shares(name: str, prior: str, data: st.DataObject) -> None:
    searched = SPACES[name]
    frames = Frames(searched)
    features = Features(searched, PRIORS[prior])
    frame = data.draw(frames_of(frames))
    chosen = np.array([[data.draw(st.integers(0, count - 1)) for count in frame.counts]])
    candidate = searched.at(frame.point(chosen[0]))
    features.tables(frame)
    slow = features.latency_row(candidate)
    fast = features.latency_rows(frame, chosen)[0]
    np.testing.assert_allclose(np.pad(fast, (0, len(slow) - len(fast))), slow, atol=1e-12)
    np.testing.assert_allclose(features.many_shares(frame, chosen)[0], features.shares(candidate))
    assert candidate.digest == searched.at(frame.point(chosen[0])).digest


@pytest.mark.parametrize("name", SPACES)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_candidate_is_found_again_as_frame_and_assignment(name: str, data: st.DataObject) -> None:
    searched = SPACES[name]
    frames = Frames(searched)
    frame = data.draw(frames_of(frames))
    chosen = np.array([data.draw(st.integers(0, count - 1)) for count in frame.counts])
    candidate = searched.at(frame.point(chosen))
    found = frames.of(candidate)
    assert found is not None
    assert searched.at(found[0].point(found[1])) == candidate


def test_the_cost_models_estimate_is_the_sum_of_the_expected_terms() -> None:
    searched, model = SPACES["three types"], PRIORS["cost model"]
    assert isinstance(model, CostModel)
    features = Features(searched, model)
    for candidate in (*searched.uniforms(), searched.at({"type:conv1": "int16", "type:far": "float16"})):
        row = features.latency_row(candidate)
        expected = [value for term, value in zip(features.latency.index, row, strict=True) if term[0] in MAIN]
        assert sum(expected) == pytest.approx(model.estimate(candidate, GRAPH.assign(candidate)).total_ms)


MAIN = ("fixed", "unit", "edge")
BARRED = 100.0
"""An error that no solution takes; the solver stops 1e-6 of the largest error before the optimum."""


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.floats(0.0, 1.0), distance=st.integers(1, 2))
def test_the_solver_finds_the_least_error_that_a_list_of_all_finds(seed: int, share: float, distance: int) -> None:
    searched = SPACES["three types"]
    rng = np.random.default_rng(seed)
    frame = Frames(searched).at({})
    features = Features(searched, PRIORS["cost model"])
    tables = features.tables(frame)
    weights = rng.lognormal(0, 0.5, len(features.latency))
    weights[[term[0] not in MAIN for term in features.latency.index]] *= 0.001
    groups = 4  # the other groups stay low, so that the list is short
    error = [rng.lognormal(0, 1, count) * 0.01 ** np.arange(count) for count in frame.counts]
    for group in range(groups, len(error)):
        error[group] = np.where(np.arange(len(error[group])) == 0, 0.0, BARRED)
    every = np.array(list(itertools.product(*(range(n if g < groups else 1) for g, n in enumerate(frame.counts)))))
    latency = features.latency_rows(frame, every) @ weights
    total = sum(error[g][every[:, g]] for g in range(len(error)))
    target = float(np.quantile(latency, share)) + 1e-6
    known = [every[i] for i in rng.choice(len(every), 3)]
    apart = np.min([(every != k).sum(axis=1) for k in known], axis=0)
    allowed = (latency <= target) & (apart >= distance)
    found = Model(frame, tables, weights).solve(error, target, known, distance)
    if not allowed.any():
        assert found is None or sum(error[g][found[g]] for g in range(len(error))) >= BARRED
        return
    assert found is not None
    reached = sum(error[g][found[g]] for g in range(len(error)))
    assert reached <= float(total[allowed].min()) * 1.01 + 1e-3 * max(v.max() for v in error[:groups])
    assert float((features.latency_rows(frame, found[None]) @ weights)[0]) <= target * (1 + 1e-6)


def test_places_of_tables_and_candidates_agree() -> None:
    searched = SPACES["two bases"]
    frames, features = Frames(searched), Features(searched, PRIORS["plain"])
    encoder = Encoder(frames, features)
    for candidate in (*searched.uniforms(), searched.at({"type:conv2": "int16", "base": "uint8"})):
        known = encoder.encode(candidate)
        if known.at is None:
            continue
        frame, chosen = known.at
        many = encoder.places(frame, features.many_shares(frame, chosen[None]))
        np.testing.assert_allclose(encoder.padded(many)[0], encoder.padded(known.place))
