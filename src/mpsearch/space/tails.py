"""Tail splits: everything strictly behind one node takes a wider type, as ``name...`` says it in a SyNAP metafile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from mpsearch.candidate import Candidate
from mpsearch.graph.model import ModelGraph, Role

T = TypeVar("T")
_BIAS = 1.7
"""Exponent of the spread: 1 is even, more is denser at the end."""


@dataclass(frozen=True, slots=True)
class Tail:
    """The units behind ``node``; ``units`` are the compute units of the uncut graph."""

    node: str
    units: frozenset[str]


def positions(graph: ModelGraph, limit: int) -> tuple[Tail, ...]:
    """At most ``limit`` tails, spread over the graph, in execution order.

    Nodes with the same compute units behind them are one tail; the node of an unfused unit stands for it where there
    is one, because only such names survive the vendor's importer.
    """
    uncut = Candidate()
    compute = {unit.name for unit in graph.compute_units}
    found: dict[frozenset[str], str] = {}
    for unit in graph.units:
        if unit.role is Role.OUTPUT:
            continue
        node = unit.nodes[-1]
        behind = graph.units_after(node, uncut) & compute
        if not behind or behind == compute:
            continue
        if behind not in found or (graph.unit[graph.unit_of[found[behind]]].fused and not unit.fused):
            found[behind] = node
    order = {name: index for index, name in enumerate(node.name for node in graph.nodes)}
    tails = sorted((Tail(node, units) for units, node in found.items()), key=lambda tail: order[tail.node])
    return spread(tuple(tails), limit)


def spread(items: tuple[T, ...], limit: int) -> tuple[T, ...]:
    """At most ``limit`` of the items in their order, denser towards the end (about twice), with both ends.

    Late tails are the cheap ones, and a budget that binds is decided among them.
    """
    if len(items) <= limit:
        return items
    if limit <= 1:
        return items[-1:][:limit]
    last = len(items) - 1
    wanted = (round(last * (1 - (1 - i / (limit - 1)) ** _BIAS)) for i in range(limit))
    chosen: list[int] = []
    for place in wanted:
        chosen.append(max(place, chosen[-1] + 1) if chosen else place)
    for back in range(limit):  # rounding may have pushed some over the end
        chosen[limit - 1 - back] = min(chosen[limit - 1 - back], last - back)
    return tuple(items[i] for i in chosen)
