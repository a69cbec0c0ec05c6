"""One name for a layer, whatever the tool made of it.

SNPE writes ``/model/conv/Conv_output_0`` as ``model/conv/Conv_output_0.raw`` (folders in folders), ``_model_conv_Conv``
or ``/model/conv/Conv:OpId_21 (cycles)``; SyNAP's engine as ``@Conv_/model/conv/Conv_212:out0`` or
``attach_Conv_/model/conv/Conv/out0_3``; onnxruntime's quantizer as ``..._DequantizeLinear_Output``.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mpsearch.layers.network import Layer

_FILE = re.compile(r"\.(?:raw|npy|bin|dat)$")
_SNPE = re.compile(r"\(cycles\)|[: ]OpId_\d+\b")
_ONNXRUNTIME = re.compile(r"_(?:DequantizeLinear|QuantizeLinear)_Output(?:_\d+)?$")
_SEPARATORS = re.compile(r"[^0-9A-Za-z]+")
_FIRST_OUTPUT = re.compile(r"_output_0(?=_|$)")
_SYNAP_END = re.compile(r"[:/_]out\d+(?:_\d+)?$")
_SYNAP_INSERTED = re.compile(r"_acuity_mark_perm(?:_\d+)?$")
_NUMBER = re.compile(r"_\d+$")


def stem(name: str) -> str:
    """Without the suffix of a dump: ``a/b.raw`` -> ``a/b``."""
    return _FILE.sub("", name)


def normalise(name: str) -> str:
    """``/a.b//Conv_output_0 (cycles)`` -> ``a_b_Conv``: separators become one ``_``, decorations go."""
    name = _ONNXRUNTIME.sub("", _SNPE.sub("", stem(name)).strip())
    name = _SEPARATORS.sub("_", name).strip("_")
    return _FIRST_OUTPUT.sub("", name).strip("_")


def synap_body(name: str) -> str:
    """The part of an engine's layer id that names nodes, normalised: ``@Conv_Conv_0_212:out0`` -> ``Conv_Conv_0``."""
    name = stem(name).removeprefix("@")
    attached = name.startswith("attach_")
    name = _SYNAP_INSERTED.sub("", _SYNAP_END.sub("", name.removeprefix("attach_")))
    return normalise(name if attached else _NUMBER.sub("", name))


@dataclass(frozen=True, slots=True)
class Joined:
    """Which of a tool's names is which layer.

    Attributes:
        names: tensor -> the tool's name for it.
        ambiguous: sentences about names that could be several layers, or the other way round.
        layers, others: those without a partner.
    """

    names: Mapping[str, str]
    ambiguous: tuple[str, ...]
    layers: tuple[Layer, ...]
    others: tuple[str, ...]


def join(layers: Sequence[Layer], sizes: Mapping[str, int | None]) -> Joined:
    """Find each layer among a tool's names: by the tensor's own name, then normalised, then by its node, then as an
    engine's layer id. A later way only sees what an earlier one left.

    Args:
        sizes: the tool's name -> how many values it holds, None where that is not known; only used to tell apart what
            has one name.
    """
    left = {layer.tensor: layer for layer in layers}
    others = dict(sizes)
    found: dict[str, str] = {}
    ambiguous: list[str] = []
    ways: tuple[tuple[Callable[[Layer], str], Callable[[str], str]], ...] = (
        (lambda layer: layer.tensor, stem),
        (lambda layer: normalise(layer.tensor), normalise),
        (lambda layer: normalise(layer.node) if layer.only else "", normalise),
    )
    for of_layer, of_name in ways:
        keys = _grouped(left, lambda tensor, key=of_layer: key(left[tensor]))  # type: ignore[misc]
        named = _grouped(others, of_name)
        for key in keys.keys() & named.keys() - {""}:
            pairs, trouble = _pair(key, keys[key], named[key], left, others)
            found.update(pairs)
            ambiguous += trouble
            for tensor in keys[key] if trouble else pairs:  # what is ambiguous in a good way stays so in worse ones
                left.pop(tensor)
            for name in named[key] if trouble else pairs.values():
                others.pop(name)
    found.update(_by_id(left, others))
    used = set(found.values())
    return Joined(
        {layer.tensor: found[layer.tensor] for layer in layers if layer.tensor in found},
        tuple(sorted(ambiguous)),
        tuple(layer for layer in layers if layer.tensor not in found),
        tuple(name for name in sizes if name not in used),
    )


def _grouped(names: Iterable[str], key: Callable[[str], str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[key(name)].append(name)
    return groups


def _pair(
    key: str, tensors: list[str], names: list[str], layers: Mapping[str, Layer], sizes: Mapping[str, int | None]
) -> tuple[dict[str, str], list[str]]:
    """Pairs of one group; several with one name are told apart by their size, or reported."""
    if len(tensors) == len(names) == 1:
        return {tensors[0]: names[0]}, []
    pairs = {}
    for tensor in tensors:
        fitting = [name for name in names if sizes[name] == layers[tensor].elements]
        rivals = [other for other in tensors if layers[other].elements == layers[tensor].elements]
        if len(fitting) == 1 and len(rivals) == 1:
            pairs[tensor] = fitting[0]
    if pairs:
        return pairs, []
    return {}, [f"{key}: {_listed(names)} could each be {_listed(tensors)}; none of them is compared"]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown


def _by_id(layers: Mapping[str, Layer], names: Iterable[str]) -> dict[str, str]:
    """Tensor -> an engine's layer id, which ends in what names its last node (``Conv_Conv_0``) or that node's output.

    A name that ends like several layers means the one with the longest name.
    """
    keys: dict[str, list[str]] = defaultdict(list)
    for layer in layers.values():
        for key in {normalise(f"{layer.op_type}_{layer.node}"), normalise(layer.tensor)}:
            if any(char.isalpha() for char in key):
                keys[key].append(layer.tensor)
    claims: dict[str, list[str]] = defaultdict(list)
    for name in names:
        if _SYNAP_INSERTED.search(_SYNAP_END.sub("", stem(name))):
            continue  # a permuted copy of another layer
        words = synap_body(name).split("_")
        for start in range(len(words)):
            tensors = keys.get("_".join(words[start:]), [])
            if len(tensors) == 1:
                claims[tensors[0]].append(name)
            if tensors:
                break
    chosen = {}
    for tensor, several in claims.items():
        # A graph output is listed twice: as the layer that makes it, and as `attach_...`, a copy of it.
        made = [name for name in several if not name.removeprefix("@").startswith("attach_")] or several
        if len(made) == 1:
            chosen[tensor] = made[0]
    return chosen
