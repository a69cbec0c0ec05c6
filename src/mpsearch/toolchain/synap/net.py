"""The layers that the vendor's engine will make of a graph, as far as ONNX names can say.

A metafile speaks of *layers*, a candidate of units. What is known of the importer (SyNAP toolkit 3.2.0 over
Acuity 6.30.6; layer tables of acuitylite 6.33.0):

* a node becomes a layer ``<OpType>_<node name>``, and an entry is compared with the text after the first ``_``;
* a BatchNormalization disappears into the convolution before it, which keeps its name;
* ``x * Sigmoid(x)`` becomes one layer with a name of its own, which no ONNX name reaches;
* whether other activations keep their names could not be seen, so they count as out of reach as well;
* every graph output has a layer ``attach_<OpType>_<node>/out<n>`` behind the node that makes it;
* the importer may put transposing layers on any edge (``..._acuity_mark_perm``). Only ``name...`` reaches them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from mpsearch.candidate import Candidate
from mpsearch.graph.model import ModelGraph, Node, Unit, output_unit

_MAIN = frozenset(("Conv", "ConvTranspose", "Gemm"))


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of the engine's network.

    Attributes:
        parents: indices into :attr:`LayerNet.layers`, all smaller than the layer's own.
        unit: None for the network's input and for what the importer may have put on an edge.
        key: the metafile entry that is sure to reach it; None when there is none.
        guess: an entry that should reach it, inferred from the toolkit's code and not seen at work.
        label: for messages.
        doubt: why a probe conversion forbids to name it.
    """

    parents: tuple[int, ...]
    unit: str | None = None
    key: str | None = None
    guess: str | None = None
    label: str = ""
    doubt: str = ""


@dataclass(frozen=True)
class LayerNet:
    """The layers on the device for one choice of cuts, in execution order. Sets of layers are bit masks."""

    layers: tuple[Layer, ...]

    @cached_property
    def after(self) -> tuple[int, ...]:
        """For every layer the mask of all layers strictly behind it: what ``name...`` means."""
        masks = [0] * len(self.layers)
        for index in range(len(self.layers) - 1, -1, -1):
            for parent in self.layers[index].parents:
                masks[parent] |= masks[index] | 1 << index
        return tuple(masks)

    @cached_property
    def index(self) -> Mapping[str, int]:
        """Entry (without ``...``) -> layer; the first one wins, as in the toolkit."""
        found: dict[str, int] = {}
        for index, layer in enumerate(self.layers):
            for key in (layer.key, layer.guess):
                if key is not None:
                    found.setdefault(key, index)
        return found

    @cached_property
    def everything(self) -> int:
        return (1 << len(self.layers)) - 1

    @cached_property
    def real(self) -> int:
        """The layers that belong to units."""
        return sum(1 << index for index, layer in enumerate(self.layers) if layer.unit is not None)


def nameable(name: str) -> bool:
    """Whether a metafile entry can consist of this name: the toolkit gives some texts a meaning of their own."""
    return name not in ("", "*", "INPUTS") and not name.startswith("@") and not name.endswith("...")


def edge(tensor: str, reader: str) -> str:
    """Key, among layer ids, of the layer that the importer put between a tensor and a node or output unit."""
    return f"{tensor} -> {reader}"


def build(
    graph: ModelGraph,
    candidate: Candidate,
    *,
    layer_ids: Mapping[str, str] | None = None,
    doubtful: Mapping[str, str] | None = None,
    edges: bool = True,
) -> LayerNet:
    """Predict the layers.

    Args:
        candidate: only its cuts and dropped outputs matter.
        layer_ids: node name or output unit (``output_unit(tensor)`` where a cut has several tensors) -> layer id
            of a probe conversion, for what names do not reach. Inserted layers stand under :func:`edge`; they get the
            type of what they carry.
        doubtful: node name or output unit -> why the probe forbids to name it.
        edges: with a layer on every edge that the importer may have filled.

    Raises:
        ModelError: cuts or dropped outputs do not fit the graph.
    """
    return _Builder(graph, layer_ids or {}, doubtful or {}, edges).build(candidate)


