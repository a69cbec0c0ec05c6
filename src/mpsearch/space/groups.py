"""Which units take their type together. With grouping ``tail`` they all keep the base, and the tail alone decides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from mpsearch.graph.model import ModelGraph, Role, Unit
from mpsearch.space.spec import BASE, Grouping, SpaceSpec
from mpsearch.space.yamlfile import Field, nearest

_MATRIX_KINDS = frozenset(("conv", "depthwise", "deconv", "gemm"))
_ELEMENT_WEIGHT = 8
"""MACs that one element of an activation counts for when stages are cut: moving a byte is not free either."""


@dataclass(frozen=True, slots=True)
class Group:
    """Units that take one type; ``pinned`` ones are not lifted by a tail."""

    name: str
    units: tuple[str, ...]
    choices: tuple[str, ...]
    pinned: bool = False


def build(spec: SpaceSpec, graph: ModelGraph) -> tuple[tuple[Group, ...], Mapping[str, str]]:
    """The groups in execution order, and the units whose type is fixed (unit -> ``base`` or a type).

    Raises:
        SpaceError: a pattern meets no unit, or only units that choose no type; a unit is pinned twice.
    """
    fixed: dict[str, str] = {}
    groups: list[Group] = []
    pinned: dict[str, Field] = {}
    for pin in spec.pins:
        units = match(pin.pattern, graph, (Role.COMPUTE, Role.OUTPUT))
        for unit in units:
            if unit in pinned:
                raise pin.pattern.error(f"unit {unit!r} is pinned in line {pinned[unit].line} already")
            pinned[unit] = pin.pattern
        if len(pin.types) == 1:
            fixed.update(dict.fromkeys(units, pin.types[0]))
        else:
            groups.append(Group(f"pin:{pin.pattern.text()}", units, pin.types, pinned=True))
    choices = (BASE, *spec.types)
    for name, members in _members(spec.grouping, graph):
        free = tuple(unit for unit in members if unit not in pinned)
        if free:
            groups.append(Group(name, free, choices if spec.grouping.by != "tail" else (BASE,)))
    if spec.outputs == "free":
        outputs = (unit.name for unit in graph.units if unit.role is Role.OUTPUT)
        groups.extend(Group(unit, (unit,), choices) for unit in outputs if unit not in pinned)
    return tuple(groups), fixed


def match(pattern: Field, graph: ModelGraph, roles: Iterable[Role] = (Role.COMPUTE,)) -> tuple[str, ...]:
    """The units of these roles whose names fit a shell pattern (``*``, ``?``; a full name fits itself).

    Raises:
        SpaceError: none does.
    """
    wanted, text = frozenset(roles), pattern.text()
    hits = [unit for unit in graph.units if unit.name == text or fnmatchcase(unit.name, text)]
    found = tuple(unit.name for unit in hits if unit.role in wanted)
    hint = f"See: mpsearch inspect {graph.path.name}"
    if not hits:
        raise pattern.error(f"no unit {text!r}{nearest(text, graph.unit)}", hint=hint)
    if not found:
        reason = (
            "only moves data and takes the type of its inputs"
            if hits[0].role is Role.TRANSPARENT
            else "is an output tensor: its type is set by `outputs` or a pin"
        )
        raise pattern.error(f"{hits[0].name!r} {reason}", hint=hint)
    return found


def heads(graph: ModelGraph) -> Mapping[str, tuple[str, ...]]:
    """Model output -> the compute units from its last convolutions on; a shared one belongs to the first output."""
    taken: set[str] = set()
    found: dict[str, tuple[str, ...]] = {}
    for output in graph.outputs:
        mine: set[str] = set()
        todo = [output]
        while todo:
            producer = graph.producer.get(todo.pop())
            if producer is None:
                continue
            unit = graph.unit[graph.unit_of[producer]]
            if unit.name in mine:
                continue
            mine.add(unit.name)
            if unit.kind not in _MATRIX_KINDS:
                todo.extend(unit.inputs)
        members = tuple(u.name for u in graph.compute_units if u.name in mine and u.name not in taken)
        taken.update(members)
        if members:
            found[output] = members
    return found


def cost(unit: Unit, graph: ModelGraph) -> int:
    """A stand-in for latency: MACs and the elements it writes."""
    written = sum(graph.tensors[tensor].elements for tensor in unit.outputs if tensor in graph.tensors)
    return unit.macs + _ELEMENT_WEIGHT * written + 1


def _members(grouping: Grouping, graph: ModelGraph) -> list[tuple[str, tuple[str, ...]]]:
    if grouping.by == "each":
        return [(unit.name, (unit.name,)) for unit in graph.compute_units]
    if grouping.by == "stage":
        ends = heads(graph)
        in_heads = {unit for units in ends.values() for unit in units}
        body = [unit for unit in graph.compute_units if unit.name not in in_heads]
        stages = _stages(body, graph, grouping.stages)
        return [(f"stage{i + 1}", units) for i, units in enumerate(stages)] + [
            (f"head:{output}", units) for output, units in ends.items()
        ]
    if grouping.by == "globs":
        return _named(grouping.globs, graph)
    return [("all", tuple(unit.name for unit in graph.compute_units))]


def _stages(units: list[Unit], graph: ModelGraph, count: int) -> list[tuple[str, ...]]:
    """Contiguous chunks of about equal cost; a unit goes where the middle of its own cost lies."""
    costs = [cost(unit, graph) for unit in units]
    total, seen = sum(costs), 0
    chunks: dict[int, list[str]] = {}
    for unit, own in zip(units, costs, strict=True):
        chunks.setdefault(int((seen + own / 2) * count / total), []).append(unit.name)
        seen += own
    return [tuple(names) for _, names in sorted(chunks.items())]


def _named(globs: tuple[tuple[str, tuple[Field, ...]], ...], graph: ModelGraph) -> list[tuple[str, tuple[str, ...]]]:
    taken: set[str] = set()
    found: list[tuple[str, tuple[str, ...]]] = []
    for name, patterns in globs:
        hits = {unit for pattern in patterns for unit in match(pattern, graph)}
        if not patterns:
            continue
        members = tuple(u.name for u in graph.compute_units if u.name in hits and u.name not in taken)
        if not members:
            raise patterns[0].error(f"group {name!r} is empty: earlier groups took all of its units")
        taken.update(members)
        found.append((name, members))
    rest = tuple(unit.name for unit in graph.compute_units if unit.name not in taken)
    return [*found, ("rest", rest)] if rest else found
