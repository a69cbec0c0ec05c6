"""Candidates and parameters stand for each other."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import FixedTrial

from mpsearch.candidate import Candidate, DataType
from mpsearch.graph.model import Role
from mpsearch.space import load as loading
from mpsearch.space import spec, yamlfile
from mpsearch.space.space import SearchSpace
from mpsearch.space.tails import spread
from mpsearch.testing.toy import toy_graph

GRAPH = toy_graph()
TEXTS = (
    "grouping: {by: stage, stages: 3}",
    "grouping: each\ntypes: [int16, float16]\ncuts: {points: all, choose: each}\nalgorithms: [standard, kl_divergence]",
    "grouping: tail\ntails: 3",
    "grouping: each\ntails: 0\noutputs: free\ncuts: nearest",
    "outputs: free\npins: [{unit: conv1, type: [base, float16]}, {unit: 'output:far_out', type: int16}]",
    "drop_outputs: [far_out]\ncuts: {points: all, uncut: false}\npreprocess: [cpu, 'nv12:64x48']",
    "grouping: {by: globs, groups: {early: ['conv[01]'], ends: [near, far]}}\ntypes: [float16]",
)


def build(text: str) -> SearchSpace:
    head = "vendor: synap\nbases: [uint8, int8-pc, int16, float16]\n"
    return loading.build(spec.parse(yamlfile.parse(head + text, "t.yaml"), "t"), GRAPH, face_sizes=(10, 100))


SPACES = tuple(build(text) for text in TEXTS)


@st.composite
def points(draw: st.DrawFn) -> tuple[SearchSpace, dict[str, str]]:
    space = draw(st.sampled_from(SPACES))
    return space, {name: draw(st.sampled_from(choices)) for name, choices in space.dimensions.items()}


@settings(max_examples=400, deadline=None)
@given(points())
def test_every_candidate_of_a_space_comes_back_from_its_parameters(case: tuple[SearchSpace, dict[str, str]]) -> None:
    space, point = case
    candidate = space.sample(FixedTrial(point))
    params = space.params(candidate)
    assert params is not None
    assert space.sample(FixedTrial(params)) == candidate
    assert set(params) == set(space.dimensions)


@settings(max_examples=300, deadline=None)
@given(points())
def test_every_candidate_of_a_space_is_canonical_and_legal(case: tuple[SearchSpace, dict[str, str]]) -> None:
    space, point = case
    candidate = space.at(point)
    assert space.canonical(candidate) == candidate
    assert not space.illegal(GRAPH, candidate)


CHOOSERS = [unit.name for unit in GRAPH.units if unit.role is not Role.TRANSPARENT]
CANDIDATES = st.builds(
    Candidate,
    base=st.sampled_from(("uint8", "int8-dfp", "int16")),
    overrides=st.dictionaries(st.sampled_from([u.name for u in GRAPH.units]), st.sampled_from(DataType)).map(
        lambda found: tuple(found.items())
    ),
    cuts=st.sampled_from([(), (("far_out", ("f0",)),), (("near_out", ("n1",)),)]),
)


@settings(max_examples=200, deadline=None)
@given(CANDIDATES)
def test_canonical_is_idempotent_and_keeps_the_type_of_every_live_unit(candidate: Candidate) -> None:
    once = SPACES[0].canonical(candidate)
    assert SPACES[0].canonical(once) == once
    live = {unit.name for unit in GRAPH.live(candidate)}
    assert all(once.type_of(unit) == candidate.type_of(unit) for unit in CHOOSERS if unit in live)
    assert set(dict(once.overrides)) <= live & set(CHOOSERS)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(SPACES), CANDIDATES)
def test_any_candidate_has_nearest_parameters_in_any_space(space: SearchSpace, candidate: Candidate) -> None:
    nearest = space.nearest(candidate)
    assert all(nearest[name] in choices for name, choices in space.dimensions.items())
    assert (space.at(nearest) == space.canonical(candidate)) == (space.params(candidate) is not None)


@pytest.mark.parametrize("place", range(len(SPACES)))
def test_uniforms_and_tails_are_what_they_are_called(place: int) -> None:
    space = SPACES[place]
    fixed = set(space.fixed) | {unit for group in space.groups if group.pinned for unit in group.units}
    for uniform in space.uniforms():
        assert set(dict(uniform.overrides)) <= fixed
    for tail in space.tails():
        live = {unit.name for unit in GRAPH.live(tail)}
        wide = {u for u, k in tail.overrides if GRAPH.unit[u].role is Role.COMPUTE and u not in fixed}
        behind = [position.units for position in space.tail_positions]
        assert wide in [set(units) & live - fixed for units in behind]


def test_the_size_bounds_the_number_of_candidates() -> None:
    space = build("grouping: tail\ntails: 4\ncuts: none")
    every = {
        space.at(dict(zip(space.dimensions, point, strict=True))).digest
        for point in itertools.product(*space.dimensions.values())
    }
    assert 4 < len(every) <= space.size


@given(st.integers(0, 90), st.integers(0, 40))
def test_a_spread_keeps_order_number_and_both_ends(count: int, limit: int) -> None:
    found = spread(tuple(range(count)), limit)
    assert len(found) == min(count, limit)
    assert list(found) == sorted(set(found))
    if 2 <= limit <= count:
        assert (found[0], found[-1]) == (0, count - 1)
