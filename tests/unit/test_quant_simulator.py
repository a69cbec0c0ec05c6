"""The simulator against a slow reference that dequantizes, computes and quantizes node by node."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from mpsearch.candidate import BASES, Candidate, DataType
from mpsearch.errors import DataError
from mpsearch.evaluate import Artifact
from mpsearch.graph.model import ModelGraph, Role
from mpsearch.graph.onnxio import FloatModel
from mpsearch.graph.read import read
from mpsearch.quant import schemes
from mpsearch.quant.plan import before_activation
from mpsearch.quant.simulator import Simulator

FloatArray = NDArray[np.float32]
MIXED = (("c1", DataType.INT16), ("c3", DataType.INT16), ("c5", DataType.FLOAT16), ("output:y", DataType.INT16))


class Photos:
    """A stand-in for a PhotoSet."""

    def __init__(self, images: FloatArray) -> None:
        self.images = images
        self.digest = hashlib.sha256(images.tobytes()).hexdigest()

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, size: int) -> Iterator[FloatArray]:
        for start in range(0, len(self.images), size):
            yield self.images[start : start + size]


def random_model(seed: int, folder: Path) -> ModelGraph:
    """Convolutions with several activations, depthwise, BatchNormalization, a channel shuffle, Add, Softmax."""
    rng = np.random.default_rng(seed)
    constants: dict[str, NDArray[Any]] = {}

    def conv(name: str, source: str, channels: tuple[int, int], out: str, group: int = 1, kernel: int = 3) -> Any:
        constants[f"{name}.w"] = rng.normal(0, 0.5, (channels[1], channels[0] // group, kernel, kernel))
        constants[f"{name}.b"] = rng.normal(0, 0.3, channels[1])
        pad = kernel // 2
        return helper.make_node(
            "Conv", [source, f"{name}.w", f"{name}.b"], [out], name=name, group=group, pads=[pad] * 4
        )

    for key, values in {"g": (0.5, 1.5), "beta": (-1, 1), "mean": (-1, 1), "var": (0.5, 2)}.items():
        constants[f"bn.{key}"] = rng.uniform(*values, 6)
    ints = {
        "s0": [0], "s3": [3], "s6": [6], "ax": [1], "split": [1, 2, 3, 8, 8], "join": [1, 6, 8, 8],
    }  # fmt: skip
    nodes = [
        conv("c1", "x", (3, 6), "c1o"),
        helper.make_node("Sigmoid", ["c1o"], ["sg"], name="sg"),
        helper.make_node("Mul", ["c1o", "sg"], ["a1"], name="silu"),
        conv("c2", "a1", (6, 6), "c2o", group=6),
        helper.make_node("BatchNormalization", ["c2o", "bn.g", "bn.beta", "bn.mean", "bn.var"], ["bn"], name="bn"),
        helper.make_node("Relu", ["bn"], ["a2"], name="relu"),
        helper.make_node("Slice", ["a2", "s0", "s3", "ax"], ["l"], name="slice0"),
        helper.make_node("Slice", ["a2", "s3", "s6", "ax"], ["r"], name="slice1"),
        conv("c3", "r", (3, 3), "c3o", kernel=1),
        helper.make_node("LeakyRelu", ["c3o"], ["a3"], name="leaky", alpha=0.1),
        helper.make_node("Concat", ["l", "a3"], ["cat"], name="cat", axis=1),
        helper.make_node("Reshape", ["cat", "split"], ["rs"], name="rs"),
        helper.make_node("Transpose", ["rs"], ["tr"], name="tr", perm=[0, 2, 1, 3, 4]),
        helper.make_node("Reshape", ["tr", "join"], ["shuffled"], name="rs2"),
        helper.make_node("Add", ["shuffled", "a1"], ["sum"], name="add"),
        helper.make_node("MaxPool", ["sum"], ["pool"], name="pool", kernel_shape=[2, 2], strides=[2, 2]),
        conv("c5", "pool", (6, 4), "y"),
        helper.make_node("Softmax", ["y"], ["z"], name="softmax", axis=1),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 4, 4, 4]) for n in ("y", "z")],
        [numpy_helper.from_array(np.asarray(v, np.float32), k) for k, v in constants.items()]
        + [numpy_helper.from_array(np.asarray(v, np.int64), k) for k, v in ints.items()],
    )
    path = folder / f"random{seed}.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8), str(path))
    return read(path)


def reference(
    simulator: Simulator, graph: ModelGraph, candidate: Candidate, image: FloatArray
) -> dict[str, FloatArray]:
    """Slow and plain: every step in float64 by onnx's reference operators, between quantize and dequantize."""
    model = onnx.load(str(graph.path))
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    protos = {node.name: node for node in model.graph.node}
    laid = simulator.plan(candidate, graph.assign(candidate))

    def fake(x: Any, params: schemes.QParams | None) -> Any:
        return x if params is None else schemes.dequantize(schemes.quantize(x, params), params)

    values: dict[str, Any] = {"x": fake(image, laid.input)}
    for step in laid.steps:
        unit = graph.unit[step.unit]
        local = {**constants, **{name: fake(values[name], read_as) for name, read_as in step.sources}}
        pre = before_activation(graph, unit)
        for index, name in enumerate(unit.nodes):
            node = protos[name]
            if index == 0 and node.op_type == "Conv" and step.type is not DataType.FLOAT16:
                values_out = _conv(node, unit.nodes, protos, local, step, candidate)
                local[pre or node.output[0]] = fake(values_out, step.inner or step.targets[0][1])
                continue
            if node.op_type == "BatchNormalization" and step.type is not DataType.FLOAT16:
                continue
            made = ReferenceEvaluator(node).run(None, {n: local[n] for n in node.input})
            local.update(zip(node.output, made, strict=True))
        values.update({name: fake(local[name], params) for name, params in step.targets})
    return {name: fake(values[name], params) for name, params in laid.delivered}


