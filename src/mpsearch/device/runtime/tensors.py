"""Numbers at a compiled model's border: photographs into the device's type, dumped outputs back. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mpsearch.device.runtime.synap import Buffer
from mpsearch.errors import CandidateError, SetupError, TransientError
from mpsearch.toolchain.synap.modelinfo import ModelInfo, TensorInfo

FloatArray = NDArray[np.float32]
_INTEGERS = {"uint8": "u1", "u8": "u1", "int8": "i1", "i8": "i1", "int16": "<i2", "i16": "<i2"}
_FLOATS = {"float16": "<f2", "f16": "<f2", "float32": "<f4", "f32": "<f4"}


def encode(image: FloatArray, info: ModelInfo) -> bytes:
    """A normalised photograph ``[1, C, H, W]`` as the bytes of the model's only input.

    Raises:
        CandidateError: the model takes frames of a camera (preprocessing on the NPU), which a network input is not.
        SetupError: a type that mpsearch does not know.
    """
    if len(info.inputs) != 1 or info.inputs[0].format in ("y8", "uv8"):
        raise CandidateError(
            "accuracy on the board needs a model without preprocessing on the NPU: its inputs are "
            + ", ".join(f"{tensor.name} {list(tensor.shape)}" for tensor in info.inputs),
            stage="score",
            hint="Set `accuracy: simulator` in the board's file to score such candidates.",
        )
    (tensor,) = info.inputs
    if image.shape != tensor.onnx_shape():
        raise SetupError(
            f"the built model takes {list(tensor.shape)} ({tensor.layout}), images are {list(image.shape)}"
        )
    values = image.transpose(0, 2, 3, 1) if tensor.layout == "nhwc" else image
    if (code := _FLOATS.get(tensor.type)) is not None:
        return bytes(np.ascontiguousarray(values).astype(code).tobytes())
    if tensor.type not in _INTEGERS or tensor.scale is None:
        raise SetupError(f"model_info.txt: input {tensor.name} has type {tensor.type!r} without a known quantization")
    limits = np.iinfo(_INTEGERS[tensor.type])
    codes = np.rint(values / np.float32(tensor.scale)) + tensor.zero_point
    return bytes(np.clip(codes, limits.min, limits.max).astype(_INTEGERS[tensor.type]).tobytes())


def decode(data: bytes, info: ModelInfo, listed: Sequence[Buffer], images: int) -> list[FloatArray]:
    """Dumped floats of several predictions, one after the other, as arrays ``[images, ...]`` in ``info``'s order.

    Args:
        listed: outputs as the tool listed and dumped them. Where it uses the names of ``info``, names decide which is
            which, so that outputs of equal size cannot be mistaken; else the order does.

    Raises:
        TransientError: the number of bytes does not fit.
    """
    order = _order(info.outputs, listed)
    sizes = [info.outputs[index].elements for index in order]
    if len(data) != 4 * sum(sizes) * images:
        raise TransientError(
            f"synap_cli dumped {len(data)} bytes for {images} image(s), "
            f"{4 * sum(sizes) * images} expected for outputs of {sizes} elements"
        )
    values = np.frombuffer(data, "<f4").reshape(images, -1)
    found: dict[int, FloatArray] = {}
    at = 0
    for index, size in zip(order, sizes, strict=True):
        found[index] = _shaped(values[:, at : at + size], info.outputs[index])
        at += size
    return [found[index] for index in range(len(info.outputs))]


def _shaped(flat: FloatArray, tensor: TensorInfo) -> FloatArray:
    array = flat.reshape(len(flat), *tensor.shape[1:])
    if tensor.layout == "nhwc" and array.ndim == 4:
        array = array.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(array, np.float32)


def _order(tensors: Sequence[TensorInfo], listed: Sequence[Buffer]) -> list[int]:
    """Index into ``tensors`` of each dumped output."""
    if len(listed) != len(tensors):
        raise TransientError(f"synap_cli lists {len(listed)} outputs, the model was built with {len(tensors)}")
    names = [tensor.name for tensor in tensors]
    said = [buffer.name for buffer in listed]
    if len(set(names)) == len(names) and set(names) == set(said):
        return [names.index(name) for name in said]
    return list(range(len(names)))
