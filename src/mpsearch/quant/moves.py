"""Units that only move values, on arrays ``[images, *shape of the tensor]`` of any type."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpsearch.graph.model import ModelGraph, Node

Array = NDArray[Any]
Move = Callable[[Sequence[Array]], list[Array]]
_SAME_ORDER = frozenset(("Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Dropout"))


def move_of(graph: ModelGraph, node: Node, constants: Mapping[str, NDArray[np.generic]]) -> Move | None:
    """The node as a function of its activations, or None if numpy has no short form of it."""
    shapes = [graph.tensors[tensor].shape for tensor in node.outputs]
    if node.op_type in _SAME_ORDER:
        return lambda arrays: [arrays[0].reshape(len(arrays[0]), *shapes[0])]
    rank = len(graph.tensors[node.inputs[0]].shape)
    if node.op_type == "Transpose":
        order = node.attributes.get("perm") or tuple(range(rank))[::-1]
        axes = (0, *(int(axis) + 1 for axis in order))  # type: ignore[union-attr]
        return lambda arrays: [np.ascontiguousarray(arrays[0].transpose(axes))]
    if node.op_type == "Concat" and not node.params:
        axis = int(node.attributes["axis"]) % rank + 1  # type: ignore[arg-type]
        return lambda arrays: [np.concatenate(arrays, axis=axis)]
    if node.op_type == "Slice":
        return _slice(node, rank, constants)
    if node.op_type == "Split":
        axis = int(node.attributes.get("axis", 0)) % rank  # type: ignore[arg-type]
        ends = np.cumsum([shape[axis] for shape in shapes])[:-1]
        return lambda arrays: [np.ascontiguousarray(part) for part in np.split(arrays[0], ends, axis=axis + 1)]
    return None


def _slice(node: Node, rank: int, constants: Mapping[str, NDArray[np.generic]]) -> Move | None:
    if node.params:
        if any(name not in constants for name in node.params):
            return None
        values = [constants[name].reshape(-1).tolist() for name in node.params]
    else:  # opset 9 and before
        values = [list(node.attributes[key]) for key in ("starts", "ends", "axes") if key in node.attributes]  # type: ignore[arg-type]
    starts, ends = values[0], values[1]
    axes = values[2] if len(values) > 2 else list(range(len(starts)))
    steps = values[3] if len(values) > 3 else [1] * len(starts)
    where: list[slice] = [slice(None)] * (rank + 1)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        # An end far below 0 with a negative step means "to the beginning", which Python writes as None.
        stop = None if step < 0 and end < -(2**30) else int(end)
        where[int(axis) % rank + 1] = slice(int(start), stop, int(step))
    return lambda arrays: [np.ascontiguousarray(arrays[0][tuple(where)])]
