"""Nothing whose outcome is known is measured: twins by their plan, duplicates in any order of events, idle choices."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpsearch.candidate import Candidate
from mpsearch.errors import CandidateError
from mpsearch.evaluate import Artifact
from mpsearch.graph.read import read
from mpsearch.pareto.limits import Limits
from mpsearch.quant.simulator import Simulator
from mpsearch.record import Record
from mpsearch.search import samplers
from mpsearch.search.guided import Context, GuidedSampler, alike, seeds
from mpsearch.search.guided.knowledge import Known
from mpsearch.search.guided.models import Learner
from mpsearch.search.twins import Twins, delivered
from mpsearch.space import load as loading
from mpsearch.space import spec, yamlfile
from mpsearch.space.space import SearchSpace
from mpsearch.study.ledger import Ledger
from mpsearch.study.run import StudyRun
from mpsearch.study.storage import default_url
from mpsearch.testing.models import save, small_detector
from mpsearch.testing.toy import ToyEvaluator, toy_graph
from mpsearch.toolchain.snpe import bundle
from mpsearch.toolchain.snpe.driver import SnpeToolchain
from mpsearch.toolchain.snpe.modelconverter import InputIO
from mpsearch.toolchain.snpe.tools import Tools


class Pictures:
    """Random photographs of the small detector's size."""

    def __init__(self, count: int, seed: int) -> None:
        self._images = np.random.default_rng(seed).random((count, 3, 32, 32)).astype(np.float32)
        self.digest = f"{count}-{seed}"

    def __len__(self) -> int:
        return len(self._images)

    def batches(self, size: int) -> list[np.ndarray]:
        return [self._images[start : start + size] for start in range(0, len(self), size)]


def parsed(text: str) -> spec.SpaceSpec:
    return spec.parse(yamlfile.parse(f"vendor: synap\n{text}\n", "s.yaml"), "s")


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Simulator, SearchSpace]:
    graph = read(save(small_detector(), tmp_path_factory.mktemp("model") / "small.onnx"))
    text = "bases: [uint8, int8-sym]\ngrouping: {by: stage, stages: 2}\ncuts: {points: all, choose: each}\ntails: 0"
    return Simulator(graph, Pictures(2, 0), Pictures(2, 1), threads=1), loading.build(parsed(text), graph)


def outputs(simulator: Simulator, candidate: Candidate) -> dict[str, np.ndarray]:
    artifact = Artifact(candidate, simulator._graph.assign(candidate))
    parts = list(simulator.batches(artifact))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@st.composite
def neighbours(draw: st.DrawFn, space: SearchSpace) -> tuple[str, Candidate, Candidate]:
    """A parameter, and two candidates that differ in no other."""
    point = {name: draw(st.sampled_from(choices)) for name, choices in space.dimensions.items()}
    name = draw(st.sampled_from([n for n, c in space.dimensions.items() if len(c) > 1]))
    return name, space.at(point), space.at({**point, name: draw(st.sampled_from(space.dimensions[name]))})


def identity(simulator: Simulator, candidate: Candidate) -> str:
    graph = simulator._graph
    return delivered(graph, simulator.plan(candidate, graph.assign(candidate)))


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_candidates_of_one_identity_give_the_same_numbers_to_the_bit(
    simulated: tuple[Simulator, SearchSpace], data: st.DataObject
) -> None:
    simulator, space = simulated
    name, one, two = data.draw(neighbours(space))
    same = identity(simulator, one) == identity(simulator, two)
    left, right = outputs(simulator, one), outputs(simulator, two)
    if same:
        assert all(np.array_equal(left[key], right[key]) for key in left)
    elif name.startswith("type:") and one.digest != two.digest:
        assert any(not np.array_equal(left[key], right[key]) for key in left)


def test_a_cut_in_front_of_what_only_moves_values_makes_a_twin(simulated: tuple[Simulator, SearchSpace]) -> None:
    simulator, space = simulated
    (near,) = [cut.name for cut in space.cuts if len(cut.depths) > 2]
    identities = {identity(simulator, space.at({near: depth})) for depth in space.dimensions[near]}
    assert len(identities) == 1
    assert len({space.at({near: depth}).digest for depth in space.dimensions[near]}) == 3


