"""The only door to onnx and onnxruntime for whole models: load, extract, run in float, complete behind a cut.

Node names are made unique here, so that a name in a :class:`~mpsearch.graph.model.ModelGraph` always means the node of
the same name in :func:`load`'s result.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from mpsearch.candidate import Candidate
from mpsearch.errors import ModelError
from mpsearch.graph.model import ModelGraph

FloatArray = NDArray[np.float32]


def load(path: Path, *, input_shape: Sequence[int] | None = None) -> onnx.ModelProto:
    """The model with external data in memory and unique node names.

    Args:
        input_shape: replaces the shape of the (single) input, e.g. ``(1, 3, 480, 640)``.

    Raises:
        ModelError: missing, empty or broken file.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such file", hint="Check the study's `model:` (relative to the study file).")
    if path.stat().st_size == 0:
        raise ModelError(f"{path}: the file is empty", hint="Export or download the model again.")
    if path.read_bytes()[:64].startswith(b"version https://git-lfs"):
        raise ModelError(f"{path}: this is a Git LFS pointer, not a model", hint="Run: git lfs pull")
    try:
        model = onnx.load(str(path))
    except FileNotFoundError as error:
        raise ModelError(
            f"{path}: its external data is missing ({error})", hint="Keep the .data file beside the model."
        ) from error
    except Exception as error:  # protobuf's DecodeError and onnx's ValidationError share no useful base
        raise ModelError(f"{path}: not a readable ONNX file ({error})", hint="Export the model again.") from error
    if not model.graph.node or not model.graph.output:
        raise ModelError(f"{path}: the graph has no nodes or no outputs", hint="Export the model again.")
    if input_shape is not None:
        _set_input_shape(model, path, input_shape)
    rename_nodes(model)
    return model


def _set_input_shape(model: onnx.ModelProto, path: Path, shape: Sequence[int]) -> None:
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    dims = inputs[0].type.tensor_type.shape.dim
    if len(inputs) != 1 or len(dims) != len(shape):
        raise ModelError(f"{path}: --input-shape {list(shape)} does not fit an input of rank {len(dims)}")
    for dim, size in zip(dims, shape, strict=True):
        dim.Clear()
        dim.dim_value = int(size)
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")


def rename_nodes(model: onnx.ModelProto) -> dict[str, str]:
    """Give nameless and repeated nodes a unique name, in place; returns new name -> old name ("" for none)."""
    seen: set[str] = set()
    taken = {node.name for node in model.graph.node}
    renamed: dict[str, str] = {}
    for index, node in enumerate(model.graph.node):
        if node.name and node.name not in seen:
            seen.add(node.name)
            continue
        name = f"{node.name or node.op_type}_{index}"
        while name in taken or name in seen:
            name += "_"
        renamed[name] = node.name
        node.name = name
        seen.add(name)
    return renamed


def digest(model: onnx.ModelProto) -> str:
    """sha256 (hex) of the loaded model: weights in a side file give the same digest as weights inside."""
    clean = onnx.ModelProto()
    clean.CopyFrom(model)
    for tensor in clean.graph.initializer:
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")
    return hashlib.sha256(clean.SerializeToString(deterministic=True)).hexdigest()


def extract(model: onnx.ModelProto, inputs: Sequence[str], outputs: Sequence[str]) -> onnx.ModelProto:
    """The part of ``model`` between tensors: its nodes, their constants and value infos.

    Raises:
        ModelError: a tensor that does not exist, or outputs that need more than ``inputs``.
    """
    graph = model.graph
    infos = {v.name: v for v in (*graph.value_info, *graph.input, *graph.output)}
    producer = {tensor: node for node in graph.node for tensor in node.output}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    wanted: set[str] = set()
    used: set[str] = set()
    todo = [name for name in outputs if name not in inputs]
    while todo:
        tensor = todo.pop()
        if tensor in inputs or not tensor:
            continue
        if tensor in constants:
            used.add(tensor)
            continue
        node = producer.get(tensor)
        if node is None:
            raise ModelError(f"no way from {', '.join(inputs)} to {', '.join(outputs)}: {tensor!r} has no producer")
        if node.name not in wanted:
            wanted.add(node.name)
            todo.extend(node.input)
    part = onnx.helper.make_graph(
        [node for node in graph.node if node.name in wanted],
        graph.name or "part",
        [infos[name] for name in inputs],
        [infos[name] for name in outputs],
        [tensor for tensor in graph.initializer if tensor.name in used],
    )
    return onnx.helper.make_model(part, opset_imports=model.opset_import, ir_version=model.ir_version)


