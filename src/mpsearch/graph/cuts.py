"""Where an output may be delivered earlier: before the trailing nodes that only move data or squash it.

The Synaptics walk-through cuts yolov5-face before its last Reshape and Transpose; other detectors end in Sigmoid,
Softmax or a Concat over pyramid levels, which a CPU does as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mpsearch.graph.model import Node

TRAILING = frozenset("Reshape Transpose Sigmoid Concat Softmax Flatten Squeeze Unsqueeze Identity".split())


def cut_points(nodes: Sequence[Node], outputs: Sequence[str]) -> dict[str, tuple[tuple[str, ...], ...]]:
    """Model output -> candidate cuts, nearest to the output first.

    Each cut is the tuple of tensors in front of one more layer of trailing nodes. Where a Concat is peeled off, the
    cut has a tensor for each of its branches. A cut is left out when it lies at a model input.
    """
    producer = {tensor: node for node in nodes for tensor in node.outputs}
    return {output: _peel(output, producer) for output in outputs}


def _peel(output: str, producer: Mapping[str, Node]) -> tuple[tuple[str, ...], ...]:
    found: list[tuple[str, ...]] = []
    front: tuple[str, ...] = (output,)
    while True:
        peeled: list[str] = []
        moved = False
        for tensor in front:
            node = producer.get(tensor)
            if node is not None and node.op_type in TRAILING and all(name in producer for name in node.inputs):
                peeled.extend(node.inputs)
                moved = True
            else:
                peeled.append(tensor)
        if not moved:
            return tuple(found)
        front = tuple(dict.fromkeys(peeled))
        found.append(front)
