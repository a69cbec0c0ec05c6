"""What was built, read from the DLC's listing, against what was asked. Pure.

Overrides that meet no tensor are skipped without a word, and a float layer of a mixed model was seen to come out in
8 bits: so every build is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from mpsearch.candidate import Candidate, DataType
from mpsearch.graph.model import ModelGraph, Role, Unit
from mpsearch.toolchain.snpe import parameters
from mpsearch.toolchain.snpe.artifact import BuiltDifferently
from mpsearch.toolchain.snpe.dlcinfo import DlcInfo, DlcOp, DlcTensor
from mpsearch.toolchain.snpe.encodings import tensor_types

_TYPES = frozenset(map(str, DataType))


@dataclass(frozen=True, slots=True)
class Realised:
    """Attributes:
    types: live unit -> the type that it computes in; as asked where the listing knows none of its tensors.
    left: unit -> type, where the candidate's own type cannot be had: its result is an output of another type.
    wrong: ``"unit: built instead of asked"``.
    stray: tensors that are converted although nothing changes its type there.
    converts: number of operators that change a type.
    unmapped: units of which no tensor was found.
    tensors: delivered tensor -> its name in the DLC.
    """

    types: Mapping[str, DataType]
    left: Mapping[str, str]
    wrong: tuple[str, ...]
    stray: tuple[str, ...]
    converts: int
    unmapped: tuple[str, ...]
    tensors: tuple[tuple[str, str], ...]


def conversions(graph: ModelGraph, candidate: Candidate) -> tuple[str, ...]:
    """The tensors on which a conversion is inserted: made in one width and read in another.

    The operands of an operator share its width, so those that have another are converted.
    """
    made = tensor_types(graph, candidate)
    live = {node.name for node in graph.nodes_behind(t for ts in graph.delivered(candidate).values() for t in ts)}
    return tuple(
        tensor
        for tensor, kind in made.items()
        if any(
            not _same_activation(made[graph.node[reader].outputs[0]], kind)
            for reader in graph.consumers.get(tensor, ())
            if reader in live
        )
    )


def unreachable(graph: ModelGraph, candidate: Candidate) -> dict[str, DataType]:
    """Unit -> the type that it gets in place of the candidate's: its result is an output of another type."""
    asked, wanted = tensor_types(graph, candidate), graph.assign(candidate)
    return {
        unit.name: asked[unit.outputs[0]]
        for unit in graph.live(candidate)
        if unit.role is Role.COMPUTE and not _same_activation(asked[unit.outputs[0]], wanted[unit.name])
    }


def compare(
    info: DlcInfo, graph: ModelGraph, candidate: Candidate, *, source: str, ranged: Collection[str] = ()
) -> Realised:
    """Hold a listing against a candidate.

    Args:
        source: where the listing is from, for messages.
        ranged: constants whose override carries a range: one for the whole tensor.

    Raises:
        BuiltDifferently: other outputs than asked for.
    """
    names = _Names(info)
    asked = tensor_types(graph, candidate)
    wanted = graph.assign(candidate)
    types, wrong, unmapped = dict(wanted), [], []
    for unit in graph.live(candidate):
        if unit.role is Role.OUTPUT:
            continue
        own = asked[unit.outputs[0]]
        built = _built(unit, own, graph, names)
        if not built:
            unmapped += [unit.name] if unit.role is Role.COMPUTE else []
            continue
        types[unit.name] = max((DataType(k) for k in built & _TYPES), key=lambda kind: kind.rank, default=own)
        if odd := sorted(built - {str(own)}):
            wrong.append(f"{unit.name}: {' and '.join(odd)} instead of {own}")
        odd_ones = parameters.differences(unit, own, graph, candidate, names.get, ranged)
        wrong += [f"{unit.name}: {words}" for words in odd_ones]
    delivered = _delivered(info, names, graph, candidate, source)
    made = {tensor.name: tensor for tensor in info.outputs}
    for output, tensors in graph.delivered(candidate).items():
        own = wanted[f"output:{output}"]
        kinds = [kind for t in tensors if (kind := _activation(made[delivered[t]], own)) is not None]
        types[f"output:{output}"] = max(kinds, key=lambda kind: kind.rank, default=own)
        wrong += [f"output {output}: {kind} instead of {own}" for kind in dict.fromkeys(kinds) if kind != own]
    expected = {_plain(t) for t in (*conversions(graph, candidate), *graph.inputs, *delivered)}
    stray = tuple(dict.fromkeys(op.inputs[0].name for op in info.converts if op.inputs and _source(op) not in expected))
    left = {unit: str(kind) for unit, kind in unreachable(graph, candidate).items()}
    return Realised(types, left, tuple(wrong), stray, len(info.converts), tuple(unmapped), tuple(delivered.items()))