def session(model: onnx.ModelProto | Path, *, threads: int = 0, optimize: bool = True) -> ort.InferenceSession:
    """A CPU session that logs errors only.

    Args:
        threads: 0 lets onnxruntime choose.

    Raises:
        ModelError: onnxruntime cannot load the model.
    """
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    level = ort.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimize else level.ORT_DISABLE_ALL
    source: Any = str(model) if isinstance(model, Path) else model.SerializeToString()
    try:
        return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises pybind exceptions of many kinds
        raise ModelError(f"onnxruntime cannot load the model: {error}") from error


class FloatModel:
    """The float model in onnxruntime, image by image.

    Args:
        tensors: what :meth:`run` returns; by default the model's outputs. Inner tensors are made outputs.
    """

    def __init__(self, graph: ModelGraph, *, tensors: Sequence[str] | None = None, threads: int = 0) -> None:
        self.tensors = tuple(tensors or graph.outputs)
        model = onnx.shape_inference.infer_shapes(load_for(graph))
        self._input = graph.inputs[0]
        self._session = session(extract(model, graph.inputs, self.tensors), threads=threads)

    def run(self, batch: FloatArray) -> dict[str, FloatArray]:
        """``batch`` ``[N, C, H, W]`` float32 -> tensor name -> ``[N, ...]`` float32."""
        parts = [self._session.run(self.tensors, {self._input: image[None]}) for image in batch]
        return {name: np.concatenate([part[index] for part in parts]) for index, name in enumerate(self.tensors)}


def load_for(graph: ModelGraph) -> onnx.ModelProto:
    """The model that ``graph`` was read from, with the same input shape."""
    return load(graph.path, input_shape=_shape_of(graph))


def _shape_of(graph: ModelGraph) -> tuple[int, ...] | None:
    """Of the input, where it is not the file's own."""
    return graph.tensors[graph.inputs[0]].shape if graph.reshaped else None


@lru_cache(maxsize=32)
def _behind(
    digest: str,
    path: Path,
    shape: tuple[int, ...] | None,
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    threads: int,
) -> ort.InferenceSession:
    """The nodes behind a cut, which many candidates share; ``digest`` is the model's."""
    model = onnx.shape_inference.infer_shapes(load(path, input_shape=shape))
    return session(extract(model, inputs, outputs), threads=threads)


class Tail:
    """The float nodes behind a candidate's cuts, for the CPU.

    With nothing cut, :meth:`complete` only renames nothing and returns what it was given.
    """

    def __init__(self, graph: ModelGraph, candidate: Candidate, *, threads: int = 1) -> None:
        self._delivered = graph.delivered(candidate)
        cut = {output: tensors for output, tensors in self._delivered.items() if tensors != (output,)}
        self._cut = tuple(cut)
        self._inputs = tuple(dict.fromkeys(tensor for tensors in cut.values() for tensor in tensors))
        self._session: ort.InferenceSession | None = None
        if cut:
            self._session = _behind(graph.digest, graph.path, _shape_of(graph), self._inputs, self._cut, threads)

    def complete(self, device: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """Delivered tensor -> ``[N, ...]`` becomes model output -> ``[N, ...]``."""
        outputs = {name: device[name] for name in self._delivered if name not in self._cut}
        if self._session is not None:
            count = len(device[self._inputs[0]])
            runs = [
                self._session.run(self._cut, {name: device[name][i : i + 1] for name in self._inputs})
                for i in range(count)
            ]
            for index, name in enumerate(self._cut):
                outputs[name] = np.concatenate([run[index] for run in runs])
        return {name: outputs[name] for name in self._delivered}
