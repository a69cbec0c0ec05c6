"""Bad input has a clear error or a stated behaviour in every scheme of both vendors, never a silent wrong number."""

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

from mpsearch.candidate import Candidate, DataType
from mpsearch.errors import CandidateError, DataError, ModelError
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.onnxio import FloatModel
from mpsearch.graph.read import read
from mpsearch.quant.simulator import Simulator

FloatArray = NDArray[np.float32]
CHANNELS = (("weights", "per_channel"), ("bias_bits", "32"))
CANDIDATES = {
    **{name: Candidate(name) for name in ("uint8", "int8-asym", "int8-sym", "int8-pc", "int8-dfp", "int16")},
    "kl": Candidate("uint8", "kl_divergence"),  # type: ignore[arg-type]
    **{name: Candidate(name) for name in ("a8w8", "a16w8", "a16w16")},
    "a8w8-channels": Candidate("a8w8", options=CHANNELS),
    "a8w4": Candidate("a8w8", options=(*CHANNELS, ("weight_bits", "4"))),
    "enhanced": Candidate("a8w8", options=(("act_quantizer", "enhanced"), ("param_quantizer", "enhanced"))),
    "symmetric": Candidate("a8w8", options=(("act_quantizer", "symmetric"), ("param_quantizer", "symmetric"))),
    "cle": Candidate("a8w8", options=(("equalization", "cle"),)),
    "fp16": Candidate("a16w8", overrides=tuple((name, DataType.FLOAT16) for name in ("c0", "c1", "output:y"))),
}
WEIGHTS = np.random.default_rng(0).normal(0, 0.5, (2, 4, 3, 3, 3)).astype(np.float32)


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


def two_convolutions(folder: Path, first: FloatArray, bias: Any = 0.1) -> ModelGraph:
    second = np.random.default_rng(1).normal(0, 0.5, (2, 4, 1, 1)).astype(np.float32)
    constants = {"w0": first, "b0": np.broadcast_to(np.float32(bias), 4), "w1": second, "b1": np.zeros(2, np.float32)}
    nodes = [
        helper.make_node("Conv", ["x", "w0", "b0"], ["a"], name="c0", pads=[1] * 4),
        helper.make_node("Relu", ["a"], ["r"], name="relu"),
        helper.make_node("Conv", ["r", "w1", "b1"], ["y"], name="c1"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, 8, 8])],
        [numpy_helper.from_array(np.ascontiguousarray(v), k) for k, v in constants.items()],
    )
    path = folder / "two.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8), str(path))
    return read(path)


def images(count: int = 3) -> FloatArray:
    return np.random.default_rng(2).uniform(0, 1, (count, 3, 8, 8)).astype(np.float32)


def outputs(graph: ModelGraph, name: str, calibration: FloatArray, evaluation: FloatArray) -> FloatArray:
    simulator = Simulator(graph, Photos(calibration), Photos(evaluation), threads=1)
    return simulator.outputs(CANDIDATES[name], evaluation)["y"]


