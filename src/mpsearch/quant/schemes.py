"""Integers for numbers: the arithmetic of Acuity's quantizers, in numpy.

Read off the engine's own tables (acuitylite 6.33.0): for every tensor of four tables the formulas here give its scale,
zero point or fractional length from its range.

========================== ========================================= ==========================
quantizer                  scale                                     integer of 0
========================== ========================================= ==========================
``asymmetric_affine``      (max - min) / 255                         round(qmin - min / scale)
``symmetric_affine``       max(|min|, |max|) / 127                   0
``perchannel_symmetric_…`` weights: the same, each output channel    0 (activations: asymmetric)
``dynamic_fixed_point``    2 ** -fl, fl = bits - 1 - ceil(log2 max)  0
========================== ========================================= ==========================

Ranges are widened to contain 0 first; rounding is half to even everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, isfinite, log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpsearch.candidate import Base, DataType, Scheme
from mpsearch.errors import DataError, ModelError

FloatArray = NDArray[np.float32]
Codes = NDArray[Any]
"""Unsigned integers, uint8 or uint16: the quantized value minus ``qmin``."""


@dataclass(frozen=True, slots=True)
class QParams:
    """How one tensor's numbers become integers: ``q = clip(round(x / scale) + zero_point, qmin, qmax)``.

    Attributes:
        scale: a float32 value; a power of two for dynamic fixed point.
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
        """256 or 65536."""
        return self.qmax - self.qmin + 1

    @property
    def code_type(self) -> np.dtype[Any]:
        return np.dtype(np.uint8 if self.levels <= 256 else np.uint16)

    @property
    def code_zero(self) -> int:
        """The code that stands for 0.0."""
        return self.zero_point - self.qmin

    def same_grid(self, other: QParams | None) -> bool:
        """True when both give the same integers for the same numbers."""
        return other is not None and (self.scale, self.code_zero, self.levels) == (
            other.scale,
            other.code_zero,
            other.levels,
        )


def activation_params(kind: DataType, base: Base, low: float, high: float, *, name: str = "") -> QParams | None:
    """The quantizer of an activation with range ``[low, high]``; None where it is left alone (float16).

    An int16 unit is dynamic fixed point in every base. A tensor that is constant 0 gets scale 1.

    Raises:
        DataError: the range is not finite.
    """
    if kind is DataType.FLOAT16:
        return None
    if not (isfinite(low) and isfinite(high)):
        raise DataError(
            f"activations of {name or 'a tensor'} are not finite ({low}, {high})",
            hint="Check the preprocessing, and that the float model is finite on the calibration photographs.",
        )
    if kind is DataType.INT16:
        return dynamic_fixed_point(low, high, bits=16)
    if base.scheme is Scheme.DYNAMIC_FIXED_POINT:
        return dynamic_fixed_point(low, high, bits=8)
    if base.scheme is Scheme.SYMMETRIC:
        return symmetric(low, high)
    return asymmetric(low, high, kind)


def asymmetric(low: float, high: float, kind: DataType) -> QParams:
    """``asymmetric_affine`` uint8 or int8."""
    low32, high32 = np.float32(min(low, 0.0)), np.float32(max(high, 0.0))
    qmin, qmax = (0, 255) if kind is DataType.UINT8 else (-128, 127)
    scale = np.float32((high32 - low32) / np.float32(255))
    if not scale > 0:  # constant 0 (or a range below float32's smallest step)
        return QParams(kind, Scheme.ASYMMETRIC, 1.0, qmin, qmin, qmax, float(low32), float(high32))
    zero = int(np.rint(qmin - float(low32) / float(scale)))
    zero = min(max(zero, qmin), qmax)
    return QParams(kind, Scheme.ASYMMETRIC, float(scale), zero, qmin, qmax, float(low32), float(high32))


def symmetric(low: float, high: float) -> QParams:
    """``symmetric_affine`` int8."""
    low32, high32 = np.float32(min(low, 0.0)), np.float32(max(high, 0.0))
    scale = np.float32(max(-low32, high32) / np.float32(127))
    return QParams(DataType.INT8, Scheme.SYMMETRIC, float(scale) or 1.0, 0, -128, 127, float(low32), float(high32))


