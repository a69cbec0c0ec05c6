"""The simulator against a slow reference that dequantizes, computes and quantizes node by node."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from mpsearch.candidate import BASES, Candidate, DataType, Scheme
from mpsearch.errors import DataError
from mpsearch.evaluate import Artifact
from mpsearch.graph.model import ModelGraph, Role
from mpsearch.graph.onnxio import FloatModel
from mpsearch.graph.read import read
from mpsearch.quant import qparams, schemes
from mpsearch.quant.plan import before_activation
from mpsearch.quant.simulator import Simulator
from mpsearch.testing.models import Builder, save

FloatArray = NDArray[np.float32]
MIXED = (("c1", DataType.INT16), ("c3", DataType.INT16), ("c5", DataType.FLOAT16), ("output:y", DataType.INT16))
MIXED_SNPE = (("c1", DataType.A16W8), ("c3", DataType.A16W16), ("c5", DataType.FLOAT16), ("output:y", DataType.A16W8))


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


def random_graph(seed: int, folder: Path) -> ModelGraph:
    """Six to nine random operators in a row, some reading what an earlier one made too."""
    rng = np.random.default_rng(seed)
    b = Builder(seed=seed, opset=15)
    tensor, channels, size = b.conv("input", 3, 4), 4, 8
    earlier: list[tuple[str, int, int]] = [(tensor, channels, size)]
    for _ in range(rng.integers(5, 9)):
        kind = rng.choice(["conv", "depthwise", "silu", "one", "pool", "add", "concat", "slice", "constant", "shuffle"])
        like = [t for t, c, s in earlier if (c, s) == (channels, size) and t != tensor]
        if kind == "conv":
            outputs = int(rng.choice([2, 4, 6]))
            tensor, channels = b.conv(tensor, channels, outputs, kernel=int(rng.choice([1, 3]))), outputs
        elif kind == "depthwise":
            tensor = b.conv(tensor, channels, channels, group=channels)
        elif kind == "silu":
            tensor = b.silu(tensor)
        elif kind == "one":
            op_type = str(rng.choice(["Relu", "LeakyRelu", "HardSwish", "Sigmoid", "Tanh"]))
            tensor = b.node(op_type, tensor)
        elif kind == "pool" and size > 2:
            tensor, size = b.node("MaxPool", tensor, kernel_shape=[2, 2], strides=[2, 2]), size // 2
        elif kind == "add" and like:
            tensor = b.node("Add", tensor, str(rng.choice(like)))
        elif kind == "concat" and like:
            tensor, channels = b.node("Concat", tensor, str(rng.choice(like)), axis=1), channels * 2
        elif kind == "slice" and channels > 2:
            ends = (np.array([value], np.int64) for value in (0, 2, 1))
            tensor, channels = b.node("Slice", tensor, *(b.constant(value) for value in ends)), 2
        elif kind == "constant":
            values = rng.uniform(0.5, 2, (1, channels, 1, 1)).astype(np.float32)
            tensor = b.node(str(rng.choice(["Mul", "Add"])), tensor, b.constant(values))
        elif kind == "shuffle":
            shapes = ([1, 2, channels // 2, size, size], [1, channels, size, size])
            split, join = (b.constant(np.array(shape, np.int64)) for shape in shapes)
            parts = b.node("Transpose", b.node("Reshape", tensor, split), perm=[0, 2, 1, 3, 4])
            tensor = b.node("Reshape", parts, join)
        earlier.append((tensor, channels, size))
    outputs = 3
    y = b.conv(tensor, channels, outputs, kernel=1)
    return read(save(b.model([y], shape=(1, 3, 8, 8), name="input"), folder / f"graph{seed}.onnx"))


def reference(
    simulator: Simulator, graph: ModelGraph, candidate: Candidate, image: FloatArray
) -> dict[str, FloatArray]:
    """Slow and plain: every step in float64 by onnx's reference operators, between quantize and dequantize."""
    model = onnx.load(str(graph.path))
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    protos = {node.name: node for node in model.graph.node}
    laid = simulator.plan(candidate, graph.assign(candidate))
    encoded = candidate.scheme is Scheme.ENCODINGS

    def fake(x: Any, params: qparams.QParams | None) -> Any:
        return x if params is None else qparams.dequantize(qparams.quantize(x, params), params)

    values: dict[str, Any] = {graph.inputs[0]: fake(image, laid.input)}
    for step in laid.steps:
        unit = graph.unit[step.unit]
        operands = constants
        if encoded and set(unit.nodes) and protos[unit.nodes[0]].op_type in ("Mul", "Add"):
            bits = step.type.bits
            operands = {
                k: (np.float16(v) if step.type is DataType.FLOAT16 else _tf(v, bits, False)[1]).astype(np.float32)
                if v.dtype == np.float32
                else v
                for k, v in constants.items()
                if v.size
            }
        local = {**operands, **{name: fake(values[name], read_as) for name, read_as in step.sources}}
        pre = before_activation(graph, unit)
        for index, name in enumerate(unit.nodes):
            node = protos[name]
            if index == 0 and node.op_type == "Conv" and (encoded or step.type is not DataType.FLOAT16):
                values_out = _conv(node, unit.nodes, protos, local, step, candidate)
                own = dict(step.inner).get(pre)
                if own is None and (pre is None or protos[unit.nodes[-1]].op_type in ("Relu", "Clip")):
                    own = step.targets[0][1]
                local[pre or node.output[0]] = fake(values_out, own)
                continue
            if node.op_type == "BatchNormalization" and (encoded or step.type is not DataType.FLOAT16):
                continue
            made = ReferenceEvaluator(node).run(None, {n: local[n] for n in node.input})
            inner = dict(step.inner)
            local.update({n: fake(v, inner.get(n)) for n, v in zip(node.output, made, strict=True)})
        values.update({name: fake(local[name], params) for name, params in step.targets})
    return {name: fake(values[name], params) for name, params in laid.delivered}


