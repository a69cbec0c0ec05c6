"""Numbers at a DLC's border: photographs into the DLC's order and type, raw outputs back. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mpsearch.device.snpe.replies import BuffersWrong
from mpsearch.errors import CandidateError, SetupError
from mpsearch.toolchain.snpe.dlcinfo import DlcTensor, Encoding

FloatArray = NDArray[np.float32]
_STORED = {
    "uFxp_8": "u1", "sFxp_8": "i1", "uFxp_16": "<u2", "sFxp_16": "<i2", "Fxp_8": "u1", "Fxp_16": "<u2",
    "Float_16": "<f2", "Float_32": "<f4",
}  # fmt: skip
_FILE = re.compile(r"^(?:.*/)?Result_(?P<index>\d+)/(?P<name>.+)\.raw$")
_PRINTED = 1e-12
"""The listing prints twelve decimals."""


def encode(image: FloatArray, tensor: DlcTensor) -> bytes:
    """A normalised photograph ``[1, C, H, W]`` as the bytes of the DLC's input.

    Raises:
        SetupError: another shape, a type that mpsearch does not know, or integers without an encoding.
    """
    values = np.ascontiguousarray(_to_dlc(image, tensor))
    stored = _stored(tensor)
    if tensor.is_float:
        return bytes(values.astype(stored).tobytes())
    scale, zero = _grid(tensor)
    limits = np.iinfo(stored)
    codes = np.rint(values / np.float32(scale)) + np.float32(zero)
    return bytes(np.clip(codes, limits.min, limits.max).astype(stored).tobytes())


def decode(data: bytes, tensor: DlcTensor, shape: Sequence[int]) -> FloatArray:
    """One raw output as float32 of the network's own ``shape``.

    Raises:
        BuffersWrong: another number of bytes.
        CandidateError: its order cannot be told, or it holds infinite values or NaN (float16 goes to 65504).
        SetupError: a type that mpsearch does not know, or integers without an encoding.
    """
    stored = _stored(tensor)
    wanted = int(np.prod(tensor.shape)) * np.dtype(stored).itemsize
    if len(data) != wanted:
        raise BuffersWrong(
            f"output {tensor.name!r} has {len(data)} bytes; {list(tensor.shape)} of {tensor.type} are {wanted}"
        )
    codes = np.frombuffer(data, stored).astype(np.float32)
    if tensor.is_float and not np.isfinite(codes).all():
        raise CandidateError(
            f"output {tensor.name!r} holds infinite values or NaN",
            stage="score",
            hint="A part of the model leaves the range of float16: give it 16-bit integers instead.",
        )
    if not tensor.is_float:
        scale, zero = _grid(tensor)
        codes = (codes - np.float32(zero)) * np.float32(scale)
    return np.ascontiguousarray(_to_network(codes.reshape(tensor.shape), tensor, tuple(shape)), np.float32)


def collected(data: bytes, listing: str, tensors: Mapping[str, DlcTensor], images: int) -> list[dict[str, bytes]]:
    """The output files of a run: DLC tensor -> bytes, one mapping an image.

    Args:
        data: all files, one behind the other.
        listing: a line ``<bytes> <path>`` each, in their order; paths end in ``Result_<image>/<tensor>.raw``, where
            slashes of a tensor's name are folders and a ``_`` may stand in front.

    Raises:
        BuffersWrong: files or bytes are missing.
    """
    known = {plain(name): name for name in tensors}
    found: list[dict[str, bytes]] = [{} for _ in range(images)]
    at = 0
    for line in listing.splitlines():
        size, _, path = line.strip().partition(" ")
        if not size.isdigit():
            continue
        part, at = data[at : at + int(size)], at + int(size)
        file = _FILE.match(path)
        if file is None or int(file["index"]) >= images:
            continue
        name = known.get(plain(file["name"])) or known.get(plain(file["name"].removesuffix("_native")))
        if name is not None:
            found[int(file["index"])][name] = part
    if at != len(data):
        raise BuffersWrong(f"{len(data)} bytes of outputs arrived, the device lists {at}")
    for index, files in enumerate(found):
        if missing := sorted(set(tensors) - set(files)):
            listed = ", ".join(line.partition(" ")[2] for line in listing.splitlines()[:4]) or "none"
            raise BuffersWrong(f"no output {missing[0]!r} of image {index} among the files {listed} ...")
    return found


def plain(name: str) -> str:
    """What is left of a tensor's name in a file's name."""
    return re.sub(r"\W", "_", name).strip("_")


def _stored(tensor: DlcTensor) -> str:
    if tensor.type not in _STORED:
        raise SetupError(f"tensor {tensor.name!r}: mpsearch does not know the type {tensor.type!r}")
    if not tensor.is_float and tensor.encoding is None:
        raise SetupError(f"tensor {tensor.name!r}: snpe-dlc-info lists {tensor.type} without an encoding")
    return _STORED[tensor.type]


def _grid(tensor: DlcTensor) -> tuple[float, int]:
    """Scale, and the stored integer that stands for 0.

    The smallest stored integer stands for ``min``, which holds however a signed type's offset is counted.
    """
    encoding = tensor.encoding
    assert encoding is not None  # asked by _stored
    lowest = int(np.iinfo(_STORED[tensor.type]).min)
    scale = _sharpened(encoding)
    return scale, lowest - round(encoding.minimum / scale)


def _sharpened(encoding: Encoding) -> float:
    """The scale; from the range where that says it with more digits, as small scales are printed with few."""
    if not encoding.scale > 0:
        return 1.0
    fine = (encoding.maximum - encoding.minimum) / ((1 << encoding.bits) - 1)
    return fine if abs(fine - encoding.scale) <= _PRINTED else encoding.scale


def _moved(shape: Sequence[int]) -> tuple[int, ...]:
    return (shape[0], *shape[2:], shape[1]) if len(shape) >= 3 else tuple(shape)


def _to_dlc(image: FloatArray, tensor: DlcTensor) -> FloatArray:
    """Channels go last where the DLC has them there, as after ``snpe-onnx-to-dlc``."""
    if tensor.shape == _moved(image.shape):
        return np.moveaxis(image, 1, -1)
    if tensor.shape == image.shape:
        return image
    raise SetupError(f"the DLC's input {tensor.name!r} is {list(tensor.shape)}, photographs are {list(image.shape)}")


def _to_network(values: FloatArray, tensor: DlcTensor, shape: tuple[int, ...]) -> FloatArray:
    if tensor.shape == shape == _moved(shape) and sum(size > 1 for size in shape[1:]) > 1:
        raise CandidateError(
            f"output {tensor.name!r} is {list(shape)}, which does not say whether channels come first or last",
            stage="score",
            hint="Set `accuracy: simulator` in the board's file to score such candidates.",
        )
    if tensor.shape == shape:
        return values
    if tensor.shape == _moved(shape):
        return np.moveaxis(values, -1, 1)
    raise CandidateError(
        f"output {tensor.name!r} is {list(tensor.shape)} in the DLC and {list(shape)} in the model", stage="score"
    )