def dynamic_fixed_point(low: float, high: float, *, bits: int) -> QParams:
    """``dynamic_fixed_point`` with as many fractional bits as the largest magnitude leaves.

    A magnitude of exactly a power of two takes its own bits (1.0 in 16 bits: fl 15, so 1.0 becomes 32767 / 32768), as
    in the engine's tables.
    """
    low, high = float(np.float32(min(low, 0.0))), float(np.float32(max(high, 0.0)))
    largest = max(-low, high)
    fl = bits - 1 - (ceil(log2(largest)) if largest > 0 else 0)
    fl = min(max(fl, -100), 120)
    kind = DataType.INT16 if bits == 16 else DataType.INT8
    half = 1 << (bits - 1)
    return QParams(kind, Scheme.DYNAMIC_FIXED_POINT, 2.0**-fl, 0, -half, half - 1, low, high, fl)


def quantize(x: NDArray[Any], params: QParams) -> Codes:
    """Real numbers -> codes (unsigned). The slow reference; kernels give the same integers."""
    codes = np.rint(np.asarray(x, np.float32) / np.float32(params.scale)) + np.float32(params.code_zero)
    return np.asarray(np.clip(codes, 0, params.levels - 1), params.code_type)


def dequantize(codes: Codes, params: QParams) -> FloatArray:
    """Codes -> real numbers, float32."""
    return (codes.astype(np.float32) - np.float32(params.code_zero)) * np.float32(params.scale)


def table(params: QParams) -> FloatArray:
    """The real number of every code, ``[levels]`` float32."""
    return dequantize(np.arange(params.levels), params)


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


def quantize_weights(weights: FloatArray, kind: DataType, base: Base, *, axis: int = 0, name: str = "") -> QWeights:
    """The weights of a unit in type ``kind`` (not float16).

    Under ``perchannel_symmetric_affine`` also an int16 unit keeps int8 per-channel weights; the NPU's compiler then
    refuses it (contract 5.4).

    Args:
        axis: of the output channels.

    Raises:
        ModelError: NaN or infinite weights.
    """
    if not np.isfinite(weights).all():
        raise ModelError(
            f"weights of {name or 'a node'} hold NaN or infinite values", hint="Export from a good checkpoint."
        )
    if base.scheme is Scheme.PER_CHANNEL:
        return _per_channel(weights, axis)
    low, high = float(weights.min(initial=0.0)), float(weights.max(initial=0.0))
    params = activation_params(kind, base, low, high, name=name)
    if params is None:
        raise ModelError(f"{name}: float16 weights are left alone, not quantized")
    codes = quantize(weights, params).astype(np.int32)
    shift = params.levels // 2
    integers = (codes - shift).astype(np.int8 if params.levels <= 256 else np.int16)
    return QWeights(integers, np.array([params.scale], np.float32), params.code_zero - shift, axis, params)


def _per_channel(weights: FloatArray, axis: int) -> QWeights:
    others = tuple(i for i in range(weights.ndim) if i != axis)
    largest = np.abs(weights).max(axis=others, initial=0.0).astype(np.float32)
    # An all-zero channel only carries its bias: the layer's widest step keeps that bias in 32 bits.
    widest = largest.max(initial=0.0) or np.float32(127)
    scale = np.asarray(np.where(largest > 0, largest, widest) / np.float32(127), np.float32)
    shape = [1] * weights.ndim
    shape[axis] = -1
    integers = np.clip(np.rint(weights / scale.reshape(shape)), -127, 127).astype(np.int8)
    return QWeights(integers, scale, 0, axis, None)


def quantize_bias(bias: FloatArray, input_scale: float, weights: QWeights) -> NDArray[np.float64]:
    """Biases in steps of ``input scale * weight scale``: whole numbers, the engine's i32 (i64 for 16 bits)."""
    step = np.float64(input_scale) * weights.scale.astype(np.float64)
    return np.asarray(np.rint(bias.astype(np.float64) / step))