def _conv(node: Any, names: Any, protos: Any, local: Any, step: Any, candidate: Candidate) -> Any:
    weights, bias = np.float64(local[node.input[1]]), np.float64(local[node.input[2]])
    if len(names) > 1 and protos[names[1]].op_type == "BatchNormalization":
        gamma, beta, mean, var = (np.float64(local[n]) for n in protos[names[1]].input[1:])
        factor = gamma / np.sqrt(var + 1e-5)
        weights, bias = weights * factor.reshape(-1, 1, 1, 1), bias * factor + beta - mean * factor
    held, added = _held(weights.astype(np.float32), bias.astype(np.float32), step, candidate)
    local = {
        node.input[0]: np.float64(local[node.input[0]]),
        node.input[1]: np.float64(held),
        node.input[2]: added,
    }
    return ReferenceEvaluator(node).run(None, local)[0]


def _held(weights: FloatArray, bias: FloatArray, step: Any, candidate: Candidate) -> tuple[Any, Any]:
    """What the device makes of weights and bias."""
    if step.type is DataType.FLOAT16:
        return np.float16(weights), np.float64(np.float16(bias))
    if candidate.scheme is not Scheme.ENCODINGS:
        quantized = schemes.quantize_weights(weights, step.type, BASES[candidate.base])
        size = step.sources[0][1].scale * quantized.scale.astype(np.float64)
        return quantized.real(), np.rint(bias / size) * size
    bits = 16 if step.type is DataType.A16W16 else int(candidate.option("weight_bits"))
    symmetric = candidate.option("param_quantizer") == "symmetric"
    if bits == 16:
        size = np.float64(np.float32(np.abs(weights).max() / 0x7F7F))
        held = np.clip(np.rint(weights / size), -0x8000, 0x7F7F) * size
    elif candidate.option("weights") == "per_channel":
        rows = np.abs(weights).reshape(len(weights), -1).max(axis=1)
        size = np.float32(np.maximum(rows, 0.01) / (2 ** (bits - 1) - 1)).astype(np.float64)
        column = size.reshape(-1, 1, 1, 1)
        held = np.clip(np.rint(weights / column), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1) * column
    else:
        size, held = _tf(weights, bits, symmetric)
    if candidate.option("bias_bits") == "8":
        bias = _tf(bias, 8, symmetric)[1]
    steps = step.sources[0][1].scale * size
    return held, np.rint(bias / steps) * steps


def _tf(values: FloatArray, bits: int, symmetric: bool) -> tuple[Any, Any]:
    """Scale, and what the values become: min-max, 0 exact, at least 0.01 wide."""
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    high = max(high, low + 0.01)
    if symmetric:
        half = 2 ** (bits - 1)
        scale = float(np.float32(max(-low, high) / (half - 1)))
        return scale, np.clip(np.rint(values / scale), -half, half - 1) * scale
    steps = 2**bits - 1
    scale = float(np.float32((high - low) / steps))
    zero = round(-low / scale)
    return scale, (np.clip(np.rint(values / scale) + zero, 0, steps) - zero) * scale


def images(count: int, seed: int = 0) -> FloatArray:
    return np.random.default_rng(seed).uniform(0, 1, (count, 3, 8, 8)).astype(np.float32)


