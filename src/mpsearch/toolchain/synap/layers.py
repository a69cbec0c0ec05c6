"""Layer ids from what a probe conversion leaves: ``quantization_info.yaml``, ``quantization_entropy.txt``, or the list
that the toolkit prints for an id that it does not know.

SyNAP's ids are the OpTypes and names of the nodes that became the layer, joined, and a number:
``Conv_Conv_0_212``, ``Sigmoid_Sigmoid_15_180_Mul_Mul_16_167`` (a number behind each), ``attach_Conv_Conv_212/out0_3``.
They are not portable between builds of the engine, so a map belongs to one model and one toolkit version. acuitylite
joins the output tensors' names instead (``model.0/conv/Conv_output_0_12`` for ``/model.0/conv/Conv_output_0``); a
listing in which no SyNAP id is found is read that way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from mpsearch.candidate import Candidate
from mpsearch.graph.model import ModelGraph, Node, output_unit

_ID = re.compile(r"@(?P<id>.+?):(?:out\d+|weight|bias)(?=\W|$)")
_LISTED = re.compile(r"Layer ID '.*?' not in: \[(?P<ids>[^\n]*)\]")
_INSERTED = re.compile(
    r"_acuity_mark_perm(_\d+)?$"
    r"|_(?:pre|next)_\w+_to_\w+_\d+$|_dtype_convert_.+_\d+$"  # where types meet, after a second pass
)


@dataclass(frozen=True, slots=True)
class LayerMap:
    """Attributes:
    ids: node name or output unit (by delivered tensor) -> layer id, where there is exactly one.
    ambiguous: node or output unit -> the ids that could be meant.
    missing: nodes and output units without any.
    unused: ids that belong to no node, inserted layers left out.
    """

    ids: Mapping[str, str]
    ambiguous: Mapping[str, tuple[str, ...]]
    missing: tuple[str, ...]
    unused: tuple[str, ...]

    def doubtful(self) -> dict[str, str]:
        """Node or output unit -> why no entry may name it."""
        several = {
            name: f"the engine has several layers of it: {', '.join(ids)}" for name, ids in self.ambiguous.items()
        }
        return {**several, **dict.fromkeys(self.missing, "the engine has no layer of it")}


def read_ids(text: str) -> tuple[str, ...]:
    """All layer ids in a quantization table, an entropy listing or a complaint about an unknown id, in order, without
    ``@`` and tensor."""
    if (listed := _LISTED.search(text)) is not None:
        return tuple(dict.fromkeys(re.findall(r"'([^']+)'", listed["ids"])))
    return tuple(dict.fromkeys(match["id"] for line in text.splitlines() for match in _ID.finditer(line)))


def read_map(text: str, graph: ModelGraph, candidate: Candidate) -> LayerMap:
    """Which layer each node became.

    Args:
        text: of ``quantization_info.yaml`` or ``quantization_entropy.txt``.
        candidate: with the cuts and dropped outputs of the probe conversion.
    """
    delivered = graph.delivered(candidate)
    tensors = [tensor for several in delivered.values() for tensor in several]
    live = [
        node
        for node in graph.nodes_behind(tensors)
        if node.op_type != "BatchNormalization" or graph.unit_of[node.name] == node.name  # else it is folded away
    ]
    known = [item for item in read_ids(text) if not _INSERTED.search(item)]
    found = _match(_patterns(graph, live, tensors, _by_node), known)
    return found if found.ids or found.ambiguous else _match(_patterns(graph, live, tensors, _by_tensor), known)


def _patterns(
    graph: ModelGraph, live: Iterable[Node], tensors: Iterable[str], part: Callable[[Node, int], str]
) -> dict[str, re.Pattern[str]]:
    """Node or output unit -> what its id looks like.

    Args:
        part: a node's share of an id, by its output.
    """
    made = {node.name: re.compile(rf"(?:^|_\d+_){part(node, 0)}_\d+(?=_|$)") for node in live}
    for tensor in tensors:
        node = graph.node[graph.producer[tensor]]
        out = node.outputs.index(tensor)
        made[output_unit(tensor)] = re.compile(rf"^attach_{part(node, out)}/out\d+(?:_\d+)?$")
    return made


def _by_node(node: Node, out: int) -> str:
    return re.escape(f"{node.op_type}_{node.name}")


def _by_tensor(node: Node, out: int) -> str:
    return re.escape(node.outputs[out].lstrip("/").replace(":", "_"))


def _match(patterns: Mapping[str, re.Pattern[str]], ids: Iterable[str]) -> LayerMap:
    found: dict[str, list[str]] = {}
    used: set[str] = set()
    known = list(ids)
    for name, pattern in patterns.items():
        found[name] = [item for item in known if pattern.search(item)]
        used.update(found[name])
    for name, items in found.items():  # of Conv_1 and Conv_1_5 the id Conv_Conv_1_5_7 belongs to the longer name
        longer = {item for other in found if other.startswith(f"{name}_") for item in found[other]}
        items = [item for item in items if item not in longer]
        whole = [item for item in items if (m := patterns[name].match(item)) is not None and m.end() == len(item)]
        found[name] = whole if len(whole) == 1 else items  # a tensor named `output` is a part of many ids
    return LayerMap(
        ids={name: items[0] for name, items in found.items() if len(items) == 1},
        ambiguous={name: tuple(items) for name, items in found.items() if len(items) > 1},
        missing=tuple(name for name, items in found.items() if not items),
        unused=tuple(item for item in known if item not in used),
    )