@pytest.mark.parametrize("name", CANDIDATES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_activations_that_are_not_finite_are_refused_with_tensor_and_photograph(
    name: str, bad: float, tmp_path: Path
) -> None:
    graph, spoilt = two_convolutions(tmp_path, WEIGHTS[0]), images()
    spoilt[2, 1, 3, 3] = bad
    with pytest.raises(DataError, match="tensor 'x' is not finite on calibration photograph 2"):
        outputs(graph, name, spoilt, images())
    with pytest.raises(DataError, match="NaN or infinite"):
        outputs(graph, name, images(), spoilt)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused_when_the_model_is_read(bad: float, tmp_path: Path) -> None:
    spoilt = WEIGHTS[0].copy()
    spoilt[0, 0, 0, 0] = bad
    with pytest.raises(ModelError, match="w0"):
        two_convolutions(tmp_path, spoilt)


@pytest.mark.parametrize("name", CANDIDATES)
def test_constant_photographs_and_tensors_give_the_constant(name: str, tmp_path: Path) -> None:
    grey = np.full((2, 3, 8, 8), 0.5, np.float32)
    for first, bias in ((WEIGHTS[0], 0.1), (np.zeros_like(WEIGHTS[0]), 0.3), (np.zeros_like(WEIGHTS[0]), 0.0)):
        graph = two_convolutions(tmp_path, first, bias)
        made, wanted = outputs(graph, name, grey, grey), FloatModel(graph).run(grey)["y"]
        assert np.isfinite(made).all()
        assert np.abs(made - wanted).max() <= 0.15 * max(float(np.abs(wanted).max()), 0.01)


@pytest.mark.parametrize("name", CANDIDATES)
def test_an_all_zero_channel_keeps_its_bias_and_harms_no_other(name: str, tmp_path: Path) -> None:
    first = WEIGHTS[0].copy()
    first[1] = 0
    graph = two_convolutions(tmp_path, first, [0.1, 0.7, 0.1, 0.1])
    made, wanted = outputs(graph, name, images(), images()), FloatModel(graph).run(images())["y"]
    assert np.abs(made - wanted).max() < (0.35 if name in ("a8w4", "kl") else 0.1) * np.abs(wanted).max()


@pytest.mark.parametrize("name", CANDIDATES)
@pytest.mark.parametrize("huge", [1e4, 1e12, 1e30])
def test_a_huge_outlier_gives_finite_numbers_or_an_error_that_names_the_cause(
    name: str, huge: float, tmp_path: Path
) -> None:
    first = WEIGHTS[0].copy()
    first[0, 0, 0, 0] = huge
    graph = two_convolutions(tmp_path, first)
    if name == "fp16" and huge > 1e5:
        with pytest.raises(CandidateError, match="beyond float16"):
            outputs(graph, name, images(), images())
        return
    made = outputs(graph, name, images(), images())
    wanted = FloatModel(graph).run(images())["y"]
    assert np.isfinite(made).all()
    assert np.abs(made).max() <= 2 * np.abs(wanted).max()


@pytest.mark.parametrize("name", CANDIDATES)
def test_photographs_of_another_shape_are_refused(name: str, tmp_path: Path) -> None:
    graph = two_convolutions(tmp_path, WEIGHTS[0])
    wrong = np.zeros((2, 3, 8, 9), np.float32)
    with pytest.raises(DataError, match=r"\[3, 8, 9\].*\[3, 8, 8\]"):
        outputs(graph, name, wrong, images())
    with pytest.raises(DataError, match=r"\[3, 8, 9\].*\[3, 8, 8\]"):
        outputs(graph, name, images(), wrong)


@pytest.mark.parametrize("name", CANDIDATES)
def test_one_photograph_is_enough_and_none_is_refused(name: str, tmp_path: Path) -> None:
    graph, one = two_convolutions(tmp_path, WEIGHTS[0]), images(1)
    made, wanted = outputs(graph, name, one, one), FloatModel(graph).run(one)["y"]
    assert np.abs(made - wanted).max() < (0.4 if name == "a8w4" else 0.1) * np.abs(wanted).max()
    with pytest.raises(DataError, match="no calibration photographs"):
        outputs(graph, name, one[:0], one)


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([name for name in CANDIDATES if name != "fp16"]),
    st.integers(0, 2**16),
    st.floats(1e-6, 1e6),
    st.floats(1e-6, 1e6),
)
def test_outputs_stay_in_the_range_that_calibration_saw(
    name: str, seed: int, weight_scale: float, image_scale: float
) -> None:
    rng = np.random.default_rng(seed)
    first = (rng.normal(0, 1, (4, 3, 3, 3)) * weight_scale).astype(np.float32)
    seen = (rng.uniform(-1, 1, (2, 3, 8, 8)) * image_scale).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        graph = two_convolutions(Path(folder), first)
        simulator = Simulator(graph, Photos(seen), Photos(seen * 3), threads=1)
        made = simulator.outputs(CANDIDATES[name], seen * 3)["y"]
        low, high = simulator.statistics.minmax("y")
    room = 2.02 * max(-low, high, 0.011)  # fixed point and symmetric ranges reach to the other side
    assert np.isfinite(made).all()
    assert -room <= made.min() <= made.max() <= room
