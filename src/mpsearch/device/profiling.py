"""The NPU driver's per-layer table (``synap_cli --profiling``), read and joined with units. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median, median_low
from typing import Any

from mpsearch.candidate import Candidate
from mpsearch.errors import SetupError, TransientError
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
        time_us: the median of ``samples_us``.
        name: kind of compiled layer, not an ONNX name.
        unit: mpsearch's, where :func:`join` could tell; a compiled layer may hold several units.
        samples_us: one a run.
    """

    index: int
    cycles: int
    time_us: float
    read_bytes: int
    written_bytes: int
    engine: str
    name: str
    unit: str = ""
    samples_us: tuple[int, ...] = ()


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
        kind = rest if name is None else name
        found.append(Layer(int(row["index"]), cycles, us, read, written, engine, kind, samples_us=(us,)))
    return tuple(found)


def merge(tables: Sequence[Sequence[Layer]]) -> tuple[Layer, ...]:
    """The same model's tables of several runs as one, with medians and all samples.

    Raises:
        TransientError: they are not of the same layers.
    """
    kinds = {tuple((layer.index, layer.name) for layer in table) for table in tables}
    if len(kinds) != 1:
        raise TransientError(
            f"the driver's tables of {len(tables)} runs have different layers: "
            f"{', '.join(str(len(table)) for table in tables)} rows",
            hint="Does another program use the NPU?",
        )
    merged = []
    for rows in zip(*tables, strict=True):
        samples = tuple(sample for row in rows for sample in row.samples_us)
        cycles = median_low(row.cycles for row in rows)
        merged.append(replace(rows[0], cycles=cycles, time_us=median(samples), samples_us=samples))
    return tuple(merged)


def rows(layers: Sequence[Layer]) -> list[dict[str, Any]]:
    """For tables, JSON and CSV: one row a compiled layer, in execution order."""
    total = sum(layer.time_us for layer in layers) or 1.0
    return [
        {
            "layer": layer.index,
            "name": layer.name,
            "engine": layer.engine,
            "unit": layer.unit,
            "time_ms": layer.time_us / 1000,
            "share": layer.time_us / total,
            "cycles": layer.cycles,
            "read_bytes": layer.read_bytes,
            "written_bytes": layer.written_bytes,
            "samples_ms": [sample / 1000 for sample in layer.samples_us],
        }
        for layer in layers
    ]


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