def _conv(node: Any, names: Any, protos: Any, local: Any, step: Any, candidate: Candidate) -> Any:
    weights, bias = np.float64(local[node.input[1]]), np.float64(local[node.input[2]])
    if len(names) > 1 and protos[names[1]].op_type == "BatchNormalization":
        gamma, beta, mean, var = (np.float64(local[n]) for n in protos[names[1]].input[1:])
        factor = gamma / np.sqrt(var + 1e-5)
        weights, bias = weights * factor.reshape(-1, 1, 1, 1), bias * factor + beta - mean * factor
    quantized = schemes.quantize_weights(weights.astype(np.float32), step.type, BASES[candidate.base])
    step_size = step.sources[0][1].scale * quantized.scale.astype(np.float64)
    local = {
        node.input[0]: np.float64(local[node.input[0]]),
        node.input[1]: np.float64(quantized.real()),
        node.input[2]: np.rint(bias / step_size) * step_size,
    }
    return ReferenceEvaluator(node).run(None, local)[0]


def images(count: int, seed: int = 0) -> FloatArray:
    return np.random.default_rng(seed).uniform(0, 1, (count, 3, 8, 8)).astype(np.float32)


CANDIDATES = {
    **{base: Candidate(base) for base in ("uint8", "int8-asym", "int8-sym", "int8-pc", "int8-dfp", "int16")},
    "mixed": Candidate("uint8", overrides=MIXED),
    "mixed-dfp": Candidate("int8-dfp", overrides=MIXED),
}


@pytest.mark.parametrize("name", CANDIDATES)
def test_outputs_are_those_of_the_slow_reference(name: str, tmp_path: Path) -> None:
    for seed in range(3):
        graph = random_model(seed, tmp_path)
        photos = images(5, seed)
        simulator = Simulator(graph, Photos(photos), Photos(photos), threads=1)
        fast = simulator.outputs(CANDIDATES[name], photos)
        for index in range(2):
            slow = reference(simulator, graph, CANDIDATES[name], photos[index : index + 1])
            for output in graph.outputs:
                # Sums in float32 or in integers can fall on the other side of a rounding edge than float64 ones.
                ours, theirs = fast[output][index], slow[output][0]
                scale = np.abs(theirs).max()
                assert np.mean(np.abs(ours - theirs) > 1e-4 * scale) < (0.03 if name == "int16" else 0.06)
                assert np.abs(ours - theirs).max() < 0.06 * scale


