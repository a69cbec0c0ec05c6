"""Which range each tensor gets: its own statistics, then shared along Concat, Slice and what only moves values.

Acuity gives the inputs and the output of a Concat one range, so that it is a plain copy. The rules below were read off
its tables (acuitylite 6.33.0, yolov5n-0.5-face, uniform and mixed); two are quirks and are kept because they change
results:

* a Slice takes the range of what it cuts from where that is the wider one; where both are equal it is *tied*, and a
  Concat behind it does not widen it: the Concat then takes the tied range although another input is wider,
* a tensor that only moves values and has other readers too is not widened for a Concat: a conversion is put between
  (``..._dtype_convert_<concat>`` in the tables).

In a mixed candidate the engine shares less: only with a Concat of the same type, and an activation that is narrower
than the Slice beside it keeps its own range.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mpsearch.candidate import DataType
from mpsearch.graph.model import ModelGraph, Node
from mpsearch.graph.units import is_transparent

Range = tuple[float, float]
_SAME = 1e-6
"""Share of a range within which two ends are the same: the last bits depend on the float kernels."""


def share(
    graph: ModelGraph,
    own: Callable[[str], Range],
    types: Mapping[str, DataType] | None = None,
    *,
    parts: bool = False,
) -> dict[str, Range]:
    """Tensor -> range, for every tensor between the live nodes.

    Args:
        own: a tensor's range by its own statistics.
        types: unit -> type of the live units; None for a uniform candidate of the whole graph.
        parts: which of the engine's two ways it takes behind an int16 tensor, see :func:`converters`.
    """
    return _Sharing(graph, own, types, parts).run()


def along(
    graph: ModelGraph, own: Callable[[str, DataType], Range], types: Mapping[str, DataType], base: DataType
) -> dict[str, Range]:
    """Tensor -> range where nothing is shared but by what moves values: SNPE's rule, whose Concat requantizes its
    inputs.

    Args:
        own: a tensor's range by its own statistics, in the type of the unit that makes it.
        types: unit -> type of the live units.
        base: type of the network's input.
    """
    found = {tensor: own(tensor, base) for tensor in graph.inputs}
    for node in graph.nodes:
        kind = types.get(graph.unit_of[node.name])
        if kind is None:
            continue
        moved = is_transparent(node) and node.op_type != "Concat" and node.inputs
        for tensor in node.outputs:
            found[tensor] = found[node.inputs[0]] if moved else own(tensor, kind)
    return found


def converters(graph: ModelGraph, found: Mapping[str, Range], types: Mapping[str, DataType]) -> dict[str, Range]:
    """Tensor -> range of the one conversion to 8 bits through which all Slices of a 16-bit tensor read it, where the
    engine gives it the range of a part.

    Behind a 16-bit tensor that 8-bit Slices take apart the engine puts one conversion. Which range it gets is chance,
    decided by the order of a Python set (the same metafile gives either with another ``PYTHONHASHSEED``): the tensor's
    own, and the Slices take it over; or that of a part that does not go straight into a Concat, and then the other
    parts are cut to it too. The second costs up to 0.5 dB at the outputs of yolov5n-0.5-face.

    Args:
        found: what :func:`share` gives with ``parts``.
    """
    readers = {tensor: [n for n in names if graph.unit_of[n] in types] for tensor, names in graph.consumers.items()}
    cut: dict[str, list[Range]] = {}
    for node in graph.nodes:
        if graph.unit_of[node.name] in types and _selects(node) and crosses(graph, types, node):
            cut.setdefault(node.inputs[0], []).extend(
                found[tensor] for tensor in node.outputs if not _feeds_concat(graph, readers, tensor)
            )
    return {tensor: union(parts) for tensor, parts in cut.items() if parts}


class _Sharing:
    def __init__(
        self, graph: ModelGraph, own: Callable[[str], Range], types: Mapping[str, DataType] | None, parts: bool
    ) -> None:
        self.graph, self.own, self.types, self.parts = graph, own, types, parts
        self.mixed = types is not None and len(set(types.values())) > 1
        self.found: dict[str, Range] = {}
        self.tied: set[str] = set()
        self.live = [n for n in graph.nodes if types is None or graph.unit_of[n.name] in types]
        live = {node.name for node in self.live}
        self.readers = {tensor: [n for n in names if n in live] for tensor, names in graph.consumers.items()}

    def run(self) -> dict[str, Range]:
        for tensor in self.graph.inputs:
            self.found[tensor] = self.own(tensor)
        for node in self.live:
            if node.op_type == "Concat":
                self._concat(node)
            elif is_transparent(node) and node.inputs:
                for tensor in node.outputs:
                    self._moved(node, tensor)
            else:
                self.found.update({tensor: self.own(tensor) for tensor in node.outputs})
        return self.found

    def _moved(self, node: Node, tensor: str) -> None:
        source = self.found[node.inputs[0]]
        if not _selects(node):
            self.found[tensor] = source
            return
        own = self.own(tensor)
        if _contains(own, source) and _contains(source, own):
            self.tied.add(tensor)
        if self.mixed and (self._feeds_concat(tensor) or self._crosses(node)):
            self.found[tensor] = own
        else:
            self.found[tensor] = source if _contains(source, own) else own

    def _feeds_concat(self, tensor: str) -> bool:
        return _feeds_concat(self.graph, self.readers, tensor)

    def _crosses(self, node: Node) -> bool:
        return self.parts and self.types is not None and crosses(self.graph, self.types, node)

    def _concat(self, node: Node) -> None:
        out = node.outputs[0]
        inputs = [tensor for tensor in dict.fromkeys(node.inputs) if self._same_type(tensor, node)]
        wide = union([self.found[tensor] for tensor in dict.fromkeys(node.inputs)])
        selected = [tensor for tensor in inputs if self._selected(tensor)]
        if self.mixed:
            self.found[out] = wide
            for tensor in inputs:
                if not selected or tensor in selected or not self._computed(tensor):
                    self._widen(tensor, wide)
            return
        stuck = [tensor for tensor in selected if tensor in self.tied and self.found[tensor] != wide]
        target = self.found[stuck[0]] if stuck else wide
        self.found[out] = target
        for tensor in inputs:
            if _contains(target, self.found[tensor]):
                self._widen(tensor, target)

    def _widen(self, tensor: str, target: Range) -> None:
        """Give ``tensor`` the range, and what it was moved from; stops where something else reads it unchanged."""
        while self.found[tensor] != target:
            name = self.graph.producer.get(tensor)
            if name is None:
                return
            node = self.graph.node[name]
            moves = is_transparent(node)
            if moves and (len(self.readers.get(tensor, [])) > 1 or node.op_type == "Concat"):
                return
            self.found[tensor] = target
            if not moves or _selects(node):
                return
            tensor = node.inputs[0]

    def _same_type(self, tensor: str, concat: Node) -> bool:
        producer = self.graph.producer.get(tensor)
        if self.types is None or producer is None:
            return True
        unit_of = self.graph.unit_of
        return self.types[unit_of[producer]] == self.types[unit_of[concat.name]]

    def _computed(self, tensor: str) -> bool:
        producer = self.graph.producer.get(tensor)
        return producer is not None and not is_transparent(self.graph.node[producer])

    def _selected(self, tensor: str) -> bool:
        producer = self.graph.producer.get(tensor)
        return producer is not None and _selects(self.graph.node[producer])


def union(ranges: list[Range]) -> Range:
    """The narrowest range that contains all."""
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def _selects(node: Node) -> bool:
    """Takes a part of the values, whose range can be narrower."""
    return node.op_type in ("Slice", "Split", "Gather")


def crosses(graph: ModelGraph, types: Mapping[str, DataType], node: Node) -> bool:
    """Reads in 8 bits what was made in more."""
    producer = graph.producer.get(node.inputs[0])
    return producer is not None and types[graph.unit_of[node.name]].bits < types[graph.unit_of[producer]].bits


def _feeds_concat(graph: ModelGraph, readers: Mapping[str, list[str]], tensor: str) -> bool:
    """A Concat, and nothing else, reads it."""
    found = readers.get(tensor, [])
    return len(found) == 1 and graph.node[found[0]].op_type == "Concat"


def _contains(outer: Range, inner: Range) -> bool:
    slack = _SAME * (outer[1] - outer[0])
    return outer[0] - slack <= inner[0] and inner[1] <= outer[1] + slack
