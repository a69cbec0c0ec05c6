"""Activations kept between trials save work and change no bit."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mpsearch.candidate import Candidate, DataType
from mpsearch.evaluate import Artifact
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.read import read
from mpsearch.quant import prefix
from mpsearch.quant.kept import Kept
from mpsearch.quant.simulator import Simulator

FloatArray = NDArray[np.float32]
UNITS = 8


class Photos:
    """A stand-in for a PhotoSet that counts how often it is read."""

    def __init__(self, images: FloatArray) -> None:
        self.images = images
        self.digest = hashlib.sha256(images.tobytes()).hexdigest()
        self.reads = 0

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, size: int) -> Iterator[FloatArray]:
        self.reads += 1
        for start in range(0, len(self.images), size):
            yield self.images[start : start + size]


def ladder(folder: Path) -> ModelGraph:
    """Eight convolutions with SiLU in a row, a skip over three of them, two outputs."""
    rng = np.random.default_rng(7)
    constants: dict[str, NDArray[Any]] = {}
    nodes = []
    tensor = "x"
    for index in range(UNITS):
        channels = 3 if index == 0 else 4
        constants[f"w{index}"] = rng.normal(0, 0.5, (4, channels, 3, 3))
        constants[f"b{index}"] = rng.normal(0, 0.3, 4)
        inputs = [tensor, f"w{index}", f"b{index}"]
        nodes.append(helper.make_node("Conv", inputs, [f"c{index}"], name=f"c{index}", pads=[1] * 4))
        nodes.append(helper.make_node("Sigmoid", [f"c{index}"], [f"s{index}"], name=f"s{index}"))
        nodes.append(helper.make_node("Mul", [f"c{index}", f"s{index}"], [f"a{index}"], name=f"m{index}"))
        tensor = f"a{index}"
        if index == 5:
            nodes.append(helper.make_node("Concat", ["a5", "a2"], ["cat"], name="cat", axis=1))
            constants["wj"], constants["bj"] = rng.normal(0, 0.5, (4, 8, 1, 1)), rng.normal(0, 0.3, 4)
            nodes.append(helper.make_node("Conv", ["cat", "wj", "bj"], ["joined"], name="join"))
            tensor = "joined"
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4, 8, 8]) for name in ("a3", "a7")],
        [numpy_helper.from_array(np.asarray(v, np.float32), k) for k, v in constants.items()],
    )
    path = folder / "ladder.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8), str(path))
    return read(path)


def images(count: int = 10) -> FloatArray:
    return np.random.default_rng(3).uniform(0, 1, (count, 3, 8, 8)).astype(np.float32)


def run(simulator: Simulator, graph: ModelGraph, candidate: Candidate) -> dict[str, FloatArray]:
    batches = list(simulator.batches(Artifact(candidate, graph.assign(candidate))))
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def candidates(graph: ModelGraph, count: int, seed: int = 0) -> list[Candidate]:
    draw = random.Random(seed)
    names = [unit.name for unit in graph.compute_units]
    synap = (("uint8", "int8-pc", "int8-dfp"), (DataType.INT16, DataType.FLOAT16), ((),))
    snpe = (
        ("a8w8", "a16w8"),
        (DataType.A16W8, DataType.A16W16, DataType.FLOAT16),
        ((), (("weights", "per_channel"),), (("bias_bits", "32"), ("equalization", "cle"))),
    )
    found = []
    for index in range(count):
        bases, kinds, options = (synap, snpe)[index % 2]
        units = draw.sample(names, draw.randint(0, 3))
        overrides = tuple((name, draw.choice(kinds)) for name in units)
        found.append(Candidate(draw.choice(bases), overrides=overrides, options=draw.choice(options)))
    return found


@pytest.mark.parametrize("limit_bytes", [2_000, 40_000, 1 << 24])
def test_results_are_bit_identical_with_caches_of_any_size_and_without(limit_bytes: int, tmp_path: Path) -> None:
    graph, photos = ladder(tmp_path), Photos(images())
    kept = Simulator(graph, photos, photos, threads=2, activations_bytes=limit_bytes)
    plain = Simulator(graph, photos, photos, threads=1, activations_bytes=0)
    tried = candidates(graph, 25)
    for candidate in [*tried, *reversed(tried)]:
        ours, wanted = run(kept, graph, candidate), run(plain, graph, candidate)
        assert all(np.array_equal(ours[name], wanted[name]) for name in graph.outputs)
        assert kept.kept_bytes <= limit_bytes


def test_a_candidate_tried_again_runs_next_to_nothing(tmp_path: Path) -> None:
    graph, photos = ladder(tmp_path), Photos(images())
    simulator = Simulator(graph, photos, photos)
    run(simulator, graph, Candidate())
    read_before = photos.reads
    run(simulator, graph, Candidate())
    assert photos.reads == read_before


def test_only_what_lies_behind_a_changed_unit_runs_again(tmp_path: Path) -> None:
    graph = ladder(tmp_path)
    simulator = Simulator(graph, Photos(images()), Photos(images()))
    store = prefix.Prefixes(graph, 1 << 24, 10, 3)
    units: list[int] = []
    for last in (None, "c7", "join", "c0"):
        # c1 is int16 in all of them: a uniform candidate shares its ranges differently.
        overrides = (("c1", DataType.INT16), *(((last, DataType.INT16),) if last else ()))
        candidate = Candidate(overrides=overrides)
        course = store.course(simulator.plan(candidate, graph.assign(candidate)))
        for layer in course.new.values():
            layer.batches[:] = [np.zeros(1)] * 3
        units.append(len(course.steps))
    assert units[0] == 10
    assert units[1] < units[2] < units[3] == 10


def test_a_trial_that_is_given_up_leaves_nothing_half_done(tmp_path: Path) -> None:
    graph, photos = ladder(tmp_path), Photos(images())
    simulator = Simulator(graph, photos, photos)
    given_up = simulator.batches(Artifact(Candidate(), graph.assign(Candidate())))
    next(given_up)
    given_up.close()  # type: ignore[attr-defined]
    assert simulator.kept_bytes == 0
    wanted = run(Simulator(graph, photos, photos, activations_bytes=0), graph, Candidate())
    ours = run(simulator, graph, Candidate())
    assert all(np.array_equal(ours[name], wanted[name]) for name in graph.outputs)


def test_two_trials_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    graph, photos = ladder(tmp_path), Photos(images())
    simulator = Simulator(graph, photos, photos)
    artifacts = [Artifact(c, graph.assign(c)) for c in (Candidate(), Candidate(overrides=(("c7", DataType.INT16),)))]
    pairs = list(zip(*(simulator.batches(artifact) for artifact in (*artifacts, artifacts[0])), strict=True))
    for column, candidate in enumerate((artifacts[0].candidate, artifacts[1].candidate, artifacts[0].candidate)):
        wanted = run(Simulator(graph, photos, photos, activations_bytes=0), graph, candidate)
        for name in graph.outputs:
            assert np.array_equal(np.concatenate([row[column][name] for row in pairs]), wanted[name])


def test_operators_are_made_again_after_they_went(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph, photos = ladder(tmp_path), Photos(images(4))
    monkeypatch.setattr("mpsearch.quant.simulator.OPERATORS_BYTES", 300_000)
    small = Simulator(graph, photos, photos, activations_bytes=0)
    first = run(small, graph, Candidate())
    again = run(small, graph, Candidate())
    assert all(np.array_equal(first[name], again[name]) for name in graph.outputs)


@given(st.integers(0, 60), st.lists(st.tuples(st.integers(0, 9), st.integers(0, 30)), max_size=40))
def test_kept_values_never_take_more_than_their_limit_and_the_longest_unused_goes_first(
    limit: int, puts: list[tuple[int, int]]
) -> None:
    kept: Kept[int, int] = Kept(limit)
    known: dict[int, int] = {}
    for key, size in puts:
        kept.put(key, size, size)
        known.pop(key, None)
        if size <= limit:
            known[key] = size
            while sum(known.values()) > limit:
                known.pop(next(iter(known)))
        assert kept.used_bytes == sum(known.values()) <= limit
        assert [kept.get(key) for key in known] == list(known.values())
    kept.remove(known)
    assert len(kept) == kept.used_bytes == 0


def test_a_negative_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="0 keeps nothing"):
        Kept(-1)
