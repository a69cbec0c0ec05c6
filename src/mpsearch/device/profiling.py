"""The NPU driver's per-layer table (``synap_cli --profiling``), read and joined with units. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mpsearch.candidate import Candidate
from mpsearch.errors import SetupError
from mpsearch.graph.model import ModelGraph

_ROW = re.compile(
    r"^\|\s*(?P<index>\d+)\s*\|\s*(?P<cycles>\d+)\s*\|\s*(?P<us>\d+)\s*\|\s*(?P<read>\d+)\s*\|\s*(?P<written>\d+)\s*"
    r"\|\s*(?P<rest>[^|]+?)\s*(?:\|\s*(?P<name>[^|]*?)\s*\|?)?\s*$",
    re.MULTILINE,
)
_WEIGHTED = frozenset(("conv", "depthwise", "deconv", "gemm"))
_WEIGHTED_LAYER = re.compile(r"conv|fullyconnected", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Layer:
    """A compiled layer.

    Attributes:
        engine: ``NN``, ``TP``, ``SH`` ...; empty in tables of older drivers.
        name: kind of compiled layer, not an ONNX name.
        unit: mpsearch's, where :func:`join` could tell; a compiled layer may hold several units.
    """

    index: int
    cycles: int
    time_us: int
    read_bytes: int
    written_bytes: int
    engine: str
    name: str
    unit: str = ""


def parse(text: str) -> tuple[Layer, ...]:
    """The table of the last network in the file.

    Raises:
        SetupError: no row in it.
    """
    rows = list(_ROW.finditer(text[max(text.rfind("pid:"), 0) :]))
    if not rows:
        raise SetupError(
            f"no row of a layer in {len(text.splitlines())} lines of the profiling table",
            hint="Was the model built with --profiling, and does the board's driver offer network_profile?",
        )
    found = []
    for row in rows:
        rest, name = row["rest"], row["name"]
        engine = rest if name is not None else ""  # older drivers print the layer's kind last and no engine
        cycles, us, read, written = (int(row[key]) for key in ("cycles", "us", "read", "written"))
        found.append(Layer(int(row["index"]), cycles, us, read, written, engine, rest if name is None else name))
    return tuple(found)


def join(layers: Sequence[Layer], graph: ModelGraph, candidate: Candidate) -> tuple[Layer, ...]:
    """Give each layer with weights its unit, in execution order.

    The table has no ONNX names. Only where it has as many convolutions and fully connected layers as the network has
    such units is the order taken for proof; else (tiled or merged layers) no layer gets a unit.
    """
    units = [unit.name for unit in graph.live(candidate) if unit.kind in _WEIGHTED]
    weighted = [layer.index for layer in layers if _WEIGHTED_LAYER.search(layer.name)]
    if len(units) != len(weighted):
        return tuple(layers)
    unit_of = dict(zip(weighted, units, strict=True))
    return tuple(replace(layer, unit=unit_of.get(layer.index, "")) for layer in layers)
