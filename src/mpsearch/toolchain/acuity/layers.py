"""Which of the engine's layers stands for which node, output and edge. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mpsearch.candidate import Candidate
from mpsearch.graph.model import ModelGraph, output_unit
from mpsearch.toolchain.acuity.engine import Network
from mpsearch.toolchain.synap.layers import LayerMap, read_map
from mpsearch.toolchain.synap.net import build, edge


@dataclass(frozen=True, slots=True)
class EngineMap:
    """Attributes:
    ids: node, output unit or edge -> layer id, as :func:`mpsearch.toolchain.synap.metafile.render` takes it.
    layers: the same without edges.
    names: ONNX node whose plain name an entry may use -> layer id. acuitylite calls layers by the tensors that they
        make and not, as the toolkit's own build does, by their nodes.
    tensors: output layer's id -> the tensor that it delivers.
    """

    ids: Mapping[str, str]
    layers: LayerMap
    names: Mapping[str, str]
    tensors: Mapping[str, str]


def map_layers(network: Network, graph: ModelGraph, candidate: Candidate) -> EngineMap:
    """Args:
    candidate: with the cuts and dropped outputs that ``network`` was imported with.
    """
    found = read_map("\n".join(f"@{lid}:out0" for lid in network.parents), graph, candidate)
    ids = {**found.ids, **_edges(network, graph, candidate, found.ids)}
    net = build(graph, candidate, layer_ids=found.ids, doubtful=found.doubtful())
    tensors = {
        found.ids[output_unit(tensor)]: tensor
        for several in graph.delivered(candidate).values()
        for tensor in several
        if output_unit(tensor) in found.ids
    }
    names = {key: found.ids[key] for layer in net.layers if (key := layer.key) is not None and key in found.ids}
    return EngineMap(ids, found, names, tensors)


def _edges(network: Network, graph: ModelGraph, candidate: Candidate, ids: Mapping[str, str]) -> dict[str, str]:
    """Edge -> the layer that was inserted there."""
    nodes: dict[str, list[str]] = {}
    for name, lid in ids.items():
        nodes.setdefault(lid, []).append(name)
    found = {}
    for lid, parents in network.parents.items():
        for reader in nodes.get(lid, ()):
            for parent in parents:
                if parent in nodes or len(network.parents[parent]) != 1:
                    continue
                carried = network.parents[parent][0]
                for tensor in _made_by(nodes.get(carried, ()), graph):
                    found[edge(tensor, reader)] = parent
    return found


def _made_by(names: list[str] | tuple[()], graph: ModelGraph) -> list[str]:
    return [tensor for name in names if name in graph.node for tensor in graph.node[name].outputs]
