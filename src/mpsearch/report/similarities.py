"""Tables of layers as one HTML page by itself: lines or bars by layer, the worst ones, what was widened."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from mpsearch.candidate import Candidate, DataType
from mpsearch.graph.model import ModelGraph
from mpsearch.layers.names import normalise
from mpsearch.layers.network import layers_of
from mpsearch.layers.tables import VALUES, Entry, Table

_DATA = "@DATA@"


def page(tables: Sequence[Table], *, widened: Mapping[str, str] | None = None, marked: str = "") -> str:
    """The page.

    Args:
        widened: unit or layer -> the type that a search gave it; see :func:`widened_by`.
        marked: whose choice that is.
    """
    marks = {normalise(name): kind for name, kind in (widened or {}).items()}
    names = _distinct([table.name for table in tables])
    data = {
        "columns": list(VALUES),
        "marked": marked if marks else "",
        "models": [
            {"name": name, "layers": [_layer(entry, marks) for entry in table.entries]}
            for name, table in zip(names, tables, strict=True)
        ],
    }
    template = (resources.files("mpsearch.report") / "similarities.html").read_text(encoding="utf-8")
    # "</" would end the script element that holds the data, wherever a layer's name has it.
    text = (
        json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/").replace("<!--", "<\\u0021--")
    )
    return template.replace(_DATA, text)


def widened_by(candidate: Candidate, graph: ModelGraph | None) -> dict[str, str]:
    """Unit -> type, and layer -> type where ``graph`` tells which layers a unit has, for all that ``candidate`` moves
    to a wider type than its base."""
    wide = {unit: str(kind) for unit, kind in candidate.overrides if DataType(kind).rank > candidate.base_type.rank}
    if graph is not None:
        wide |= {layer.name: wide[layer.unit] for layer in layers_of(graph) if layer.unit in wide}
    return wide


def _layer(entry: Entry, marks: Mapping[str, str]) -> dict[str, Any]:
    return {
        "name": entry.layer,
        "op": entry.op_type,
        "unit": entry.unit,
        "position": round(entry.position, 4),
        "values": [None if (v := entry.values[name]) is None else float(f"{v:.7g}") for name in VALUES],
        "mark": marks.get(normalise(entry.unit)) or marks.get(normalise(entry.layer)) or "",
    }


def _distinct(names: Sequence[str]) -> list[str]:
    return [f"{name} ({names[:i].count(name) + 1})" if names.count(name) > 1 else name for i, name in enumerate(names)]