def _same_activation(a: DataType, b: DataType) -> bool:
    return a.bits == b.bits and (a is DataType.FLOAT16) == (b is DataType.FLOAT16)


def _built(unit: Unit, own: DataType, graph: ModelGraph, names: _Names) -> set[str]:
    """The types of a unit's tensors; another word where the combination is no type."""
    weights = names.get(graph.node[unit.name].params[0]) if parameters.has_weights(unit, graph) else None
    found = set()
    for name in unit.nodes:
        for output in graph.node[name].outputs:
            tensor = names.get(output)
            kind = _activation(tensor, own) if tensor is not None else None
            if kind is not None:
                found.add(_named(kind, weights))
    return found


def _activation(tensor: DlcTensor, own: DataType) -> DataType | None:
    """``own`` where it agrees in what a tensor shows; None for indices and other integers."""
    if tensor.is_float:
        return DataType.FLOAT16
    if "Fxp" not in tensor.type:
        return None
    kind = DataType.A8W8 if tensor.bits == 8 else DataType.A16W8
    return own if _same_activation(kind, own) else kind


def _named(kind: DataType, weights: DlcTensor | None) -> str:
    """With the width of the weights, where there are some."""
    if weights is None:
        return str(kind)
    if weights.is_float or kind is DataType.FLOAT16:
        whole = weights.is_float and kind is DataType.FLOAT16
        return str(kind) if whole else f"{weights.type} weights with {kind.bits}-bit activations"
    if weights.bits == 16:
        return str(DataType.A16W16) if kind.bits == 16 else "16-bit weights with 8-bit activations"
    return str(DataType.A16W8 if kind.bits == 16 else DataType.A8W8)


def _delivered(info: DlcInfo, names: _Names, graph: ModelGraph, candidate: Candidate, source: str) -> dict[str, str]:
    """Delivered tensor -> the DLC's output."""
    outputs = {_plain(tensor.name): tensor.name for tensor in info.outputs}
    found = {}
    for tensors in graph.delivered(candidate).values():
        for tensor in tensors:
            name = outputs.get(_plain(tensor))
            if name is None:
                known = ", ".join(t.name for t in info.outputs)
                raise BuiltDifferently(
                    f"output {tensor!r} is not in the DLC, which has {known} ({source})", stage="build"
                )
            found[tensor] = name
    if extra := set(outputs.values()) - set(found.values()):
        raise BuiltDifferently(f"the DLC has outputs that were not asked for: {', '.join(sorted(extra))} ({source})",
                               stage="build")  # fmt: skip
    return found


def _source(op: DlcOp) -> str:
    """The tensor that a conversion converts, by the model's name for it: conversions may follow each other."""
    return _plain(re.sub(r"(?:_converted|_convert)_.*$", "", op.inputs[0].name)) if op.inputs else ""


def _plain(name: str) -> str:
    """What is left of a tensor's name: converters put ``_`` in front or in the place of other characters, and add
    ``.nchw`` or the like behind where they transpose."""
    bare = re.sub(r"\.(?:nchw|nhwc|ncs|nsc|ncf|nfc|ntf|tnf)$", "", name)
    return re.sub(r"\W", "_", bare).strip("_")


class _Names:
    """The DLC's tensors by the model's names."""

    def __init__(self, info: DlcInfo) -> None:
        self._exact: Mapping[str, DlcTensor] = info.tensors
        self._plain: dict[str, DlcTensor] = {}
        for name, tensor in self._exact.items():
            self._plain.setdefault(_plain(name), tensor)

    def get(self, name: str) -> DlcTensor | None:
        return self._exact.get(name) or self._plain.get(_plain(name))
