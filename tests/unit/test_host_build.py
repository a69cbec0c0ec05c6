"""The host target: real quantized models, what onnxruntime makes of them, and their outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from mpsearch.candidate import Algorithm, Candidate, DataType
from mpsearch.errors import CandidateError, SetupError
from mpsearch.evaluate import Artifact
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.onnxio import FloatModel
from mpsearch.graph.read import read
from mpsearch.quant.simulator import Simulator
from mpsearch.testing.models import Builder, save, small_detector
from mpsearch.toolchain.host.build import HostExecutor, HostToolchain
from mpsearch.toolchain.host.layout import Ranges

FloatArray = NDArray[np.float32]


class Noise:
    """Photographs of nothing."""

    def __init__(self, seed: int, count: int = 6, size: int = 32) -> None:
        rng = np.random.default_rng(seed)
        self.images = rng.normal(0, 1, (count, 3, size, size)).astype(np.float32)
        self.digest = f"noise {seed} {count} {size}"

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, size: int) -> Iterator[FloatArray]:
        for start in range(0, len(self.images), size):
            yield self.images[start : start + size]


class Case:
    def __init__(self, model: onnx.ModelProto, folder: Path) -> None:
        self.graph: ModelGraph = read(save(model, folder / "model.onnx"))
        self.calibration, self.evaluation = Noise(1), Noise(2)
        self.toolchain = HostToolchain(self.graph, self.calibration, folder / "host")
        self.reference = FloatModel(self.graph).run(self.evaluation.images)

    def outputs(self, candidate: Candidate) -> dict[str, FloatArray]:
        return self.run(self.toolchain.build(candidate))

    def run(self, artifact: Artifact) -> dict[str, FloatArray]:
        parts = list(HostExecutor(self.graph, self.evaluation).batches(artifact))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def sqnr_db(self, outputs: dict[str, FloatArray]) -> float:
        signal = sum(float((self.reference[name] ** 2).sum()) for name in outputs)
        noise = sum(float(((self.reference[name] - found) ** 2).sum()) for name, found in outputs.items())
        return float(10 * np.log10(signal / noise))


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(small_detector(), tmp_path_factory.mktemp("detector"))


def operations(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(str(path)).graph.node]


@pytest.mark.parametrize("base", ["uint8", "int8-asym", "int8-pc"])
def test_every_unit_of_an_8_bit_model_runs_in_integer_kernels(detector: Case, base: str) -> None:
    artifact = detector.toolchain.build(Candidate(base))
    assert artifact.differs == {}
    linear = {u.name for u in detector.graph.compute_units if u.kind in ("conv", "depthwise")}
    assert all("QLinearConv" in artifact.kernels[unit] for unit in linear)
    assert any("QLinearSigmoid" in names for names in artifact.kernels.values())


@pytest.mark.parametrize("base", ["uint8", "int8-asym", "int8-pc", "int8-sym", "int8-dfp"])
def test_a_quantized_model_is_as_far_from_float_as_the_simulators(detector: Case, base: str) -> None:
    candidate = Candidate(base)
    simulator = Simulator(detector.graph, detector.calibration, detector.evaluation, threads=1)
    simulated = detector.sqnr_db(simulator.outputs(candidate, detector.evaluation.images))
    assert detector.sqnr_db(detector.outputs(candidate)) == pytest.approx(simulated, abs=3)
    assert 10 < simulated < 60


def test_int8_asymmetric_is_uint8_with_another_zero_point(detector: Case) -> None:
    a, b = detector.outputs(Candidate("uint8")), detector.outputs(Candidate("int8-asym"))
    for name in a:
        np.testing.assert_allclose(a[name], b[name], atol=0.05 * np.abs(a[name]).max())


def test_base_float16_is_the_float_model(detector: Case) -> None:
    artifact = detector.toolchain.build(Candidate("float16"))
    assert "QuantizeLinear" not in operations(artifact.path)
    for name, found in detector.run(artifact).items():
        np.testing.assert_allclose(found, detector.reference[name], rtol=1e-4, atol=1e-5)


def test_units_in_float_run_in_float_and_bring_the_model_nearer(detector: Case) -> None:
    names = [unit.name for unit in detector.graph.compute_units]
    half = Candidate(overrides=tuple((name, DataType.FLOAT16) for name in names[len(names) // 2 :]))
    artifact = detector.toolchain.build(half)
    assert set(artifact.kernels) == set(names[: len(names) // 2])
    assert artifact.differs == {}
    assert detector.sqnr_db(detector.run(artifact)) > detector.sqnr_db(detector.outputs(Candidate())) + 1
    assert {artifact.types[u] for u in artifact.types if u.startswith("output:")} == {DataType.FLOAT16}


def test_every_unit_in_float_over_an_8_bit_base_is_the_float_model(detector: Case) -> None:
    units = tuple((unit.name, DataType.FLOAT16) for unit in detector.graph.units)
    for name, found in detector.outputs(Candidate(overrides=units)).items():
        np.testing.assert_allclose(found, detector.reference[name], rtol=1e-3, atol=2e-2)


def test_cut_and_dropped_outputs_are_completed_and_left_out(detector: Case) -> None:
    near, far = detector.graph.outputs
    cut = Candidate(cuts=((near, detector.graph.cut_points[near][-1]),), dropped=(far,))
    artifact = detector.toolchain.build(cut)
    assert "Transpose" not in operations(artifact.path)
    found = detector.run(artifact)
    assert set(found) == {near}
    assert found[near].shape == detector.reference[near].shape
    assert detector.sqnr_db(found) > 10


@pytest.mark.parametrize("algorithm", [Algorithm.MOVING_AVERAGE, Algorithm.KL_DIVERGENCE])
def test_other_algorithms_give_narrower_ranges_and_other_numbers(detector: Case, algorithm: Algorithm) -> None:
    ranges = Ranges(detector.graph, detector.calibration)
    wide, narrow = (ranges.of(Candidate(algorithm=a)) for a in (Algorithm.STANDARD, algorithm))
    tensors = ranges.statistics.extremes
    assert all(wide(t)[0] <= narrow(t)[0] <= narrow(t)[1] <= wide(t)[1] for t in tensors)
    assert any(wide(t) != narrow(t) for t in tensors)
    plain, other = (detector.outputs(Candidate(algorithm=a)) for a in (Algorithm.STANDARD, algorithm))
    assert any(not np.array_equal(plain[name], other[name]) for name in plain)
    assert detector.sqnr_db(other) > 8


@pytest.mark.parametrize(
    ("candidate", "message"),
    [
        (Candidate("int16"), "no 16-bit kernels"),
        (Candidate("float16", overrides=(("Conv_0", DataType.UINT8),)), "one 8-bit type"),
        (Candidate(preprocess="nv12:1024x768"), "the CPU's work"),
        (Candidate(dropped=("nowhere",)), "no output 'nowhere'"),
        (Candidate(overrides=(("nothing", DataType.FLOAT16),)), "no unit 'nothing'"),
    ],
)
def test_what_the_host_cannot_do_is_the_candidates_fault(detector: Case, candidate: Candidate, message: str) -> None:
    with pytest.raises(CandidateError, match=message) as caught:
        detector.toolchain.build(candidate)
    assert caught.value.stage == "render"


def test_an_artifact_of_another_toolchain_is_refused(detector: Case) -> None:
    with pytest.raises(SetupError, match="holds no ONNX file"):
        detector.run(Artifact(Candidate(), detector.graph.assign(Candidate())))


def test_the_same_candidate_is_the_same_file(detector: Case) -> None:
    first, again = (detector.toolchain.build(Candidate()) for _ in range(2))
    assert first.path == again.path
    assert first.size_bytes > 1000
    assert detector.toolchain.build(Candidate("int8-pc")).path != first.path


def folded(b: Builder) -> str:
    rng = np.random.default_rng(3)
    four = [b.constant(np.abs(rng.normal(1, 0.2, 8)).astype(np.float32)) for _ in range(4)]
    return b.node("Relu", b.node("BatchNormalization", b.conv("input", 3, 8), *four))


def hard_swish(b: Builder) -> str:
    x = b.conv("input", 3, 8)
    three, low, high, six = (b.constant(np.float32(v)) for v in (3, 0, 6, 6))
    return b.node("Div", b.node("Mul", x, b.node("Clip", b.node("Add", x, three), low, high)), six)


def scaled(b: Builder) -> str:
    x = b.node("Mul", b.conv("input", 3, 8), b.constant(np.full((1, 8, 1, 1), 0.5, np.float32)))
    return b.node("Add", x, b.constant(np.float32(2)))


def dense(b: Builder) -> str:
    x = b.node("GlobalAveragePool", b.node("Relu", b.conv("input", 3, 16)))
    x = b.node("Flatten", x, axis=1)
    weights = b.constant(np.random.default_rng(4).normal(0, 1, (16, 10)).astype(np.float32))
    return b.node("Softmax", b.node("MatMul", x, weights), axis=1)


def transposed(b: Builder) -> str:
    w = b.constant(np.random.default_rng(5).normal(0, 0.2, (8, 4, 2, 2)).astype(np.float32))
    bias = b.constant(np.ones(4, np.float32))
    return b.node("ConvTranspose", b.conv("input", 3, 8), w, bias, kernel_shape=[2, 2], strides=[2, 2])


def exponential(b: Builder) -> str:
    return b.node("Exp", b.conv("input", 3, 4))


@pytest.mark.parametrize("make", [folded, hard_swish, scaled, dense, transposed, exponential])
@pytest.mark.parametrize("base", ["uint8", "int8-pc"])
def test_operations_of_other_networks_are_built_and_stay_near_float(
    make: Callable[[Builder], str], base: str, tmp_path: Path
) -> None:
    b = Builder(seed=1)
    case = Case(b.model([make(b)]), tmp_path)
    assert case.sqnr_db(case.outputs(Candidate(base))) > (8 if make is exponential else 14)


@pytest.mark.parametrize("opset", [11, 12, 17])
def test_older_and_newer_opsets_get_integer_kernels_per_channel(opset: int, tmp_path: Path) -> None:
    b = Builder(opset=opset)
    case = Case(b.model([b.silu(b.conv(b.node("Relu", b.conv("input", 3, 8)), 8, 8))]), tmp_path)
    artifact = case.toolchain.build(Candidate("int8-pc"))
    assert all("QLinearConv" in names for names in artifact.kernels.values())
    assert case.sqnr_db(case.run(artifact)) > 15


def test_what_has_no_integer_kernel_is_said(tmp_path: Path) -> None:
    b = Builder()
    case = Case(b.model([exponential(b)]), tmp_path)
    artifact = case.toolchain.build(Candidate())
    assert list(artifact.differs.values()) == ["float32 Exp on 8-bit values"]


def test_a_relu_that_no_symmetric_range_cuts_off_runs_in_float_and_that_is_said(tmp_path: Path) -> None:
    b = Builder()
    case = Case(b.model([b.conv(b.node("Relu", b.conv("input", 3, 8)), 8, 8)]), tmp_path)
    first, second = (unit.name for unit in case.graph.compute_units)
    symmetric, asymmetric = (case.toolchain.build(Candidate(base)) for base in ("int8-sym", "uint8"))
    assert symmetric.kernels[second] == ("QLinearConv",)
    assert all(name.startswith("float32") for name in symmetric.kernels[first])
    assert list(symmetric.differs) == [first]
    assert asymmetric.differs == {}


def test_a_relu_after_an_addition_vanishes_in_the_range_of_its_output(tmp_path: Path) -> None:
    b = Builder()
    x = b.conv("input", 3, 8)
    case = Case(b.model([b.conv(b.node("Relu", b.node("Add", x, b.conv(x, 8, 8))), 8, 8)]), tmp_path)
    artifact = case.toolchain.build(Candidate())
    assert artifact.differs == {}
    assert () in artifact.kernels.values()
