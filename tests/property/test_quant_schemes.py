"""The quantizers against a slow, exact reference."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpsearch.candidate import BASES, DataType
from mpsearch.errors import DataError, ModelError
from mpsearch.quant import lookup, qparams, schemes

NAMES = ("uint8", "int8-asym", "int8-sym", "int8-pc", "int8-dfp", "int16")
numbers = st.floats(-1e4, 1e4, width=32).filter(lambda x: x == 0 or abs(x) > 1e-3)


def exact(x: float, params: qparams.QParams) -> int:
    """The integer by rational arithmetic, half to even."""
    scaled = Fraction(float(np.float32(x) / np.float32(params.scale)))
    down = math.floor(scaled)
    rest = scaled - down
    whole = down + (1 if rest > Fraction(1, 2) or (rest == Fraction(1, 2) and down % 2) else 0)
    return min(max(whole + params.zero_point, params.qmin), params.qmax)


def params_of(name: str, low: float, high: float) -> qparams.QParams:
    base = BASES[name]
    found = schemes.activation_params(base.type, base, low, high)
    assert found is not None
    return found


@given(st.sampled_from(NAMES), numbers, numbers, st.lists(numbers, min_size=1, max_size=20))
def test_every_scheme_rounds_as_exact_arithmetic_does(name: str, a: float, b: float, values: list[float]) -> None:
    params = params_of(name, min(a, b), max(a, b))
    codes = qparams.quantize(np.array(values, np.float32), params)
    assert [int(code) + params.qmin for code in codes] == [exact(value, params) for value in values]


@given(st.sampled_from(NAMES), numbers, numbers)
def test_zero_is_always_representable(name: str, a: float, b: float) -> None:
    params = params_of(name, min(a, b), max(a, b))
    assert qparams.dequantize(qparams.quantize(np.zeros(1, np.float32), params), params)[0] == 0


@given(st.sampled_from(NAMES), numbers, numbers, st.floats(0, 1))
def test_inside_the_range_the_error_is_at_most_half_a_step(name: str, a: float, b: float, t: float) -> None:
    low, high = min(a, b, 0.0), max(a, b, 0.0)
    params = params_of(name, low, high)
    x = np.array([low + t * (high - low)], np.float32)
    error = abs(float(qparams.dequantize(qparams.quantize(x, params), params)[0]) - float(x[0]))
    # An asymmetric zero point is rounded, which moves the ends by half a step; fixed point has no code for +2**n.
    assert error <= params.scale * 1.001 + 1e-6


@given(st.sampled_from(NAMES), st.sampled_from(NAMES), numbers, numbers, numbers, numbers)
def test_a_table_converts_as_dequantizing_and_quantizing_does(
    one: str, other: str, a: float, b: float, c: float, d: float
) -> None:
    source, target = params_of(one, min(a, b), max(a, b)), params_of(other, min(c, d), max(c, d))
    codes = np.arange(source.levels, dtype=source.code_type)
    slow = qparams.quantize(qparams.dequantize(codes, source), target)
    assert np.array_equal(lookup.convert(codes, source, target), slow)


@given(
    st.sampled_from(NAMES),
    st.lists(st.lists(numbers, min_size=3, max_size=3), min_size=1, max_size=6),
)
def test_quantized_weights_stay_within_half_a_step_of_the_real_ones(name: str, rows: list[list[float]]) -> None:
    weights = np.array(rows, np.float32)
    base = BASES[name]
    found = schemes.quantize_weights(weights, base.type, base)
    step = np.broadcast_to(found.scale.reshape(-1, 1), weights.shape)
    slack = step * (1.0 if name in ("uint8", "int8-asym", "int8-dfp", "int16") else 0.5)
    assert (np.abs(found.real() - weights) <= slack * 1.001 + 1e-6).all()


def test_a_fractional_length_follows_the_largest_magnitude() -> None:
    lengths = {1.0: 15, 0.9: 15, 0.5: 16, 1.01: 14, 29.2: 10, 32.0: 10, 32.1: 9}
    assert {m: schemes.dynamic_fixed_point(-m, 0.0, bits=16).fl for m in lengths} == lengths


def test_a_constant_zero_tensor_gets_scale_one_and_stays_zero() -> None:
    for name in NAMES:
        params = params_of(name, 0.0, 0.0)
        assert params.scale in (1.0, 2.0 ** -(15 if name == "int16" else 7))
        assert qparams.dequantize(qparams.quantize(np.zeros(3, np.float32), params), params).tolist() == [0, 0, 0]


def test_an_all_zero_channel_keeps_its_bias() -> None:
    weights = np.array([[0.0, 0.0], [0.5, -1.0]], np.float32)
    found = schemes.quantize_weights(weights, DataType.INT8, BASES["int8-pc"])
    bias = np.array([3.0, 4.0], np.float32)
    whole = qparams.quantize_bias(bias, 0.02, found)
    assert np.allclose(whole * 0.02 * found.scale, bias, atol=1e-3)
    assert (found.real()[0] == 0).all()


def test_float16_is_left_alone() -> None:
    assert schemes.activation_params(DataType.FLOAT16, BASES["uint8"], -1, 1) is None


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_values_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(DataError, match="conv7 are not finite"):
        schemes.activation_params(DataType.UINT8, BASES["uint8"], 0.0, bad, name="conv7")
    with pytest.raises(ModelError, match="conv7 hold NaN"):
        schemes.quantize_weights(np.array([[bad]], np.float32), DataType.UINT8, BASES["uint8"], name="conv7")


def test_older_opencv_gives_the_same_lookups(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = np.random.default_rng(0).integers(0, 65536, (3, 5, 7)).astype(np.uint16)
    table = np.random.default_rng(1).random(65536).astype(np.float32)
    fast = lookup.look_up(codes, table)
    monkeypatch.setattr(lookup, "_CV2_TAKES_16_BITS", False)
    assert np.array_equal(lookup.look_up(codes, table), fast)
    assert np.array_equal(fast, table[codes])