def test_the_unquantized_base_gives_the_float_model(tmp_path: Path) -> None:
    graph, photos = random_model(0, tmp_path), images(3)
    made = Simulator(graph, Photos(photos), Photos(photos)).outputs(Candidate("float16"), photos)
    wanted = FloatModel(graph).run(photos)
    for name in graph.outputs:
        assert np.allclose(made[name], wanted[name], atol=1e-5)


def test_more_bits_lose_less(tmp_path: Path) -> None:
    graph, photos = random_model(1, tmp_path), images(4)
    simulator, wanted = Simulator(graph, Photos(photos), Photos(photos)), FloatModel(graph).run(photos)["y"]
    errors = [
        float(np.mean((simulator.outputs(Candidate(base), photos)["y"] - wanted) ** 2)) for base in ("int16", "uint8")
    ]
    assert errors[0] < errors[1] / 1000


def test_threads_and_batches_change_no_bit(tmp_path: Path) -> None:
    graph, photos = random_model(2, tmp_path), images(11)
    artifact = Artifact(CANDIDATES["mixed"], graph.assign(CANDIDATES["mixed"]))
    one, two = (Simulator(graph, Photos(photos), Photos(photos), threads=n) for n in (1, 2))
    first, second = list(one.batches(artifact)), list(two.batches(artifact))
    assert sum(len(batch["y"]) for batch in first) == 11
    for a, b in zip(first, second, strict=True):
        assert all(np.array_equal(a[name], b[name]) for name in graph.outputs)
    assert np.array_equal(np.concatenate([b["y"] for b in first]), one.outputs(artifact, photos)["y"])


def test_a_cut_output_is_completed_in_float(tmp_path: Path) -> None:
    graph, photos = random_model(0, tmp_path), images(2)
    cuts = graph.cut_points.get("z", ())
    assert cuts, "Softmax can be cut"
    simulator = Simulator(graph, Photos(photos), Photos(photos))
    made = simulator.outputs(Candidate("int16", cuts=(("z", cuts[-1]),)), photos)["z"]
    assert np.allclose(made.sum(axis=1), 1.0, atol=1e-6)


def test_a_dropped_output_is_absent(tmp_path: Path) -> None:
    graph, photos = random_model(0, tmp_path), images(2)
    assert set(Simulator(graph, Photos(photos), Photos(photos)).outputs(Candidate(dropped=("z",)), photos)) == {"y"}


def test_calibration_is_read_back_from_the_cache_and_measured_again_when_damaged(tmp_path: Path) -> None:
    graph, photos, cache = random_model(0, tmp_path), images(3), tmp_path / "cache"
    first = Simulator(graph, Photos(photos), Photos(photos), cache=cache).statistics
    (file,) = cache.glob("*.npz")
    before = file.stat().st_mtime_ns
    again = Simulator(graph, Photos(photos), Photos(photos), cache=cache).statistics
    assert file.stat().st_mtime_ns == before
    file.write_bytes(file.read_bytes()[:100])
    healed = Simulator(graph, Photos(photos), Photos(photos), cache=cache).statistics
    for name, rows in first.extremes.items():
        assert np.array_equal(rows, again.extremes[name])
        assert np.array_equal(rows, healed.extremes[name])


def test_photographs_that_are_not_finite_or_missing_are_refused(tmp_path: Path) -> None:
    graph, good = random_model(0, tmp_path), images(2)
    bad = good.copy()
    bad[1, 0, 0, 0] = np.nan
    with pytest.raises(DataError, match="'x' is not finite on calibration photograph 1"):
        Simulator(graph, Photos(bad), Photos(good)).outputs(Candidate(), good)
    with pytest.raises(DataError, match="NaN or infinite"):
        Simulator(graph, Photos(good), Photos(bad)).outputs(Candidate(), bad)
    with pytest.raises(DataError, match="no calibration photographs"):
        Simulator(graph, Photos(good[:0]), Photos(good)).outputs(Candidate(), good)


def test_one_photograph_is_enough(tmp_path: Path) -> None:
    graph, photos = random_model(0, tmp_path), images(1)
    made = Simulator(graph, Photos(photos), Photos(photos)).outputs(Candidate(), photos)
    assert made["y"].shape == (1, 4, 4, 4)
    assert all(unit.role in Role for unit in graph.units)
