"""What the stand-in converter leaves: listings and ``model.synap``."""

from __future__ import annotations

import argparse
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from onnx import numpy_helper

from mpsearch.candidate import Base, Candidate, DataType, Scheme
from mpsearch.graph import onnxio
from mpsearch.graph.model import ModelGraph
from mpsearch.images import PhotoSet
from mpsearch.quant.qparams import QParams
from mpsearch.quant.ranges import share
from mpsearch.quant.schemes import activation_params
from mpsearch.quant.simulator import Simulator
from mpsearch.testing.lab import listing
from mpsearch.testing.lab.engine import EngineLayer
from mpsearch.testing.lab.faults import Faults
from mpsearch.testing.lab.metafile import Meta


@dataclass(frozen=True)
class Built:
    """What goes into the files. ``first`` is the type and scheme of the first pass, which layers keep unless moved."""

    graph: ModelGraph
    first: Base
    candidate: Candidate
    types: Mapping[str, DataType]
    made: tuple[EngineLayer, ...]
    moved: Mapping[str, str]
    simulator: Simulator | None
    photos: PhotoSet | None
    input: QParams | None = None


def shape_of(meta: Meta) -> tuple[int, ...] | None:
    shape = meta.inputs[0].get("shape") if meta.inputs else None
    return tuple(shape) if shape else None


def write(built: Built, meta: Meta, target: str, out: Path, options: argparse.Namespace, faults: Faults) -> None:
    outputs, weights = _parameters(built)
    inputs, ends = _tensors(built, meta, outputs)
    if faults.take("swapped-outputs"):
        ends = ends[::-1]
    (out / "model_info.txt").write_text(listing.model_info(inputs, ends, meta.delegate(target)))
    if built.simulator is not None:
        moved = {} if faults.take("wrong-types") else built.moved
        if moved != built.moved:
            candidate = Candidate(built.candidate.base, cuts=built.candidate.cuts, dropped=built.candidate.dropped)
            outputs, weights = _parameters(
                replace(built, candidate=candidate, types=built.graph.assign(candidate), moved={})
            )
        (out / "quantization_info.yaml").write_text(listing.quantization_info(built.made, outputs, weights, moved))
        if meta.quantization.get("algorithm") == "kl_divergence":
            (out / "quantization_entropy.txt").write_text(listing.entropy(_entropies(built, outputs)))
    (out / "cache").mkdir(exist_ok=True)
    (out / "cache" / "conversion_info.json").write_text(json.dumps({"version": listing.VERSION, "npu_id": target}))
    _bundle(built, meta, target, out / "model.synap", ends)


def _parameters(built: Built) -> tuple[dict[str, QParams | None], dict[str, dict[str, Any]]]:
    """Quantizers of every layer's output, and rows for its weights."""
    if built.simulator is None:
        return dict.fromkeys(layer.lid for layer in built.made), {}
    statistics = built.simulator.statistics
    ranges = {**{name: statistics.minmax(name) for name in statistics.extremes}}
    ranges |= share(built.graph, statistics.minmax, built.types)
    base = built.first
    outputs: dict[str, QParams | None] = {}
    for layer in built.made:
        kind = DataType(built.moved.get(layer.lid, base.type))
        outputs[layer.lid] = activation_params(kind, base, *ranges[layer.tensor])
    outputs[built.made[0].lid] = built.input
    constants = {t.name: t for t in onnxio.load(built.graph.path).graph.initializer}
    rows: dict[str, dict[str, Any]] = {}
    for layer in built.made:
        params = outputs[layer.lid]
        if not layer.weights or params is None:
            continue
        arrays = [numpy_helper.to_array(constants[n]) for n in built.graph.node[layer.weights].params if n in constants]
        per_channel = base.scheme is Scheme.PER_CHANNEL
        rows[layer.lid] = {"weight": listing.weight_entry(arrays[0], str(params.type), per_channel)}
        if len(arrays) > 1:
            wide = "i64" if per_channel or params.type is DataType.INT16 else "i32"
            rows[layer.lid]["bias"] = {**listing.weight_entry(arrays[1], str(params.type), False), "qtype": wide}
    return outputs, rows


