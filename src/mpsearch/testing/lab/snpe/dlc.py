"""A DLC of the lab: a zip of the network, the operators, and how it was made. Standard library only."""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import dataclass
from typing import Any

VERSION = "2.41.0.251128145156"
WEIGHTED = frozenset(
    ("Conv2d", "Conv3d", "TransposeConv2d", "DepthWiseConv2d", "FullyConnected", "MatMul", "DepthWiseConv2D")
)
"""Operators whose output, weights and bias are all float as soon as one of them is."""


class NoDlc(Exception):
    """Not a DLC; the argument is what the tools say."""


@dataclass
class Dlc:
    """Attributes:
    network: bytes of the ONNX file.
    ir: ``graph`` (name), ``inputs``, ``outputs`` (names), ``ops`` (``name``, ``type``, ``inputs``, ``outputs``,
        ``params``: lines of text), ``tensors``: name -> ``dims``, ``type``, ``kind``, ``encoding``, ``onnx`` (its name
        in the network), ``last`` (whether its channels were moved to the end), ``bits`` (where it is in fixed point);
        constants also ``role`` (``weight``, ``bias`` or none), ``reader`` (the ONNX operator that reads it), ``axis``
        (of a weight's output channels in the network), ``symmetric`` and ``by_channel``.
    about: ``converter``, ``quantizer`` (command lines), ``model``, ``overrides``, ``caches``, ``run`` ...
    """

    network: bytes
    ir: dict[str, Any]
    about: dict[str, Any]

    @property
    def tensors(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = self.ir["tensors"]
        return found

    @property
    def quantized(self) -> bool:
        return bool(self.about.get("quantizer"))


def read(path: str) -> Dlc:
    """Raises:
    NoDlc: missing, or something else.
    """
    if not os.path.isfile(path):
        raise NoDlc(f"error_code=302; error_message=Could not open container file {path}; error_component=Dl Container")
    try:
        with zipfile.ZipFile(path) as file:
            parts = [file.read(name) for name in ("model.onnx", "ir.json", "about.json")]
    except (KeyError, OSError, zipfile.BadZipFile):
        raise NoDlc(
            f"error_code=300; error_message=Model file is corrupted {path}; error_component=Dl Container"
        ) from None
    return Dlc(parts[0], json.loads(parts[1]), json.loads(parts[2]))


def write(dlc: Dlc, path: str) -> None:
    """Under its name only when it is whole."""
    part = f"{path}.{os.getpid()}"
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in (
            ("model.onnx", dlc.network),
            ("ir.json", json.dumps(dlc.ir).encode()),
            ("about.json", json.dumps(dlc.about).encode()),
        ):
            file.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    os.replace(part, path)


def element_bytes(kind: str) -> int:
    """``uFxp_8`` -> 1."""
    return int(kind.rsplit("_", 1)[1]) // 8
