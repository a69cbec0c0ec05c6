"""SNPE's encodings against a slow, exact reference, and what their rules promise."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mpsearch.candidate import Candidate, DataType
from mpsearch.errors import CandidateError, DataError, ModelError
from mpsearch.quant import clipping, qparams, snpe
from mpsearch.quant.qparams import HALF, Linear, QParams, dequantize, quantize
from mpsearch.quant.snpe import MIN_RANGE, Quantizer, Snpe

numbers = st.floats(-1e4, 1e4, width=32).filter(lambda x: x == 0 or abs(x) > 1e-3)
bits = st.sampled_from((8, 16))
weights = arrays.arrays(np.float32, (4, 3, 2, 2), elements=st.floats(-8, 8, width=32))


def exact(x: float, params: QParams) -> int:
    """The integer by rational arithmetic, half to even."""
    scaled = Fraction(float(np.float32(x) / np.float32(params.scale)))
    down = math.floor(scaled)
    rest = scaled - down
    whole = down + (1 if rest > Fraction(1, 2) or (rest == Fraction(1, 2) and down % 2) else 0)
    return min(max(whole + params.zero_point, params.qmin), params.qmax)


def linear(values: np.ndarray, op_type: str = "Conv", bias: np.ndarray | None = None) -> Linear:
    axis = {"Conv": 0, "Gemm": 0, "MatMul": values.ndim - 1, "ConvTranspose": 1}[op_type]
    return Linear("conv1", op_type, {}, values, bias, axis)


@given(numbers, numbers, bits, st.booleans(), st.lists(numbers, min_size=1, max_size=20))
def test_every_encoding_rounds_as_exact_arithmetic_does(
    a: float, b: float, width: int, symmetric: bool, values: list[float]
) -> None:
    params = snpe.affine(min(a, b), max(a, b), width, symmetric=symmetric)
    codes = quantize(np.array(values, np.float32), params)
    assert [int(code) + params.qmin for code in codes] == [exact(value, params) for value in values]


@given(numbers, numbers, bits, st.booleans())
def test_zero_is_exact_and_the_range_is_covered_to_half_a_step(a: float, b: float, width: int, symmetric: bool) -> None:
    low, high = min(a, b, 0.0), max(a, b, 0.0)
    params = snpe.affine(low, high, width, symmetric=symmetric)
    assert dequantize(quantize(np.zeros(1, np.float32), params), params)[0] == 0
    slack = params.scale * 0.5001 + 1e-6 * (high - low)
    assert params.low <= low + slack
    assert params.high >= high - slack
    assert params.high - params.low >= MIN_RANGE * 0.999


@given(numbers, numbers, bits)
def test_the_tf_encoding_is_that_of_the_published_formulas(a: float, b: float, width: int) -> None:
    low, high = min(a, b, 0.0), max(a, b, 0.0)
    steps = 2**width - 1
    high = max(high, low + 0.01)
    delta = (high - low) / steps
    params = snpe.affine(low, high, width)
    assert params.scale == pytest.approx(delta, rel=1e-6)
    assert -params.zero_point == -math.floor(-low / delta + 0.5)
    assert params.low == pytest.approx(params.scale * -params.zero_point, abs=1e-9)
    assert (params.high - params.low) / params.scale == pytest.approx(steps)


def test_a_documented_encoding_comes_out_as_documented() -> None:
    # The encoding of the override example: 0.0 to 12.82344407824954 in 8 bits.
    params = snpe.affine(0.0, 12.82344407824954, 8)
    assert (params.scale, params.zero_point) == (pytest.approx(0.050288015993135454, rel=1e-6), 0)
    # And that of the documented network input: -1 to 0.992 in steps of 1/128.
    params = snpe.affine(-1.0, 0.9921875, 8)
    assert (params.scale, -params.zero_point) == (0.0078125, -128)


@pytest.mark.parametrize("maker", ["Sigmoid", "Softmax"])
@pytest.mark.parametrize(("kind", "last"), [(DataType.A8W8, 0.99609375), (DataType.A16W8, 65535 / 65536)])
def test_sigmoid_and_softmax_have_a_fixed_encoding_whatever_was_seen(maker: str, kind: DataType, last: float) -> None:
    for arithmetic in (Snpe(), Snpe(activations=Quantizer(symmetric=True))):
        params = arithmetic.activation(kind, 0.1, 0.3, name="t", maker=maker)
        assert params is not None
        assert (params.scale, params.zero_point, params.high) == (1 / (1 << kind.bits), 0, last)


@given(weights, st.booleans(), st.booleans(), st.sampled_from((4, 8)))
def test_quantized_weights_stay_within_half_a_step(
    values: np.ndarray, per_channel: bool, symmetric: bool, width: int
) -> None:
    arithmetic = Snpe(parameters=Quantizer(symmetric=symmetric), per_channel=per_channel, weight_bits=width)
    found = arithmetic.weights(linear(values), DataType.A8W8)
    assert found is not None
    assert len(found.scale) == (4 if per_channel else 1)
    assert len(np.unique(found.integers)) <= 1 << width
    step = np.broadcast_to(found.scale.reshape(-1, 1, 1, 1), values.shape)
    assert (np.abs(found.real() - values) <= step * 1.001 + 1e-6).all()


@given(weights)
def test_16_bit_weights_are_symmetric_and_stay_below_0x7f7f(values: np.ndarray) -> None:
    found = Snpe(per_channel=True).weights(linear(values), DataType.A16W16)
    assert found is not None
    assert found.scale.size == 1
    integers = found.integers.astype(int) - found.zero_point
    assert -0x8000 <= integers.min() <= integers.max() <= 0x7F7F
    assert np.abs(found.real() - values).max() <= found.scale[0] * 0.501


@pytest.mark.parametrize(
    ("op_type", "channels", "rows"), [("Conv", 4, 1), ("ConvTranspose", 3, 1), ("Gemm", 4, 4), ("MatMul", 1, 2)]
)
def test_per_channel_and_per_row_reach_the_operators_that_the_tool_names(
    op_type: str, channels: int, rows: int
) -> None:
    values = np.random.default_rng(0).normal(size=(4, 3, 2, 2)).astype(np.float32)
    for arithmetic, count in ((Snpe(per_channel=True), channels), (Snpe(per_row=True), rows), (Snpe(), 1)):
        found = arithmetic.weights(linear(values, op_type), DataType.A8W8)
        assert found is not None
        assert found.scale.size == count


@given(arrays.arrays(np.float32, 5, elements=st.floats(-4, 4, width=32)))
def test_a_bias_of_8_bits_is_off_by_at_most_half_its_own_step_and_of_32_by_half_a_sums(bias: np.ndarray) -> None:
    values = np.ones((5, 1, 1, 1), np.float32)
    source = snpe.affine(0, 1, 8)
    for width in (8, 32):
        arithmetic = Snpe(bias_bits=width)
        node = linear(values, bias=bias)
        found = arithmetic.weights(node, DataType.A8W8)
        assert found is not None
        sums = source.scale * float(found.scale[0])
        own = arithmetic.bias_params(bias).scale if width == 8 else 0.0
        real = arithmetic.bias(node, source, found) * sums
        assert np.abs(real - bias).max() <= (0.5 * sums + own) * 1.001 + 1e-6


@given(st.lists(st.floats(-60000, 60000, width=16), min_size=2, max_size=50))
def test_float16_codes_stand_for_the_float16_numbers_in_their_order(values: list[float]) -> None:
    x = np.array(values, np.float32)
    codes = quantize(x, HALF)
    assert np.array_equal(dequantize(codes, HALF), x)
    order = np.argsort(codes, kind="stable")
    assert (np.diff(x[order]) >= 0).all()


@given(numbers)
def test_float16_rounds_as_ieee_does(value: float) -> None:
    assert dequantize(quantize(np.array([value], np.float32), HALF), HALF)[0] == np.float32(np.float16(value))


@pytest.mark.parametrize("bad", [1e5, -1e5, math.inf, math.nan])
def test_a_number_beyond_float16_is_the_candidates_fault(bad: float) -> None:
    with pytest.raises(CandidateError, match="beyond float16"):
        quantize(np.array([1.0, bad], np.float32), HALF)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_values_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(DataError, match="conv7 are not finite"):
        Snpe().activation(DataType.A8W8, 0.0, bad, name="conv7", maker="Conv")
    with pytest.raises(ModelError, match="conv1 hold NaN"):
        Snpe().weights(linear(np.full((1, 1, 1, 1), bad, np.float32)), DataType.A8W8)


def test_flags_that_the_tool_refuses_together_are_the_candidates_fault() -> None:
    both = Candidate("a8w8", options=(("act_quantizer", "enhanced"), ("act_calibration", "mse")))
    with pytest.raises(CandidateError, match="act_quantizer enhanced cannot be combined"):
        Snpe.of(both)
    assert Snpe.of(Candidate("a8w8", options=(("act_quantizer", "enhanced"),))).activations == Quantizer("sqnr")
    legacy = Snpe.of(Candidate("a8w8", options=(("param_schema", "symmetric"), ("param_calibration", "mse"))))
    assert legacy.parameters == Quantizer("mse", symmetric=True)


def square_error(values: np.ndarray, found: clipping.Range, symmetric: bool) -> float:
    params = snpe.affine(*found, 8, symmetric=symmetric)
    return float(np.mean((dequantize(quantize(values, params), params) - values) ** 2))


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("calibration", ["sqnr", "mse", "entropy", "percentile"])
def test_every_calibration_cuts_a_lone_outlier_and_keeps_what_is_even(calibration: str, symmetric: bool) -> None:
    rng = np.random.default_rng(0)
    spread = rng.normal(0, 1, 200_000).astype(np.float32)
    for values, cut in ((np.append(spread, np.float32(60)), True), (rng.uniform(-1, 1, 200_000), False)):
        whole = float(values.min()), float(values.max())
        counts = np.histogram(values, bins=8192, range=whole)[0]
        found = clipping.clip(calibration, counts, whole, steps=255, symmetric=symmetric)
        assert whole[0] * 1.05 <= found[0] <= 0 <= found[1] <= whole[1] * 1.05 or symmetric
        if cut:
            assert found[1] < 55
            assert square_error(spread, found, symmetric) < square_error(spread, whole, symmetric)
        else:
            assert found[1] > 0.9
            assert found[0] < -0.9


def test_min_max_keeps_the_range_and_16_bits_are_hardly_cut() -> None:
    counts, whole = np.histogram(np.random.default_rng(0).normal(size=50_000), bins=8192, range=(-4, 4))[0], (-4.0, 4.0)
    assert clipping.clip("min-max", counts, whole, steps=255, symmetric=False) == whole
    low, high = clipping.clip("sqnr", counts, whole, steps=65535, symmetric=False)
    assert low < -3.7
    assert high > 3.7


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=30), st.sampled_from(("sqnr", "mse", "entropy", "percentile")))
def test_few_values_or_one_never_break_a_calibration(values: list[float], calibration: str) -> None:
    x = np.array(values)
    whole = float(x.min()), float(x.max())
    counts = np.histogram(x, bins=64, range=whole if whole[1] > whole[0] else None)[0]
    for symmetric in (False, True):
        low, high = clipping.clip(calibration, counts, whole, steps=255, symmetric=symmetric)
        assert math.isfinite(low)
        assert math.isfinite(high)
        assert low <= high


def test_the_table_of_float16_holds_no_infinity() -> None:
    assert np.isfinite(qparams.table(HALF)).all()
