"""Integers for numbers, whatever the vendor: what a quantizer is, and what it does to arrays.

Rounding is half to even. Real float16 is a quantizer too: its codes are the bit patterns in ascending order of the
numbers they stand for, so that moving, comparing and tabulating codes works as it does for integers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mpsearch.candidate import DataType, Scheme
from mpsearch.errors import CandidateError, ModelError

FloatArray = NDArray[np.float32]
Codes = NDArray[Any]
"""Unsigned integers, uint8 or uint16: the quantized value minus ``qmin``."""
_SIGN = np.uint16(0x8000)
_INFINITE = 0xFC00
"""Code of float16's infinity; that of its negative is the complement."""


@dataclass(frozen=True, slots=True)
class QParams:
    """How one tensor's numbers become integers: ``q = clip(round(x / scale) + zero_point, qmin, qmax)``.

    Attributes:
        scale: a float32 value; a power of two for dynamic fixed point, the smallest step for float16.
        fl: fractional length, dynamic fixed point only.
        low, high: the range that the scale was made from, contains 0.
    """

    type: DataType
    scheme: Scheme
    scale: float
    zero_point: int
    qmin: int
    qmax: int
    low: float
    high: float
    fl: int | None = None

    @property
    def levels(self) -> int:
        """How many codes there are: 256 or 65536 for activations."""
        return self.qmax - self.qmin + 1

    @property
    def code_type(self) -> np.dtype[Any]:
        return np.dtype(np.uint8 if self.levels <= 256 else np.uint16)

    @property
    def code_zero(self) -> int:
        """The code that stands for 0.0."""
        return self.zero_point - self.qmin

    @property
    def is_float(self) -> bool:
        """Real float16 (:data:`HALF`)."""
        return self.type is DataType.FLOAT16

    def same_grid(self, other: QParams | None) -> bool:
        """True when both give the same integers for the same numbers."""
        return other is not None and (self.scale, self.code_zero, self.levels, self.is_float) == (
            other.scale,
            other.code_zero,
            other.levels,
            other.is_float,
        )


HALF = QParams(DataType.FLOAT16, Scheme.NONE, 2.0**-24, 0, -(1 << 15), (1 << 15) - 1, -65504.0, 65504.0)
"""Real float16."""


def quantize(x: NDArray[Any], params: QParams) -> Codes:
    """Real numbers -> codes (unsigned). The slow reference; kernels give the same integers.

    Raises:
        CandidateError: a number beyond float16.
    """
    if params.is_float:
        with np.errstate(over="ignore"):
            return half_codes(np.asarray(x, np.float16))
    codes = np.rint(np.asarray(x, np.float32) / np.float32(params.scale)) + np.float32(params.code_zero)
    return np.asarray(np.clip(codes, 0, params.levels - 1), params.code_type)


def dequantize(codes: Codes, params: QParams) -> FloatArray:
    """Codes -> real numbers, float32."""
    if params.is_float:
        codes = np.asarray(codes, np.uint16)
        bits = np.where(codes & _SIGN, codes ^ _SIGN, ~codes).astype(np.uint16)
        return bits.view(np.float16).astype(np.float32)
    return (codes.astype(np.float32) - np.float32(params.code_zero)) * np.float32(params.scale)


def half_codes(x: NDArray[np.float16]) -> Codes:
    """float16 -> codes of :data:`HALF`.

    Raises:
        CandidateError: infinite or NaN.
    """
    bits = np.ascontiguousarray(x).view(np.uint16)
    codes: Codes = bits ^ ((bits.view(np.int16) >> 15).view(np.uint16) | _SIGN)
    if codes.size and (int(codes.max()) >= _INFINITE or int(codes.min()) <= _INFINITE ^ 0xFFFF):
        raise CandidateError(
            "a value is beyond float16 (65504)", stage="build", hint="Give this part 16-bit integers instead."
        )
    return codes


def table(params: QParams) -> FloatArray:
    """The real number of every code, ``[levels]`` float32; what float16 calls infinite or NaN is 0, as no tensor holds
    it."""
    if params.is_float:
        return np.nan_to_num(dequantize(np.arange(params.levels), params), nan=0.0, posinf=0.0, neginf=0.0)
    return dequantize(np.arange(params.levels), params)


@dataclass(frozen=True)
class Linear:
    """A linear node (Conv, ConvTranspose, Gemm, MatMul) with its BatchNormalization folded in.

    Attributes:
        weights: in the node's own layout; ``axis`` is that of the output channels.
    """

    name: str
    op_type: str
    attributes: Mapping[str, Any]
    weights: FloatArray
    bias: FloatArray | None
    axis: int
    has_norm: bool = False


@dataclass(frozen=True, slots=True)
class QWeights:
    """Quantized weights of one linear node.

    Attributes:
        integers: int8-coded (8 bit: ``q`` shifted to -128..127) or int16, in the weights' own shape.
        scale: float32, ``[1]`` or ``[out channels]``.
        zero_point: in the coding of ``integers``.
        params: the quantizer, per tensor only.
    """

    integers: NDArray[Any]
    scale: FloatArray
    zero_point: int
    axis: int
    params: QParams | None

    def real(self) -> FloatArray:
        """What the integers stand for, in the weights' shape."""
        shape = [1] * self.integers.ndim
        shape[self.axis] = -1
        offset = self.integers.astype(np.float32) - np.float32(self.zero_point)
        return np.asarray(offset * self.scale.reshape(shape if self.scale.size > 1 else ()), np.float32)


def per_tensor(weights: FloatArray, params: QParams, axis: int) -> QWeights:
    """Weights in one quantizer."""
    codes = quantize(weights, params).astype(np.int32)
    shift = params.levels // 2
    integers = (codes - shift).astype(np.int8 if params.levels <= 256 else np.int16)
    return QWeights(integers, np.array([params.scale], np.float32), params.code_zero - shift, axis, params)


def check_weights(weights: FloatArray, name: str) -> None:
    """Raises ModelError where they are not finite."""
    if not np.isfinite(weights).all():
        raise ModelError(
            f"weights of {name or 'a node'} hold NaN or infinite values", hint="Export from a good checkpoint."
        )


def quantize_bias(bias: NDArray[Any], input_scale: float, weights: QWeights) -> NDArray[np.float64]:
    """Biases in steps of ``input scale * weight scale``: the whole numbers that are added to the sums of products."""
    step = np.float64(input_scale) * weights.scale.astype(np.float64)
    return np.asarray(np.rint(bias.astype(np.float64) / step))


class Arithmetic(Protocol):
    """A vendor's quantizers for one candidate: a frozen value, equal where it gives equal numbers."""

    def activation(self, kind: DataType, low: float, high: float, *, name: str, maker: str) -> QParams | None:
        """The quantizer of a tensor with that range; None where it is left in float32.

        Args:
            maker: operator that computed the tensor's values, ``""`` for the network's input.

        Raises:
            DataError: the range is not finite.
        """

    def inside(self, tensors: tuple[str, ...], activation: str) -> tuple[str, ...]:
        """Those of a unit's inner tensors, the linear node's own first, that have a quantizer.

        Args:
            activation: the operator of the unit's last node.
        """

    def weights(self, node: Linear, kind: DataType) -> QWeights | None:
        """None where they are float16.

        Raises:
            ModelError: NaN or infinite weights.
        """

    def bias(self, node: Linear, source: QParams, weights: QWeights) -> NDArray[np.float64]:
        """``node.bias`` in whole steps of ``source.scale * weights.scale``."""

    def operand(self, value: FloatArray, kind: DataType) -> FloatArray:
        """A constant operand of an Add, Mul and the like, as the device holds it."""
