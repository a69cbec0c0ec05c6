"""A candidate's encodings in SNPE's words, and cross-layer equalization."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from mpsearch import quant
from mpsearch.candidate import Candidate, DataType
from mpsearch.errors import ConfigError
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.onnxio import FloatModel
from mpsearch.graph.read import read
from mpsearch.quant import equalize
from mpsearch.quant.simulator import Simulator
from mpsearch.testing.models import Builder, save, small_detector

FloatArray = NDArray[np.float32]


class Photos:
    """A stand-in for a PhotoSet."""

    def __init__(self, count: int = 3, seed: int = 0) -> None:
        self.images = np.random.default_rng(seed).uniform(0, 1, (count, 3, 32, 32)).astype(np.float32)
        self.digest = hashlib.sha256(self.images.tobytes()).hexdigest()

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, size: int) -> Iterator[FloatArray]:
        for start in range(0, len(self.images), size):
            yield self.images[start : start + size]


@pytest.fixture
def graph(tmp_path: Path) -> ModelGraph:
    return read(save(small_detector(), tmp_path / "small.onnx"))


@pytest.fixture
def simulator(graph: ModelGraph) -> Simulator:
    return Simulator(graph, Photos(), Photos(), threads=1)


def test_every_tensor_and_every_weight_has_an_encoding(graph: ModelGraph, simulator: Simulator) -> None:
    found = quant.encodings(simulator, Candidate("a8w8", options=(("weights", "per_channel"), ("bias_bits", "32"))))
    made = {tensor for node in graph.nodes for tensor in node.outputs}
    relu_inputs = {node.inputs[0] for node in graph.nodes if node.op_type == "Relu"}
    assert set(found["activation_encodings"]) == {graph.inputs[0], *made} - relu_inputs
    convolutions = [node for node in graph.nodes if node.op_type == "Conv"]
    assert set(found["param_encodings"]) == {name for node in convolutions for name in node.params}
    for node in convolutions:
        weight, bias = (found["param_encodings"][name] for name in node.params)
        assert len(weight) == len(bias) == node.conv.out_channels  # type: ignore[union-attr]
        assert (weight[0]["bitwidth"], bias[0]["bitwidth"], weight[0]["is_symmetric"]) == (8, 32, "True")
    assert set(found["output_encodings"]) == set(graph.outputs)


def test_an_encoding_agrees_with_itself(simulator: Simulator) -> None:
    found = quant.encodings(simulator, Candidate("a16w8"))
    for section, bits in (("activation_encodings", 16), ("param_encodings", 8)):
        for (entry,) in found[section].values():
            assert entry["bitwidth"] == bits
            assert entry["dtype"] == "int"
            assert entry["min"] == pytest.approx(entry["scale"] * entry["offset"])
            assert entry["max"] == pytest.approx(entry["min"] + entry["scale"] * (2**bits - 1))
            assert entry["min"] <= 0 <= entry["max"]
            assert entry["offset"] == round(entry["offset"]) <= 0


def test_a_gate_has_the_fixed_encoding_and_a_float_unit_has_none(graph: ModelGraph, simulator: Simulator) -> None:
    first, second = [unit for unit in graph.compute_units if unit.kind == "conv"][:2]
    candidate = Candidate("a8w8", overrides=((first.name, DataType.A16W16), (second.name, DataType.FLOAT16)))
    found = quant.encodings(simulator, candidate)
    gate = next(node.outputs[0] for node in graph.nodes if node.op_type == "Sigmoid")
    (entry,) = found["activation_encodings"][gate]
    assert (entry["bitwidth"], entry["scale"], entry["offset"]) == (16, 1 / 65536, 0)
    (weight,) = found["param_encodings"][graph.node[first.nodes[0]].params[0]]
    assert (weight["bitwidth"], weight["is_symmetric"]) == (16, "True")
    assert weight["offset"] == -0x8000
    for name in (*second.outputs, *graph.node[second.nodes[0]].params):
        section = "activation_encodings" if name in second.outputs else "param_encodings"
        assert found[section][name] == [{"bitwidth": 16, "dtype": "float"}]


def test_a_candidate_of_another_vendor_has_no_encodings(simulator: Simulator) -> None:
    with pytest.raises(ConfigError, match="base uint8 has no encodings"):
        quant.encodings(simulator, Candidate("uint8"))


def uneven(folder: Path) -> ModelGraph:
    """Convolutions with Relu between, the first with channels that differ a thousandfold."""
    b = Builder(seed=1)
    hidden = b.node("Relu", b.conv("input", 3, 8))
    model = b.model([b.conv(b.node("Relu", b.conv(hidden, 8, 8, group=8)), 8, 4, kernel=1)])
    factor = np.float32(10.0 ** np.linspace(-1.5, 1.5, 8))
    for index in (0, 1):
        value = numpy_helper.to_array(model.graph.initializer[index])
        scaled = value * factor.reshape(-1, *[1] * (value.ndim - 1))
        model.graph.initializer[index].CopyFrom(numpy_helper.from_array(scaled, model.graph.initializer[index].name))
    return read(save(model, folder / "uneven.onnx"))


def test_equalization_changes_the_weights_and_not_the_function(tmp_path: Path) -> None:
    graph, photos = uneven(tmp_path), Photos()
    onnx.save(equalize.equalized(graph), str(tmp_path / "even.onnx"))
    even = read(tmp_path / "even.onnx")
    before, after = (FloatModel(g).run(photos.images)[graph.outputs[0]] for g in (graph, even))
    assert np.allclose(before, after, rtol=1e-4, atol=1e-4 * float(np.abs(before).max()))
    first = numpy_helper.to_array(onnx.load(str(tmp_path / "even.onnx")).graph.initializer[0])
    channels = np.abs(first).reshape(8, -1).max(axis=1)
    assert channels.max() / channels.min() < 30


def test_equalization_helps_per_tensor_weights_and_is_cached_like_everything_else(tmp_path: Path) -> None:
    graph, photos = uneven(tmp_path), Photos()
    simulator = Simulator(graph, photos, photos, threads=1)
    wanted = FloatModel(graph).run(photos.images)[graph.outputs[0]]
    plain, even = Candidate("a16w8"), Candidate("a16w8", options=(("equalization", "cle"),))
    errors = [
        float(np.mean((simulator.outputs(c, photos.images)[graph.outputs[0]] - wanted) ** 2)) for c in (plain, even)
    ]
    assert errors[1] < errors[0] / 4
    again = Simulator(graph, photos, photos, threads=1, cache=tmp_path / "cache", activations_bytes=0)
    name = graph.outputs[0]
    assert np.array_equal(again.outputs(even, photos.images)[name], simulator.outputs(even, photos.images)[name])


def test_the_whole_model_in_fp16_holds_only_numbers_of_16_bits_and_is_near_to_float(
    graph: ModelGraph, simulator: Simulator
) -> None:
    images = Photos(seed=1).images
    exact = FloatModel(graph).run(images)
    halves = simulator.outputs(Candidate("fp16"), images)
    for name, values in simulator.outputs(Candidate("float16"), images).items():
        np.testing.assert_allclose(values, exact[name], rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(halves[name], halves[name].astype(np.float16))
        assert not np.array_equal(halves[name], exact[name])
        np.testing.assert_allclose(halves[name], exact[name], rtol=2e-2, atol=2e-2 * np.abs(exact[name]).max())