class _Builder:
    def __init__(self, graph: ModelGraph, ids: Mapping[str, str], doubtful: Mapping[str, str], edges: bool) -> None:
        self._graph, self._ids, self._doubtful, self._edges = graph, ids, doubtful, edges
        self._layers: list[Layer] = [Layer((), label="the network's input")]
        self._of: dict[str, int] = {}  # node -> its layer
        self._inserted: dict[str, int] = {}  # entry -> the layer

    def build(self, candidate: Candidate) -> LayerNet:
        delivered = self._graph.delivered(candidate)
        live = self._graph.nodes_behind(t for tensors in delivered.values() for t in tensors)
        names = {node.name for node in live}
        last = {nodes[-1]: nodes for node in live for nodes in self._groups(node, names)}
        for node in live:
            if node.name in last:
                self._add_nodes(last[node.name])
        for output, tensors in delivered.items():
            for tensor in tensors:
                self._add_output(output, tensor, alone=len(tensors) == 1)
        return LayerNet(tuple(self._layers))

    def _groups(self, node: Node, live: set[str]) -> list[tuple[str, ...]]:
        """The nodes of this node's unit, split into layers: the main node with its BatchNormalization, the rest."""
        unit = self._graph.unit[self._graph.unit_of[node.name]]
        nodes = [name for name in unit.nodes if name in live]
        count = 1
        while count < len(nodes) and self._graph.node[nodes[count]].op_type == "BatchNormalization":
            count += 1
        if self._graph.node[nodes[0]].op_type not in _MAIN:
            return [tuple(nodes)]
        return [group for group in (tuple(nodes[:count]), tuple(nodes[count:])) if group]

    def _add_nodes(self, nodes: tuple[str, ...]) -> None:
        unit = self._graph.unit[self._graph.unit_of[nodes[0]]]
        first = self._graph.node[nodes[0]]
        named = self._keeps_name(first, nodes, unit)
        doubt = self._doubtful.get(nodes[0], "") if named else self._doubt(nodes)
        index = self._add(
            [tensor for name in nodes for tensor in self._graph.node[name].inputs],
            own=nodes,
            unit=unit.name,
            key=None if doubt else nodes[0] if named else self._id(*nodes),
            doubt=doubt,
            label=" and ".join(f"{self._graph.node[name].op_type} {name}" for name in nodes),
        )
        self._of.update(dict.fromkeys(nodes, index))

    def _keeps_name(self, first: Node, nodes: tuple[str, ...], unit: Unit) -> bool:
        if first.name in self._graph.renamed or not nameable(first.name) or first.name != unit.nodes[0]:
            return False
        if first.op_type in _MAIN:
            return True
        return len(nodes) == 1 and not self._in_swish(first)

    def _in_swish(self, node: Node) -> bool:
        """Part of an ``x * Sigmoid(x)`` that our units leave apart, but the engine does not."""
        graph = self._graph
        if node.op_type == "Sigmoid":
            readers = [graph.node[name] for name in graph.consumers.get(node.outputs[0], ())]
            return any(r.op_type == "Mul" and node.inputs[0] in r.inputs for r in readers)
        sources = [graph.node[graph.producer[t]] for t in node.inputs if t in graph.producer]
        return node.op_type == "Mul" and any(
            source.op_type == "Sigmoid" and source.inputs[0] in node.inputs for source in sources
        )

    def _add_output(self, output: str, tensor: str, *, alone: bool) -> None:
        graph, guess = self._graph, None
        node = graph.node[graph.producer[tensor]]
        doubt = self._doubtful.get(output_unit(tensor), "")
        if not doubt and self._layers[self._of[node.name]].key == node.name:
            guess = f"{node.op_type}_{node.name}/out{node.outputs.index(tensor)}"
        self._add(
            [tensor],
            unit=output_unit(output),
            key=None if doubt else self._id(output_unit(tensor), *([output_unit(output)] if alone else [])),
            guess=guess,
            doubt=doubt,
            label=f"output layer of {tensor}",
        )

    def _doubt(self, nodes: tuple[str, ...]) -> str:
        """Of a layer that several nodes share: only where none of them has an id."""
        doubts = [self._doubtful[name] for name in nodes if name in self._doubtful]
        return doubts[0] if len(doubts) == len(nodes) else ""

    def _id(self, *names: str) -> str | None:
        found = {self._ids[name] for name in names if name in self._ids}
        return f"@{found.pop()}" if len(found) == 1 else None

    def _add(
        self,
        tensors: list[str],
        *,
        unit: str,
        label: str,
        key: str | None,
        own: tuple[str, ...] = (),
        guess: str | None = None,
        doubt: str = "",
    ) -> int:
        parents = []
        for tensor in dict.fromkeys(tensors):
            producer = self._graph.producer.get(tensor)
            if producer in own:
                continue
            parent = 0 if producer is None else self._of[producer]
            if self._edges:
                parent = self._insert(parent, tensor, own or (output_unit(tensor),), label)
            parents.append(parent)
        self._layers.append(Layer(tuple(dict.fromkeys(parents)), unit, key, guess, label, doubt))
        return len(self._layers) - 1

    def _insert(self, parent: int, tensor: str, readers: tuple[str, ...], label: str) -> int:
        """The layer between a tensor and those who read it here; one that others read too is the same layer."""
        inserted = self._id(*(edge(tensor, reader) for reader in readers))
        if inserted is None or inserted not in self._inserted:
            producer = self._graph.producer.get(tensor)
            carried = self._graph.unit_of[producer] if inserted and producer is not None else None
            self._layers.append(Layer((parent,), carried, inserted, label=f"a layer inserted before {label}"))
            if inserted is None:
                return len(self._layers) - 1
            self._inserted[inserted] = len(self._layers) - 1
        return self._inserted[inserted]
