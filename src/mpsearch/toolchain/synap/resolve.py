"""A candidate's types as entries of a ``data_type`` map; what cannot be said is left at the base type and reported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from mpsearch.candidate import Candidate, DataType
from mpsearch.graph.model import ModelGraph
from mpsearch.toolchain.synap.entries import Effort, Plan, plan
from mpsearch.toolchain.synap.net import LayerNet, build


@dataclass(frozen=True, slots=True)
class Unresolved:
    """A unit whose type no entry can give."""

    unit: str
    type: DataType
    reason: str

    def __str__(self) -> str:
        return f"{self.unit}: {self.type}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Resolved:
    """Attributes:
    types: the ``data_type`` map in order; empty when one type serves all.
    candidate: what the map says.
    """

    types: Mapping[str, DataType]
    candidate: Candidate
    unresolved: tuple[Unresolved, ...]
    notes: tuple[str, ...]


def resolve(
    graph: ModelGraph,
    candidate: Candidate,
    *,
    layer_ids: Mapping[str, str] | None = None,
    doubtful: Mapping[str, str] | None = None,
) -> Resolved:
    """Entries for a legal candidate; see :func:`mpsearch.toolchain.synap.net.build` for what a probe knows."""
    net = build(graph, candidate, layer_ids=layer_ids, doubtful=doubtful)
    unresolved: dict[str, Unresolved] = {}
    while True:
        types = graph.assign(candidate)
        wanted = [types[layer.unit] if layer.unit is not None else None for layer in net.layers]
        if all(kind == candidate.base_type for kind in wanted if kind is not None):
            return Resolved({}, candidate, tuple(unresolved.values()), ())
        best = _best_plan(net, candidate.base_type, wanted)
        if not best.wrong:
            entries = {"*": candidate.base_type, **best.entries}
            return Resolved(entries, candidate, tuple(unresolved.values()), _notes(best))
        unit = _in_the_way(net, best.wrong, candidate)
        unresolved[unit] = Unresolved(unit, types[unit], _reason(net, unit))
        candidate = replace(candidate, overrides=tuple(o for o in candidate.overrides if o[0] != unit))


def _best_plan(net: LayerNet, ground: DataType, wanted: list[DataType | None]) -> Plan:
    narrow = {kind for kind in wanted if kind is not None and kind.bits == 8}
    base = ground if ground.bits == 8 or not narrow else narrow.pop()
    made = [plan(net, wanted, base, ground, effort) for effort in Effort]
    return min(made, key=lambda plan: (plan.wrong.bit_count(), len(plan.guessed), len(plan.entries)))


def _in_the_way(net: LayerNet, wrong: int, candidate: Candidate) -> str:
    """The unit to give up next: the last one that comes out wrong, else the last that feeds a wrong layer.

    One at a time and from the end, because without it the others often come out.
    """
    asked = {unit for unit, _ in candidate.overrides}
    moved = [(i, layer.unit) for i, layer in enumerate(net.layers) if layer.unit in asked and layer.unit]
    own = [unit for i, unit in moved if wrong >> i & 1]
    feeding = [unit for i, unit in moved if net.after[i] & wrong]
    return (own or feeding or [unit for _, unit in moved])[-1]


def _reason(net: LayerNet, unit: str) -> str:
    nameless = [layer for layer in net.layers if layer.unit == unit and layer.key is None]
    labels = [layer.label for layer in nameless]
    if not labels:
        return "its entry is needed to set other layers right"
    if doubts := [f"{layer.label}: {layer.doubt}" for layer in nameless if layer.doubt]:
        return f"{'; '.join(doubts)}; and no `name...` reaches it without moving others"
    return (
        f"the engine renames {', '.join(labels)}, and no `name...` reaches it without moving others; "
        "a layer map from a probe conversion would name it"
    )


def _notes(best: Plan) -> tuple[str, ...]:
    return tuple(
        f"entry {key!r} is inferred from the toolkit's code and was never seen at work: "
        "compare quantization_info.yaml after the build"
        for key in best.guessed
    )