CANDIDATES = {
    **{base: Candidate(base) for base in ("uint8", "int8-asym", "int8-sym", "int8-pc", "int8-dfp", "int16")},
    "mixed": Candidate("uint8", overrides=MIXED),
    "mixed-dfp": Candidate("int8-dfp", overrides=MIXED),
    **{base: Candidate(base) for base in ("a8w8", "a16w8", "a16w16")},
    "a8w8-channels": Candidate("a8w8", options=(("weights", "per_channel"), ("bias_bits", "32"))),
    "a8w8-symmetric": Candidate("a8w8", options=(("act_quantizer", "symmetric"), ("param_quantizer", "symmetric"))),
    "a8w4": Candidate("a8w8", options=(("weight_bits", "4"), ("weights", "per_channel"))),
    "enhanced": Candidate("a8w8", options=(("act_quantizer", "enhanced"),)),
    "mixed-snpe": Candidate("a8w8", overrides=MIXED_SNPE, options=(("weights", "per_channel"),)),
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
                assert np.mean(np.abs(ours - theirs) > 1e-4 * scale) < (0.03 if name == "int16" else 0.06), (
                    name,
                    output,
                )
                assert np.abs(ours - theirs).max() < 0.06 * scale


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(sorted(CANDIDATES)), st.integers(0, 2**16))
def test_random_graphs_are_computed_as_the_slow_reference_does(seed: int, name: str, draw: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        graph = random_graph(seed, Path(folder))
        candidate = CANDIDATES[name]
        if candidate.overrides:
            kinds = [kind for _, kind in candidate.overrides]
            rng = np.random.default_rng(draw)
            units = [unit.name for unit in graph.compute_units]
            overrides = tuple((unit, kinds[rng.integers(len(kinds))]) for unit in units if rng.random() < 0.4)
            candidate = Candidate(candidate.base, overrides=overrides, options=candidate.options)
        photos = images(3, seed)
        simulator = Simulator(graph, Photos(photos), Photos(photos), threads=1)
        fast, slow = simulator.outputs(candidate, photos), reference(simulator, graph, candidate, photos[:1])
    for output in graph.outputs:
        ours, theirs = fast[output][0], slow[output][0]
        last = simulator.plan(candidate, graph.assign(candidate)).delivered[0][1]
        step = 0.0 if last is None or last.is_float else last.scale
        scale = max(float(np.abs(theirs).max()), 1e-3)
        apart = np.abs(ours - theirs)
        # One value on the other side of a rounding edge early on moves a few behind it by a few steps.
        assert np.mean(apart > 0.51 * step + 2e-3 * scale) < 0.15, (seed, name)
        assert apart.max() <= 6 * step + 0.05 * scale, (seed, name)


def test_the_unquantized_base_gives_the_float_model(tmp_path: Path) -> None:
    graph, photos = random_model(0, tmp_path), images(3)
    made = Simulator(graph, Photos(photos), Photos(photos)).outputs(Candidate("float16"), photos)
    wanted = FloatModel(graph).run(photos)
    for name in graph.outputs:
        assert np.allclose(made[name], wanted[name], atol=1e-5)


def test_every_unit_in_real_float16_is_the_float_model_to_three_digits_but_not_to_six(tmp_path: Path) -> None:
    graph, photos = random_model(0, tmp_path), images(3)
    half = Candidate("a16w8", overrides=tuple((unit.name, DataType.FLOAT16) for unit in graph.units))
    made, wanted = Simulator(graph, Photos(photos), Photos(photos)).outputs(half, photos), FloatModel(graph).run(photos)
    for name in graph.outputs:
        error = np.abs(made[name] - wanted[name]).max() / np.abs(wanted[name]).max()
        assert 1e-6 < error < 5e-3


def test_more_weight_bits_lose_less(tmp_path: Path) -> None:
    graph, photos = random_model(1, tmp_path), images(4)
    simulator, wanted = Simulator(graph, Photos(photos), Photos(photos)), FloatModel(graph).run(photos)["y"]
    channels = (("weights", "per_channel"), ("bias_bits", "32"))
    tried = [
        Candidate("a16w8", options=(*channels, ("weight_bits", "4"))),
        Candidate("a16w8", options=channels),
        Candidate("a16w16", options=channels),
    ]
    errors = [float(np.mean((simulator.outputs(candidate, photos)["y"] - wanted) ** 2)) for candidate in tried]
    assert errors[0] > 5 * errors[1] > 5000 * errors[2]


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