def test_what_identifies_a_candidate_is_worked_out_once() -> None:
    calls: list[str] = []

    def identify(candidate: Candidate) -> str:
        calls.append(candidate.digest)
        if candidate.base == "int16":
            raise CandidateError("refused", stage="render")
        return candidate.base

    twins = Twins(identify)
    assert [twins(Candidate()), twins(Candidate()), twins(Candidate("int16"))] == ["uint8", "uint8", None]
    assert len(calls) == 2


DEPTHAI = """vendor: snpe
bases: [a8w8, a16w8, fp16]
types: [a16w8, a16w16, float16]
options: {weights: [per_tensor, per_channel], weight_bits: ["8", "4"], perf_profile: [balanced, burst]}
grouping: each
pins: [{unit: "output:*", type: base}]
cuts: {points: all, choose: each}
tails: 0
"""
"""DepthAI exchanges 8-bit tensors only, so outputs stay at the base, and the units that make them follow."""


@pytest.fixture(scope="module", params=["snpe", "qairt"])
def snpe(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[SnpeToolchain, SearchSpace]:
    """No tools: whatever starts one fails."""
    folder = tmp_path_factory.mktemp("snpe")
    graph = read(save(small_detector(), folder / "small.onnx"))
    tools = Tools(family=request.param, sdk=folder / "nowhere")
    space = loading.build(spec.parse(yamlfile.parse(DEPTHAI, "s.yaml"), "s"), graph)
    return SnpeToolchain(graph, Pictures(2, 0), folder / "cache", tools), space


def given_to_the_tools(toolchain: SnpeToolchain, candidate: Candidate) -> tuple[object, ...]:
    """By what an export writes."""
    made = bundle.render(toolchain.graph, candidate, InputIO((0.0,) * 3, (255.0,) * 3), name="m",
                         family=toolchain.tools.family)  # fmt: skip
    return made.texts.get("overrides.json", ""), made.commands, candidate.option("perf_profile")


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_snpe_candidates_are_twins_exactly_where_the_tools_are_given_the_same(
    snpe: tuple[SnpeToolchain, SearchSpace], data: st.DataObject
) -> None:
    toolchain, space = snpe
    identities, given_words = [], []
    for candidate in data.draw(neighbours(space))[1:]:
        identities.append(Twins(toolchain.identity)(candidate))
        if identities[-1] is None:
            with pytest.raises(CandidateError):
                toolchain.build(candidate)
            return
        given_words.append(given_to_the_tools(toolchain, candidate))
    assert (identities[0] == identities[1]) is (given_words[0] == given_words[1])
    assert not toolchain.cache.exists()


def test_an_output_that_stays_8_bit_makes_twins_of_all_types_of_its_unit(
    snpe: tuple[SnpeToolchain, SearchSpace],
) -> None:
    toolchain, space = snpe
    first = {name: choices[0] for name, choices in space.dimensions.items()}
    candidates = [space.at({**first, "type:Sigmoid_18": kind}) for kind in ("base", "a16w8")]
    assert len({candidate.digest for candidate in candidates}) == 2
    assert len(set(map(toolchain.identity, candidates))) == 1


GRAPH = toy_graph()
SPACES = {
    "three groups": loading.build(parsed("bases: [uint8]\ngrouping: {by: stage, stages: 1}\ntails: 0"), GRAPH),
    "every unit": loading.build(parsed("bases: [uint8]\ngrouping: each\ntails: 0"), GRAPH),
    "two bases and cuts": loading.build(
        parsed("bases: [uint8, int8-pc]\ngrouping: {by: stage, stages: 1}\ncuts: {points: all}\ntails: 1"), GRAPH
    ),
}


def twin_of(candidate: Candidate) -> str:
    """In these studies cuts change nothing."""
    return repr((candidate.base, str(candidate.algorithm), sorted(k for k in candidate.overrides if "conv" in k[0])))


def refuse(modulus: int) -> Callable[[Candidate], str | None]:
    return lambda candidate: "no" if modulus and int(candidate.digest[:4], 16) % modulus == 0 else None


def start(
    storage: str | optuna.storages.BaseStorage,
    space: SearchSpace,
    evaluator: ToyEvaluator,
    *,
    sampler: str,
    seed: int,
) -> StudyRun:
    limits = Limits(budget_ms=5.0)
    ledger = Ledger.create(storage, "toy", {"space": space.digest}, limits)
    context = Context(space, limits, planned=20, twin=twin_of)

    def make(trials: int) -> optuna.samplers.BaseSampler:
        return GuidedSampler(context, seed) if sampler == "guided" else samplers.create(sampler, seed, trials)

    return StudyRun(
        ledger, space, evaluator, limits=limits, sampler=make, seeds=seeds(space), seed=seed, twin=twin_of
    )  # fmt: skip


@settings(max_examples=12, deadline=None)
@given(
    name=st.sampled_from(sorted(SPACES)),
    sampler=st.sampled_from(["guided", "random", "tpe"]),
    stops=st.lists(st.integers(1, 24), min_size=1, max_size=3),
    modulus=st.sampled_from([0, 3]),
    seed=st.integers(0, 99),
)
def test_no_outcome_is_measured_twice_whatever_fails_and_however_often_it_is_resumed(
    name: str, sampler: str, stops: list[int], modulus: int, seed: int
) -> None:
    storage, measured = optuna.storages.InMemoryStorage(), list[str]()
    for total in sorted(stops):
        evaluator = ToyEvaluator(GRAPH, refuse=refuse(modulus))
        start(storage, SPACES[name], evaluator, sampler=sampler, seed=seed).run(total)
        measured += [twin_of(candidate) for candidate in evaluator.calls]
    assert len(measured) == len(set(measured))


@pytest.mark.parametrize("sampler", ["guided", "random"])
@pytest.mark.parametrize("seed", range(2))
def test_several_workers_in_one_storage_never_measure_the_same(tmp_path: Path, sampler: str, seed: int) -> None:
    url, space = default_url(tmp_path), SPACES["every unit"]
    Ledger.create(url, "toy", {"space": space.digest}, Limits(budget_ms=5.0))
    evaluators = [ToyEvaluator(GRAPH, sleep_s=0.01) for _ in range(3)]

    def work(evaluator: ToyEvaluator) -> None:
        start(url, space, evaluator, sampler=sampler, seed=seed).run(8)

    with ThreadPoolExecutor(3) as workers:
        list(workers.map(work, evaluators))
    measured = [twin_of(candidate) for evaluator in evaluators for candidate in evaluator.calls]
    assert len(measured) >= 8
    assert len(measured) == len(set(measured))


def known(learner: Learner, space: SearchSpace, point: dict[str, str], record: Record, *, cheap: bool = False) -> Known:
    blank = learner.encoder.encode(space.at(point))
    outcome = record.outcome
    assert hasattr(outcome, "score")
    idle = blank.shares.copy()
    idle[0] = 0  # the first group is a head that nobody looks at
    error = float(1.0 + (idle * np.arange(1, 1 + idle.shape[1])).sum() + 10 * idle[:, 0].sum())
    return Known(
        blank.candidate, blank.at, blank.latency, blank.shares, blank.place, error,
        None if cheap else outcome.timing.median_ms, cheap=cheap,
    )  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_an_idle_group_is_recognised_and_no_other(data: st.DataObject) -> None:
    space = SPACES["three groups"]
    learner = Learner(Context(space, Limits()))
    evaluator = ToyEvaluator(GRAPH)
    names = [f"type:{group.name}" for group in space.groups]
    drawn = st.fixed_dictionaries({name: st.sampled_from(space.dimensions[name]) for name in names})
    points = [*data.draw(st.lists(drawn, min_size=2, max_size=6))]
    points += [{**point, name: choice} for point in points[:1] for name in names for choice in space.dimensions[name]]
    items = [known(learner, space, p, evaluator.evaluate(space.at(p))) for p in points]
    found = alike.find(items)
    assert found.groups.tolist() == [True] + [False] * (len(names) - 1)
    other = data.draw(drawn)
    blank = learner.encoder.encode(space.at(other))
    error, least_ms = found.errors(blank.candidate, blank.shares[None])
    truth = known(learner, space, other, evaluator.evaluate(space.at(other))).error_px2
    seen = any(all(p[n] == other[n] for n in names[1:]) for p in points)
    assert seen is not bool(np.isnan(error[0]))
    if seen:
        assert error[0] == truth
        assert least_ms[0] > 0
