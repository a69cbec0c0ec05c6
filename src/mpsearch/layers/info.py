"""``info.json``: a model's border in the words of quantization-effect-checker's ``make_dlc_info_json.py``.

The keys are theirs, also where another vendor has no such thing: a value is then "" (a file that is not there) or, for
``FPS``, -1. ``dequantize_info`` holds for each output its shape on the device and how its integers become numbers,
``real = scale * (integer + offset)``; a float output has scale 1 and offset 0.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mpsearch.errors import ConfigError
from mpsearch.evaluate import Artifact
from mpsearch.graph.model import ModelGraph
from mpsearch.layers.network import layers_of
from mpsearch.quant.plan import Plan
from mpsearch.quant.qparams import QParams
from mpsearch.toolchain.snpe.artifact import SnpeArtifact
from mpsearch.toolchain.snpe.dlcinfo import DlcTensor
from mpsearch.toolchain.synap.driver import SynapArtifact
from mpsearch.toolchain.synap.modelinfo import BYTES, TensorInfo

KEYS = (
    "model_h", "model_w", "output_names", "dequantize_info", "raw_outputs_dir", "model_name", "per_layer_analysis",
    "graph_layout", "onnx_model_layer_config", "text_file_path", "gt_labels", "FPS",
)  # fmt: skip

SHAPES = "onnx_layers.json"
"""Layer -> shape, for ``onnx_model_layer_config`` and ``graph_layout``: here both sides are laid out as in ONNX."""


def outputs_of(graph: ModelGraph, artifact: Artifact, plan: Plan | None) -> dict[str, dict[str, Any]]:
    """``dequantize_info``: from the compiled model where the artifact is one, else from the simulator's quantizers.

    Args:
        plan: None for float outputs.
    """
    if isinstance(artifact, SynapArtifact):
        return {tensor.name: _listed(tensor) for tensor in artifact.info.outputs}
    if isinstance(artifact, SnpeArtifact):
        return {tensor.name: _of_dlc(tensor) for tensor in artifact.info.outputs}
    delivered = [tensor for several in graph.delivered(artifact.candidate).values() for tensor in several]
    quantizers = dict(plan.delivered) if plan is not None else {}
    return {tensor: _planned(graph.tensors[tensor].shape, quantizers.get(tensor)) for tensor in delivered}


def info(
    graph: ModelGraph,
    name: str,
    dequantize_info: Mapping[str, Mapping[str, Any]],
    *,
    fps: float | None = None,
    **places: str,
) -> dict[str, Any]:
    """The file's contents, with exactly :data:`KEYS`.

    Args:
        places: of the keys that name files.
    """
    height, width = graph.tensors[graph.inputs[0]].shape[-2:]
    data: dict[str, Any] = {**dict.fromkeys(KEYS, ""), **places}
    data |= {
        "model_h": height,
        "model_w": width,
        "output_names": sorted(dequantize_info),
        "dequantize_info": {output: dict(values) for output, values in dequantize_info.items()},
        "model_name": name,
        "FPS": round(fps, 2) if fps is not None else -1,
    }
    return data


def write(folder: Path, data: Mapping[str, Any], graph: ModelGraph) -> list[Path]:
    """``info.json``, the same as ``all_model_info.json``, and the layers' shapes that it names.

    Raises:
        ConfigError: the folder cannot be written.
    """
    shapes = {layer.name: list(layer.shape) for layer in layers_of(graph)}
    files = {"info.json": data, "all_model_info.json": data, SHAPES: shapes}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written ({error})") from error
    return [folder / name for name in files]


def _planned(shape: tuple[int, ...], params: QParams | None) -> dict[str, Any]:
    if params is None:
        return _values(shape, "Float_32", 32, 1.0, 0, 0.0, 0.0)
    if params.is_float:
        return _values(shape, "Float_16", 16, 1.0, 0, 0.0, 0.0)
    signed = params.qmin < 0
    bits = params.levels.bit_length() - 1
    low, high = (params.scale * (edge - params.zero_point) for edge in (params.qmin, params.qmax))
    return _values(shape, f"{'s' if signed else 'u'}Fxp_{bits}", bits, params.scale, -params.zero_point, low, high)


def _listed(tensor: TensorInfo) -> dict[str, Any]:
    bits = 8 * BYTES.get(tensor.type, 4)
    if tensor.scale is None:
        return _values(tensor.shape, f"Float_{bits}", bits, 1.0, 0, 0.0, 0.0)
    signed = not tensor.type.startswith("u")
    first = -(2 ** (bits - 1)) if signed else 0
    low, high = (tensor.scale * (edge - tensor.zero_point) for edge in (first, first + 2**bits - 1))
    kind = f"{'s' if signed else 'u'}Fxp_{bits}"
    return _values(tensor.shape, kind, bits, tensor.scale, -tensor.zero_point, low, high)


def _of_dlc(tensor: DlcTensor) -> dict[str, Any]:
    said = tensor.encoding
    if said is None:
        return _values(tensor.shape, tensor.type, tensor.bits, 1.0, 0, 0.0, 0.0)
    return _values(tensor.shape, tensor.type, said.bits, said.scale, said.offset, said.minimum, said.maximum)


def _values(
    shape: tuple[int, ...], kind: str, bits: int, scale: float, offset: float, low: float, high: float
) -> dict[str, Any]:
    return {
        "shape": list(shape), "type": kind, "bit_width": bits, "scale": float(scale), "min": float(low),
        "max": float(high), "offset": float(offset),
    }  # fmt: skip