def _entropies(built: Built, outputs: Mapping[str, QParams | None]) -> dict[str, float]:
    """0 to 1, higher is worse: here the share of the range that one step takes, on a logarithmic scale."""
    rows = {}
    for layer in built.made:
        if (params := outputs[layer.lid]) is not None:
            share_of_range = params.scale / max(params.high - params.low, 1e-9)
            rows[f"{layer.lid}:out0"] = float(min(1.0, max(0.0, 1 + np.log10(share_of_range) / 6)))
    return rows


def _tensors(
    built: Built, meta: Meta, outputs: Mapping[str, QParams | None]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    graph = built.graph
    first = built.made[0]
    shape = graph.tensors[graph.inputs[0]].shape
    kind = meta.inputs[0].get("preprocess") if meta.inputs else None
    if kind and kind["type"] in ("nv12", "nv21"):
        width, height = kind["size"]
        plane = {"name": "", "shape": [], "layout": "nhwc", "format": "", "type": "uint8"}
        inputs = [
            {**plane, "name": "input_0", "shape": [1, height, width, 1], "format": "y8"},
            {**plane, "name": "input_1", "shape": [1, height // 2, width // 2, 2], "format": "uv8"},
        ]
    else:
        inputs = [
            {"name": first.tensor, "shape": list(shape), "layout": "nchw", "format": "", **_type(outputs[first.lid])}
        ]
    ends = []
    asked = meta.outputs or [{} for _ in graph.outputs]
    dequantize = bool(meta.top.get("dequantize_outputs") or meta.top.get("denormalize_outputs"))
    attached = [layer for layer in built.made if layer.lid.startswith("attach_") and "/out" in layer.lid]
    for layer, entry in zip(attached, asked, strict=False):
        params = None if entry.get("dequantize", dequantize) else outputs[layer.lid]
        kind_of = {"type": "float32"} if params is None else _type(params)
        size = list(graph.tensors[layer.tensor].shape)
        ends.append({"name": layer.name, "shape": size, "layout": "nchw", "format": entry.get("format", ""), **kind_of})
    return inputs, ends


def _type(params: QParams | None) -> dict[str, Any]:
    if params is None:
        return {"type": "float16"}
    if params.fl is not None:
        name = "i16" if params.type is DataType.INT16 else "i8"
        return {"type": name, "quantization": {"scheme": str(params.scheme), "fractional_length": params.fl}}
    words = {"scheme": str(params.scheme), "scale": params.scale, "zero_point": params.zero_point}
    return {"type": str(params.type), "quantization": words}


def _input(meta: Meta) -> dict[str, Any]:
    """What the board's own preprocessing does."""
    entry = meta.inputs[0] if meta.inputs else {}
    means = entry.get("means", 0)
    order = "bgr" if str(entry.get("format", "")).startswith("bgr") else "rgb"
    return {"means": means if isinstance(means, list) else [means] * 3, "scale": entry.get("scale", 1), "order": order}


def _bundle(built: Built, meta: Meta, target: str, path: Path, ends: list[dict[str, Any]]) -> None:
    """``model.synap``. The "binary" holds the network and its types; calibration statistics stay in the lab's cache."""
    tensors = {layer.name: layer.tensor for layer in built.made if layer.lid.startswith("attach_")}
    inputs, _ = _tensors(built, meta, _parameters(built)[0])
    description = {
        "candidate": built.candidate.to_json(),
        "types": {unit: str(kind) for unit, kind in built.types.items()},
        "photos": [built.photos.digest, len(built.photos)] if built.photos else None,
        "shape": shape_of(meta) if built.graph.reshaped else None,
        "target": target,
        "delegate": meta.delegate(target),
        **_input(meta),
    }
    names = {
        "inputs": inputs,
        "outputs": [{**end, "tensor": tensors[end["name"]]} for end in ends],
    }
    bundle = {
        "graph": [{"inputs": [{"subgraph": -1, "out": 0}], "model": "0/model.nb", "meta": "0/model.json"}],
        "outputs": [{"subgraph": 0, "out": index} for index in range(len(ends))],
    }
    binary = json.dumps(description).encode() + b"\n" + built.graph.path.read_bytes()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in (
            ("bundle.json", json.dumps(bundle).encode()),
            ("0/model.nb", binary),
            ("0/model.json", json.dumps(names).encode()),
        ):
            file.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
