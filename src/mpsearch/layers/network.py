"""The layers of a float model: every tensor that a node makes, with what is known of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import prod

from mpsearch.graph.model import ModelGraph, Role
from mpsearch.layers.names import normalise

INPUT = "input"
"""What :attr:`Layer.after` says of a layer that reads the network's input."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One float32 tensor of the model.

    Attributes:
        name: for tables and CSV files: the tensor's name, normalised; the node's where the tensor's has no letter.
        node, op_type: what makes it.
        only: whether it is the node's only output, so that the node's name means it too.
        unit: that the node belongs to.
        shape: with the batch of 1.
        position: of the node, from 0 (first) to 1 (last).
        after: the activation that the values it is made from went through last: ``SiLU``, ``Relu`` ..., ``linear``
            for a convolution's bare output, ``input``; several joined by ``+``.
    """

    name: str
    tensor: str
    node: str
    op_type: str
    only: bool
    unit: str
    shape: tuple[int, ...]
    position: float
    after: str

    @property
    def elements(self) -> int:
        return prod(self.shape)


def layers_of(graph: ModelGraph) -> tuple[Layer, ...]:
    """In execution order; tensors of whole numbers (shapes, indices) are left out."""
    made = [
        (index, node, tensor)
        for index, node in enumerate(graph.nodes)
        for tensor in node.outputs
        if graph.tensors[tensor].dtype == "float32"
    ]
    short = {tensor: _label(tensor, node.name if len(node.outputs) == 1 else "") for _, node, tensor in made}
    many = Counter(short.values())
    last = max(1, len(graph.nodes) - 1)
    return tuple(
        Layer(
            name=short[tensor] if many[short[tensor]] == 1 else tensor,
            tensor=tensor,
            node=node.name,
            op_type=node.op_type,
            only=len(node.outputs) == 1,
            unit=graph.unit_of[node.name],
            shape=graph.tensors[tensor].shape,
            position=index / last,
            after="+".join(sorted({name for source in node.inputs for name in _behind(graph, source)})),
        )
        for index, node, tensor in made
    )


def _label(tensor: str, node: str) -> str:
    name = normalise(tensor)
    return name if any(char.isalpha() for char in name) else normalise(node) or name


def _behind(graph: ModelGraph, tensor: str) -> set[str]:
    """The activations behind ``tensor``, looking through what only moves values."""
    found, todo, seen = set(), [tensor], set()
    while todo:
        name = todo.pop()
        node = graph.producer.get(name)
        if name in seen:
            continue
        seen.add(name)
        if node is None:
            found.add(INPUT)
        elif graph.unit[graph.unit_of[node]].role is Role.TRANSPARENT:
            todo += graph.node[node].inputs
        else:
            found.add(activation(graph, node))
    return found


def activation(graph: ModelGraph, node: str) -> str:
    """The activation that ``node``'s output has behind it, seen within its unit."""
    names = graph.unit[graph.unit_of[node]].nodes
    done = [graph.node[name].op_type for name in names[: names.index(node) + 1]]
    if done[-1] == "Mul" and done[-2:-1] == ["Sigmoid"]:
        return "SiLU"
    if done[-1] in ("Mul", "Div") and "HardSigmoid" in done:
        return "HardSwish"
    return "linear" if done[-1] in ("Conv", "ConvTranspose", "Gemm", "MatMul", "BatchNormalization") else done[-1]
