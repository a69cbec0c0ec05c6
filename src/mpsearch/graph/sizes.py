"""Which input sizes a network with a dynamic input can take: those that its fixed Reshapes fit.

Exporters that leave the input dynamic often write the size of the export into Reshapes all the same, as in
``Reshape(x, [1, 3, 16, 60, 80])`` behind eight-fold striding: only 480x640 fits.
"""

from __future__ import annotations

from math import prod

import numpy as np
import onnx
from onnx import numpy_helper

Size = tuple[int, int]
_PROBE = 256
"""Height and width of a first look, which tells each tensor's stride."""
_LONGEST = 4
"""Longest believable ratio of the sides, where only their product is known."""


def admitted(model: onnx.ModelProto) -> tuple[Size, ...]:
    """Heights and widths that fit every Reshape to a constant shape; empty: any might, or none does.

    Args:
        model: with one input of four dimensions, of which height and width may be unknown.
    """
    shapes = _infer(model, (_PROBE, _PROBE), strict=False)
    if shapes is None:
        return ()
    constants = _constants(model)
    exact: set[Size] = set()
    areas: set[int] = set()
    strides = {1}
    for node in model.graph.node:
        source = shapes.get(node.input[0], ()) if node.op_type == "Reshape" else ()
        target = constants.get(node.input[1]) if source else None
        if target is None or len(source) != 4 or min(source) < 1 or _PROBE % source[2] or source[2] != source[3]:
            continue
        stride, channels = _PROBE // source[2], source[1]
        strides.add(stride)
        if len(target) >= 4 and min(target[-2:]) > 0 and (-1 in target[:-2] or prod(target[:-2]) == channels):
            exact.add((target[-2] * stride, target[-1] * stride))
        elif min(target) > 0 and prod(target) % channels == 0:
            areas.add(prod(target) // channels * stride**2)
    if len(exact) > 1 or len(areas) > 1:
        return ()
    sizes = exact or {size for area in areas for size in _sides(area, max(strides))}
    sizes = {size for size in sizes if all(known in (0, side) for known, side in zip(_known(model), size, strict=True))}
    return tuple(sorted(size for size in sizes if _infer(model, size, strict=True) is not None))


def _known(model: onnx.ModelProto) -> Size:
    """Height and width as the file says them; 0: it does not."""
    dims = _source(model).type.tensor_type.shape.dim
    return dims[2].dim_value, dims[3].dim_value


def _source(model: onnx.ModelProto) -> onnx.ValueInfoProto:
    constants = {tensor.name for tensor in model.graph.initializer}
    return next(value for value in model.graph.input if value.name not in constants)


def _sides(area: int, stride: int) -> list[Size]:
    sides = range(stride, int((area * _LONGEST) ** 0.5) + 1, stride)
    found = [(height, area // height) for height in sides if area % height == 0]
    return [(h, w) for h, w in found if w % stride == 0 and max(h, w) <= _LONGEST * min(h, w)]


def _constants(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            tensors.update((node.output[0], a.t) for a in node.attribute if a.name == "value")
    return {
        name: tuple(int(size) for size in np.atleast_1d(numpy_helper.to_array(tensor)))
        for name, tensor in tensors.items()
        if tensor.data_type == onnx.TensorProto.INT64 and len(tensor.dims) <= 1
    }


def _infer(model: onnx.ModelProto, size: Size, *, strict: bool) -> dict[str, tuple[int, ...]] | None:
    """Tensor -> shape with the input at this size; None where the network does not take it."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.value_info[:]
    dims = _source(copy).type.tensor_type.shape.dim
    for dim, fixed in zip(dims, (1, dims[1].dim_value, *size), strict=True):
        dim.Clear()
        dim.dim_value = fixed
    for output in copy.graph.output:
        output.type.tensor_type.ClearField("shape")
    try:
        inferred = onnx.shape_inference.infer_shapes(copy, strict_mode=strict, data_prop=True)
    except onnx.shape_inference.InferenceError:
        return None
    return {
        value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in (*inferred.graph.value_info, *inferred.graph.input)
    }
