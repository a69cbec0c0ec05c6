"""Which nodes share a type: what the vendors' compilers fuse, and what only carries a type.

Fused into the convolution before them: BatchNormalization, then one activation out of Relu, Clip, LeakyRelu, PRelu,
HardSwish, ``x * Sigmoid(x)`` (SiLU), ``x * HardSigmoid(x)`` and the exported forms of HardSwish
(``x * Clip(x + 3, 0, 6) / 6``). Each only where the value between has no other reader.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mpsearch.graph.model import Node, Role, Unit, output_unit

TRANSPARENT = frozenset(
    "Reshape Transpose Concat Slice Split Squeeze Unsqueeze Flatten Identity MaxPool Pad Gather Expand Tile "
    "DepthToSpace SpaceToDepth Dropout".split()
)
_KINDS = {
    **dict.fromkeys("Add Sub Mul Div Pow Min Max Sum Mean".split(), "eltwise"),
    **dict.fromkeys("Relu Clip LeakyRelu PRelu Sigmoid HardSigmoid HardSwish Tanh Elu".split(), "activation"),
    **dict.fromkeys("Selu Gelu Erf Exp Softplus Sqrt".split(), "activation"),
    **dict.fromkeys("MaxPool AveragePool GlobalAveragePool GlobalMaxPool".split(), "pool"),
    **dict.fromkeys(("Gemm", "MatMul"), "gemm"),
    **dict.fromkeys(("Resize", "Upsample"), "resize"),
    **dict.fromkeys(("Softmax", "LogSoftmax"), "softmax"),
    "Conv": "conv",
    "ConvTranspose": "deconv",
    "Concat": "concat",
}
_ONE_NODE_ACTIVATIONS = frozenset("Relu Clip LeakyRelu PRelu HardSwish".split())


def is_transparent(node: Node) -> bool:
    """Moves or selects values without computing new ones; a Resize only with nearest neighbours."""
    if node.op_type in ("Resize", "Upsample"):
        return node.attributes.get("mode", "nearest") == "nearest"
    return node.op_type in TRANSPARENT


def kind_of(node: Node) -> str:
    """The unit kind of a main node (see :class:`~mpsearch.graph.model.Unit`)."""
    if node.conv is not None and node.conv.depthwise:
        return "depthwise"
    if node.op_type in _KINDS:
        return _KINDS[node.op_type]
    return "move" if node.op_type in TRANSPARENT else "other"


def build_units(nodes: Sequence[Node], outputs: Sequence[str]) -> tuple[Unit, ...]:
    """All units in execution order (of their last node), output units last.

    Args:
        nodes: in execution order, constant nodes left out.
        outputs: the model's outputs.
    """
    finder = _Fusion(nodes, outputs)
    units: list[Unit] = []
    order = {node.name: index for index, node in enumerate(nodes)}
    fused: set[str] = set()
    for node in nodes:
        if node.name in fused:
            continue
        members = finder.group(node)
        fused.update(member.name for member in members)
        made = {tensor for member in members for tensor in member.outputs}
        inside = {tensor for member in members for tensor in member.inputs if tensor in made}
        units.append(
            Unit(
                name=node.name,
                role=Role.TRANSPARENT if is_transparent(node) else Role.COMPUTE,
                kind=kind_of(node),
                nodes=tuple(member.name for member in members),
                inputs=tuple(dict.fromkeys(t for m in members for t in m.inputs if t not in made)),
                outputs=tuple(t for m in members for t in m.outputs if t not in inside or t in outputs),
                macs=sum(member.macs for member in members),
                weights=sum(member.weights for member in members),
            )
        )
    units.sort(key=lambda unit: order[unit.nodes[-1]])
    ends = [Unit(output_unit(name), Role.OUTPUT, "output", (), (name,), (name,)) for name in outputs]
    return (*units, *ends)


class _Fusion:
    def __init__(self, nodes: Sequence[Node], outputs: Sequence[str]) -> None:
        self._readers: Mapping[str, list[Node]] = {}
        readers: dict[str, list[Node]] = {}
        for node in nodes:
            for tensor in dict.fromkeys(node.inputs):
                readers.setdefault(tensor, []).append(node)
        self._readers = readers
        self._outputs = set(outputs)

    def group(self, node: Node) -> list[Node]:
        members = [node]
        if node.op_type not in ("Conv", "ConvTranspose", "Gemm"):
            return members
        only = self._readers_inside(members[-1])
        if len(only) == 1 and only[0].op_type == "BatchNormalization":
            members.append(only[0])
        return members + self._activation(members[-1])

    def _readers_inside(self, node: Node) -> list[Node]:
        """All readers of ``node``'s output, or none when the value also leaves the model."""
        return [] if node.outputs[0] in self._outputs else self._readers.get(node.outputs[0], [])

    def _activation(self, node: Node) -> list[Node]:
        readers = self._readers_inside(node)
        if len(readers) == 1 and readers[0].op_type in _ONE_NODE_ACTIVATIONS:
            return [readers[0]]
        if len(readers) != 2:
            return []
        x = node.outputs[0]
        for gate, product in (readers, readers[::-1]):
            chain = self._gate(gate)
            if chain and product.op_type == "Mul" and set(product.inputs) == {x, chain[-1].outputs[0]}:
                return [*chain, product, *self._sixth(product)]
        return []

    def _gate(self, first: Node) -> list[Node]:
        """``Sigmoid``, ``HardSigmoid``, or ``Add 3 -> Clip [-> Div 6 | Mul 1/6]``, each with one reader."""
        if first.op_type in ("Sigmoid", "HardSigmoid"):
            return [first] if len(self._readers_inside(first)) == 1 else []
        chain = [first]
        for follower in (("Clip", "Relu6"), ("Div", "Mul")):
            readers = self._readers_inside(chain[-1])
            if len(readers) != 1:
                return []
            if readers[0].op_type not in follower or len(readers[0].inputs) != 1:
                break
            chain.append(readers[0])
        return chain if first.op_type == "Add" and len(first.inputs) == 1 and len(chain) > 1 else []

    def _sixth(self, product: Node) -> list[Node]:
        """The ``/ 6`` behind ``x * Clip(x + 3, 0, 6)``; a Mul or Div by one constant."""
        readers = self._readers_inside(product)
        last = readers[0] if len(readers) == 1 else None
        if last is None or last.op_type != "Div" or len(last.inputs) != 1 or len(last.params) != 1:
            return []
        return [last]
