"""Tables instead of arithmetic: any function of one quantized number has 256 or 65536 values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mpsearch.quant import qparams
from mpsearch.quant.kept import Kept
from mpsearch.quant.qparams import Codes, FloatArray, QParams

Array = NDArray[Any]
_CV2_TAKES_16_BITS = int(cv2.__version__.split(".")[0]) >= 5


def look_up(codes: Codes, table: Array) -> Array:
    """``table[codes]``, fast; ``table`` has as many entries as the codes' type has values."""
    if codes.dtype != np.uint8 and not _CV2_TAKES_16_BITS:
        return np.asarray(table.take(codes))
    flat = np.ascontiguousarray(codes).reshape(1, -1)
    return np.asarray(cv2.LUT(flat, table)).reshape(codes.shape)


_CONVERSIONS: Kept[tuple[QParams, QParams | None], Array] = Kept(48 << 20)


def conversion(source: QParams, target: QParams | None) -> Array:
    """Table from codes of ``source`` to codes of ``target`` (None: to real numbers)."""

    def make() -> tuple[Array, int]:
        real = qparams.table(source)
        table = real if target is None else qparams.quantize(real, target)
        return table, table.nbytes

    return _CONVERSIONS.get_or_make((source, target), make)


def convert(values: Array, source: QParams | None, target: QParams | None) -> Array:
    """Values as ``source`` has them -> as ``target`` has them; None is float32."""
    if source is None:
        return values if target is None else qparams.quantize(values, target)
    if source.same_grid(target):
        return values
    return look_up(values, conversion(source, target))


def mapping(function: Callable[[FloatArray], FloatArray], source: QParams, target: QParams) -> Array | None:
    """Table of ``quantize(function(dequantize(code)))``; None when it changes nothing."""
    table = qparams.quantize(function(qparams.table(source)), target)
    unchanged = source.same_grid(target) and np.array_equal(table, np.arange(source.levels))
    return None if unchanged else table
