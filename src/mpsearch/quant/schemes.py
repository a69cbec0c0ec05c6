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

import numpy as np
from numpy.typing import NDArray

from mpsearch.candidate import Base, DataType, Scheme
from mpsearch.errors import DataError, ModelError
from mpsearch.quant.qparams import FloatArray, Linear, QParams, QWeights, check_weights, per_tensor, quantize_bias

FUSED = frozenset(("Relu", "Clip"))
"""Activations without a tensor before them: the compiler fuses them into the convolution."""


@dataclass(frozen=True, slots=True)
class Acuity:
    """The :class:`~mpsearch.quant.qparams.Arithmetic` of Acuity; also the host's, which follows it.

    float16 is left alone, as the engine leaves it. A convolution's output has a quantizer before its activation too;
    SiLU, HardSwish and the like are one layer, without a quantizer inside.
    """

    base: Base

    def activation(self, kind: DataType, low: float, high: float, *, name: str, maker: str) -> QParams | None:
        """See :func:`activation_params`."""
        return activation_params(kind, self.base, low, high, name=name)

    def inside(self, tensors: tuple[str, ...], activation: str) -> tuple[str, ...]:
        """The linear node's own tensor."""
        return () if activation in FUSED else tensors[:1]

    def weights(self, node: Linear, kind: DataType) -> QWeights | None:
        """See :func:`quantize_weights`."""
        if kind is DataType.FLOAT16:
            return None
        return quantize_weights(node.weights, kind, self.base, axis=node.axis, name=node.name)

    def bias(self, node: Linear, source: QParams, weights: QWeights) -> NDArray[np.float64]:
        """The engine's i32, i64 for 16 bits."""
        assert node.bias is not None
        return quantize_bias(node.bias, source.scale, weights)

    def operand(self, value: FloatArray, kind: DataType) -> FloatArray:
        """As it is: the engine's tables have no quantizer for it."""
        return value


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


def quantize_weights(weights: FloatArray, kind: DataType, base: Base, *, axis: int = 0, name: str = "") -> QWeights:
    """The weights of a unit in type ``kind`` (not float16).

    Under ``perchannel_symmetric_affine`` also an int16 unit keeps int8 per-channel weights; the NPU's compiler then
    refuses it.

    Args:
        axis: of the output channels.

    Raises:
        ModelError: NaN or infinite weights.
    """
    check_weights(weights, name)
    if base.scheme is Scheme.PER_CHANNEL:
        return _per_channel(weights, axis)
    low, high = float(weights.min(initial=0.0)), float(weights.max(initial=0.0))
    params = activation_params(kind, base, low, high, name=name)
    if params is None:
        raise ModelError(f"{name}: float16 weights are left alone, not quantized")
    return per_tensor(weights, params, axis)


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
