"""The arithmetic of SNPE's quantizers (``snpe-dlc-quant``, ``qairt-quantizer``): encodings.

After the documented rules: SNPE's own page "Quantization Algorithm" and AIMET, Qualcomm's published quantization
library, whose TF and TF-Enhanced encodings these are. An encoding is ``real = scale * (q + offset)``.

* A range is widened to contain 0, then its upper end until it is at least :data:`MIN_RANGE` wide.
* asymmetric (``tf``): scale = (max - min) / (2^bits - 1), offset = -round(-min / scale), so 0 is exact; the encoding's
  own min and max are scale * offset and scale * (offset + 2^bits - 1).
* symmetric: scale = max(|min|, |max|) / (2^(bits-1) - 1), offset = -2^(bits-1).
* ``enhanced``: the asymmetric encoding of a range cut by :mod:`mpsearch.quant.clipping`.
* 16-bit weights: symmetric with integers -0x8000 to 0x7F7F, per tensor (the HTP has no per-channel kernel for them).
* Per-channel (Conv, ConvTranspose, Gemm) and per-row (MatMul, Gemm) weights: symmetric, each output channel its own.
* What Sigmoid and Softmax give has 1/256 or 1/65536 as scale and offset 0, whatever was calibrated.
* float16 is rounded to float16; sums are kept in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import floor, isfinite

import numpy as np
from numpy.typing import NDArray

from mpsearch.candidate import Candidate, DataType, Scheme
from mpsearch.errors import CandidateError, DataError
from mpsearch.quant import clipping
from mpsearch.quant.clipping import Range
from mpsearch.quant.qparams import (
    HALF,
    FloatArray,
    Linear,
    QParams,
    QWeights,
    check_weights,
    dequantize,
    per_tensor,
    quantize,
    quantize_bias,
)

MIN_RANGE = 0.01
FIXED = frozenset(("Sigmoid", "Softmax"))
FUSED = frozenset(("Relu", "Clip", "LeakyRelu", "PRelu", "HardSwish"))
"""Activations that the HTP of SM8550 fuses into the convolution: no tensor before them."""
_CHANNELS = {
    "Conv": "per_channel",
    "ConvTranspose": "per_channel",
    "Gemm": "per_channel or per_row",
    "MatMul": "per_row",
}
_LAST_16 = 0x7F7F
_BINS = 2048
"""Of a weight tensor's histogram."""


@dataclass(frozen=True, slots=True)
class Quantizer:
    """One of the tool's two quantizers: for activations, for parameters.

    Attributes:
        calibration: ``min-max``, ``sqnr``, ``mse``, ``entropy`` or ``percentile``.
    """

    calibration: str = "min-max"
    symmetric: bool = False


