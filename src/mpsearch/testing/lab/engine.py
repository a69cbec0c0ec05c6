"""The stand-in's engine: which layers it makes of a network, and what it calls them.

SyNAP's form: ``<OpType>_<node>_<n>``; ``x * Sigmoid(x)`` is one layer ``Sigmoid_<node>_<n>_Mul_<node>_<m>`` whose name
no ONNX name reaches; outputs are ``attach_<OpType>_<node>/out<k>_<n>``; a BatchNormalization vanishes; layers that
transpose are put in front of layers that cannot keep their input's order, and end in ``_acuity_mark_perm_<n>``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mpsearch.graph.model import ModelGraph, Node, output_unit

_TRANSPOSING = frozenset(("Reshape", "Flatten", "Softmax"))


@dataclass(frozen=True, slots=True)
class EngineLayer:
    """Attributes:
    lid: its id.
    name: what metafile entries are compared with is the text after the first ``_`` of this.
    tensor: ONNX tensor that it makes.
    unit: mpsearch's unit; empty for inputs and inserted layers.
    parents: ids.
    weights: ONNX node with weights, or empty.
    """

    lid: str
    name: str
    tensor: str
    unit: str
    parents: tuple[str, ...]
    weights: str = ""

    @property
    def key(self) -> str:
        return self.name[self.name.find("_") + 1 :]


def layers(graph: ModelGraph, delivered: Mapping[str, Sequence[str]]) -> tuple[EngineLayer, ...]:
    """In execution order: the input, the network, the outputs."""
    return _Importer(graph, delivered).run()


class _Importer:
    def __init__(self, graph: ModelGraph, delivered: Mapping[str, Sequence[str]]) -> None:
        self._graph = graph
        self._ends = [(output, tensor) for output, tensors in delivered.items() for tensor in tensors]
        self._nodes = graph.nodes_behind(tensor for _, tensor in self._ends)
        self._made: list[EngineLayer] = []
        self._of: dict[str, str] = {}  # tensor -> id of the layer that makes it
        self._number = len(self._ends) + 2 * len(self._nodes) + 1

    def run(self) -> tuple[EngineLayer, ...]:
        for tensor in self._graph.inputs:
            self._add(f"{tensor}_{self._next()}", tensor, tensor, "", ())
        swish = self._swishes()
        for node in self._nodes:
            if node.name in swish and node.op_type == "Sigmoid":
                self._of[node.outputs[0]] = self._of[node.inputs[0]]  # the Mul makes the layer
            elif node.op_type == "BatchNormalization" and self._graph.unit_of[node.name] != node.name:
                self._of[node.outputs[0]] = self._of[node.inputs[0]]
            elif node.name in swish:
                sigmoid = swish[node.name]
                lid = f"Sigmoid_{sigmoid.name}_{self._next()}_Mul_{node.name}_{self._next()}"
                self._add(lid, "swish", node.outputs[0], self._graph.unit_of[node.name], sigmoid.inputs)
            else:
                self._plain(node)
        for index, (output, tensor) in enumerate(self._ends):
            node = self._graph.node[self._graph.producer[tensor]]
            name = f"attach_{node.op_type}_{node.name}/out{node.outputs.index(tensor)}"
            self._add(f"{name}_{index}", name, tensor, output_unit(output), (tensor,), end=True)
        return tuple(self._made)

    def _plain(self, node: Node) -> None:
        sources = node.inputs
        if node.op_type in _TRANSPOSING and len(self._graph.tensors[sources[0]].shape) == 4:
            parent = next(layer for layer in self._made if layer.lid == self._of[sources[0]])
            lid = f"{parent.lid}_acuity_mark_perm_{self._next()}"
            self._made.append(
                EngineLayer(lid, lid.rpartition("_")[0], parent.tensor, "", (parent.lid,)),
            )
            self._of = {**self._of, sources[0]: lid}
        name = f"{node.op_type}_{node.name}"
        weights = node.name if node.weights else ""
        self._add(
            f"{name}_{self._next()}", name, node.outputs[0], self._graph.unit_of[node.name], sources, weights=weights
        )
        self._of.update(dict.fromkeys(node.outputs, self._made[-1].lid))

    def _add(
        self,
        lid: str,
        name: str,
        tensor: str,
        unit: str,
        sources: Sequence[str],
        *,
        end: bool = False,
        weights: str = "",
    ) -> None:
        parents = tuple(dict.fromkeys(self._of[source] for source in sources))
        self._made.append(EngineLayer(lid, name, tensor, unit, parents, weights))
        if not end:
            self._of[tensor] = lid

    def _next(self) -> int:
        self._number -= 1
        return self._number

    def _swishes(self) -> dict[str, Node]:
        """Mul and Sigmoid of every ``x * Sigmoid(x)`` -> the Sigmoid."""
        found: dict[str, Node] = {}
        live = {node.name for node in self._nodes}
        for node in self._nodes:
            if node.op_type != "Sigmoid":
                continue
            readers = [name for name in self._graph.consumers.get(node.outputs[0], ()) if name in live]
            if len(readers) == 1 and node.outputs[0] not in {tensor for _, tensor in self._ends}:
                reader = self._graph.node[readers[0]]
                if reader.op_type == "Mul" and node.inputs[0] in reader.inputs:
                    found[reader.name] = found[node.name] = node
        return found


def behind(made: Sequence[EngineLayer], start: str) -> set[str]:
    """Ids strictly behind a layer: walks back from every output, as the toolkit does."""
    reached = {start}
    for layer in made:
        if any(parent in reached for parent in layer.parents):
            reached.add(layer.lid)
    return reached - {start}