@dataclass(frozen=True, slots=True)
class Snpe:
    """The :class:`~mpsearch.quant.qparams.Arithmetic` of SNPE."""

    activations: Quantizer = Quantizer()
    parameters: Quantizer = Quantizer()
    per_channel: bool = False
    per_row: bool = False
    weight_bits: int = 8
    bias_bits: int = 8
    equalization: str = "none"

    @classmethod
    def of(cls, candidate: Candidate) -> Snpe:
        """By the candidate's options.

        Raises:
            CandidateError: two flags that the tool refuses together.
        """
        return cls(
            _quantizer(candidate, "act"),
            _quantizer(candidate, "param"),
            candidate.option("weights") == "per_channel",
            candidate.option("matmul_weights") == "per_row",
            int(candidate.option("weight_bits")),
            int(candidate.option("bias_bits")),
            candidate.option("equalization"),
        )

    def activation(self, kind: DataType, low: float, high: float, *, name: str, maker: str) -> QParams | None:
        """See :func:`affine`; :data:`~mpsearch.quant.qparams.HALF` for float16."""
        if not (isfinite(low) and isfinite(high)):
            raise DataError(
                f"activations of {name or 'a tensor'} are not finite ({low}, {high})",
                hint="Check the preprocessing, and that the float model is finite on the calibration photographs.",
            )
        if kind is DataType.FLOAT16:
            return HALF
        if maker in FIXED:
            levels = 1 << kind.bits
            return affine(0.0, (levels - 1) / levels, kind.bits)
        return affine(low, high, kind.bits, symmetric=self.activations.symmetric)

    def range(self, kind: DataType, whole: Range, counts: Callable[[], NDArray[np.int64]]) -> Range:
        """What the activation quantizer makes of a tensor's statistics; ``counts`` is asked for only where needed."""
        calibration = self.activations.calibration
        if calibration == "min-max" or kind is DataType.FLOAT16:
            return whole
        steps = (1 << kind.bits) - 1
        return clipping.clip(calibration, counts(), whole, steps=steps, symmetric=self.activations.symmetric)

    def inside(self, tensors: tuple[str, ...], activation: str) -> tuple[str, ...]:
        """Every tensor, but none before what is fused: a SiLU is a Sigmoid and a Mul, each an operator of its own."""
        return () if len(tensors) == 1 and activation in FUSED else tensors

    def weights(self, node: Linear, kind: DataType) -> QWeights | None:
        """8 or 4 bits by ``param_quantizer``; 16 symmetric."""
        check_weights(node.weights, node.name)
        if kind is DataType.FLOAT16:
            return None
        low, high = float(node.weights.min(initial=0.0)), float(node.weights.max(initial=0.0))
        if kind is DataType.A16W16:
            return per_tensor(node.weights, restricted(low, high), node.axis)
        wanted = _CHANNELS.get(node.op_type, "")
        if (self.per_channel and "per_channel" in wanted) or (self.per_row and "per_row" in wanted):
            return self._by_channel(node)
        low, high = self._clipped(node.weights, self.parameters.symmetric)
        return per_tensor(
            node.weights, affine(low, high, self.weight_bits, symmetric=self.parameters.symmetric), node.axis
        )

    def bias(self, node: Linear, source: QParams, weights: QWeights) -> NDArray[np.float64]:
        """8 bits: an encoding of its own, brought to the sums' steps; 32 bits: whole steps at once."""
        assert node.bias is not None
        held = dequantize(quantize(node.bias, self.bias_params(node.bias)), self.bias_params(node.bias))
        return quantize_bias(held if self.bias_bits == 8 else node.bias, source.scale, weights)

    def bias_params(self, bias: FloatArray) -> QParams:
        """The 8-bit encoding of a bias."""
        low, high = float(bias.min(initial=0.0)), float(bias.max(initial=0.0))
        return affine(low, high, 8, symmetric=self.parameters.symmetric)

    def operand(self, value: FloatArray, kind: DataType) -> FloatArray:
        """In an asymmetric encoding as wide as the activations."""
        if kind is DataType.FLOAT16:
            return value.astype(np.float16).astype(np.float32)
        params = affine(float(value.min(initial=0.0)), float(value.max(initial=0.0)), kind.bits)
        return dequantize(quantize(value, params), params)

    def _by_channel(self, node: Linear) -> QWeights:
        rows = np.moveaxis(node.weights, node.axis, 0).reshape(node.weights.shape[node.axis], -1)
        ranges = [self._clipped(row, True) for row in rows]
        found = [affine(low, high, self.weight_bits, symmetric=True) for low, high in ranges]
        scale = np.array([params.scale for params in found], np.float32)
        shape = [1] * node.weights.ndim
        shape[node.axis] = -1
        half = 1 << (self.weight_bits - 1)
        integers = np.clip(np.rint(node.weights / scale.reshape(shape)), -half, half - 1).astype(np.int8)
        return QWeights(integers, scale, 0, node.axis, None)

    def _clipped(self, values: FloatArray, symmetric: bool) -> Range:
        low, high = float(values.min(initial=0.0)), float(values.max(initial=0.0))
        if self.parameters.calibration == "min-max" or not high > low:
            return low, high
        counts = np.histogram(values, bins=_BINS, range=(low, high))[0]
        steps = (1 << self.weight_bits) - 1
        return clipping.clip(self.parameters.calibration, counts, (low, high), steps=steps, symmetric=symmetric)


def affine(low: float, high: float, bits: int, *, symmetric: bool = False) -> QParams:
    """The encoding of a range; its own ``low`` and ``high`` are what the integers' ends stand for."""
    kind = DataType.A8W8 if bits <= 8 else DataType.A16W8
    low, high = min(low, 0.0), max(high, 0.0)
    high = max(high, low + MIN_RANGE)
    if symmetric:
        half = 1 << (bits - 1)
        return _params(kind, max(-low, high) / (half - 1), 0, -half, half - 1)
    steps = (1 << bits) - 1
    scale = (high - low) / steps
    return _params(kind, scale, min(floor(-low / scale + 0.5), steps), 0, steps)


def restricted(low: float, high: float) -> QParams:
    """16-bit weights: symmetric within -0x8000 to 0x7F7F."""
    high = max(high, min(low, 0.0) + MIN_RANGE)
    return _params(DataType.A16W16, max(-low, high) / _LAST_16, 0, -0x8000, _LAST_16)


def _params(kind: DataType, scale: float, zero: int, qmin: int, qmax: int) -> QParams:
    step = float(np.float32(scale))
    return QParams(kind, Scheme.ENCODINGS, step, zero, qmin, qmax, step * (qmin - zero), step * (qmax - zero))


def _quantizer(candidate: Candidate, name: str) -> Quantizer:
    legacy = candidate.option(f"{name}_quantizer")
    calibration, schema = candidate.option(f"{name}_calibration"), candidate.option(f"{name}_schema")
    if calibration == schema == "tool":
        return Quantizer("sqnr" if legacy == "enhanced" else "min-max", legacy == "symmetric")
    if legacy != "tf":
        raise CandidateError(
            f"{name}_quantizer {legacy} cannot be combined with {name}_calibration or {name}_schema",
            stage="build",
            hint="Give one or the other in the search space's `options`.",
        )
    return Quantizer("min-max" if calibration == "tool" else calibration, schema == "symmetric")
