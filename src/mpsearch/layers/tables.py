"""Similarities of layers in files: the CSV that quantization-effect-checker writes, and JSON that holds more.

The CSV has exactly :data:`~mpsearch.layers.similarity.COLUMNS`; a layer without numbers has empty cells. The JSON adds
what each layer is, what was left over on both sides, and the problems.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpsearch.errors import DataError
from mpsearch.layers.compare import Comparison
from mpsearch.layers.similarity import COLUMNS

FORMAT = "mpsearch-layers-1"
VALUES = COLUMNS[1:]
_OPERATION = re.compile(r"^[A-Z][A-Za-z]+$")


@dataclass(frozen=True, slots=True)
class Entry:
    """One layer of a file.

    Attributes:
        values: column -> number, None where the file has none.
        op_type: from the model; from the layer's name where the file does not say (``..._conv_Conv``); else "".
        unit, after: "" where the file does not say.
        position: from 0 (first) to 1 (last); by place in the file where the file does not say.
    """

    layer: str
    values: Mapping[str, float | None]
    op_type: str
    unit: str
    after: str
    position: float


@dataclass(frozen=True, slots=True)
class Table:
    """One run. ``notes`` are for the user: layers of one name, layers without numbers."""

    name: str
    entries: tuple[Entry, ...]
    notes: tuple[str, ...] = ()


def to_csv(found: Comparison) -> str:
    """Exactly the six columns, in execution order."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows(found):
        writer.writerow(["" if row[name] is None else row[name] for name in COLUMNS])
    return text.getvalue()


def rows(found: Comparison) -> list[dict[str, Any]]:
    """One row a layer, :data:`COLUMNS` first."""
    empty = dict.fromkeys(VALUES)
    return [
        {
            "Layer": row.layer.name,
            **(row.similarity.row(row.layer.name) if row.similarity else empty),
            "op": row.layer.op_type,
            "unit": row.layer.unit,
            "after": row.layer.after,
            "position": round(row.layer.position, 4),
            "tensor": row.layer.tensor,
            "called": row.called,
            "photographs": row.photographs,
        }
        for row in found.rows
    ]


def to_json(found: Comparison, model: str, candidate: str) -> dict[str, Any]:
    """Everything; see :func:`read`."""
    return {
        "format": FORMAT,
        "model": model,
        "candidate": candidate,
        "source": found.source,
        "photographs": found.photographs,
        "layers": rows(found),
        "model_only": [layer.name for layer in found.model_only],
        "source_only": list(found.source_only),
        "problems": list(found.problems),
        "notes": list(found.notes),
    }


def read(path: Path) -> Table:
    """A CSV or JSON file of :func:`to_csv` or :func:`to_json`, or one of quantization-effect-checker.

    Raises:
        DataError: unreadable, other columns, or something that is no number; names the file and the line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    entries = _from_json(text, path) if path.suffix == ".json" else _from_csv(text, path)
    if not entries:
        raise DataError(f"{path}: no layer in it", hint="Make one with: mpsearch profile MODEL --layers --out FILE")
    many = [layer for layer, count in Counter(entry.layer for entry in entries).items() if count > 1]
    empty = sum(entry.values["CosSim"] is None for entry in entries)
    notes = [f"{path.name}: {len(many)} name(s) stand for several layers: {', '.join(many[:3])}"] if many else []
    notes += [f"{path.name}: {empty} of {len(entries)} layers have no numbers"] if empty else []
    return Table(path.stem, tuple(entries), tuple(notes))


def _from_csv(text: str, path: Path) -> list[Entry]:
    lines = csv.DictReader(io.StringIO(text))
    names = [name.strip() for name in lines.fieldnames or ()]
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise DataError(
            f"{path}: no column {', '.join(missing)}; it has {', '.join(names) or 'none'}",
            hint=f"A table of similarities has {','.join(COLUMNS)}.",
        )
    lines.fieldnames = names
    found = list(lines)
    last = max(1, len(found) - 1)
    return [_entry({"position": index / last, **row}, f"{path}: line {index + 2}") for index, row in enumerate(found)]


def _from_json(text: str, path: Path) -> list[Entry]:
    try:
        data = json.loads(text)
    except ValueError as error:
        raise DataError(f"{path}: not JSON: {error}") from error
    layers = data.get("layers") if isinstance(data, dict) else None
    if not isinstance(layers, list) or data.get("format") != FORMAT or not all(isinstance(r, dict) for r in layers):
        hint = "Make one with: mpsearch profile MODEL --layers --out FILE"
        raise DataError(f"{path}: not a table of layers", hint=hint)
    return [_entry(row, f"{path}: layers[{index}]") for index, row in enumerate(layers)]


def _entry(row: Mapping[str, Any], where: str) -> Entry:
    layer = row.get("Layer")
    if not isinstance(layer, str) or not layer:
        raise DataError(f"{where}: no layer's name")
    values = {name: _number(row.get(name), f"{where}: {layer}: {name}") for name in VALUES}
    return Entry(
        layer,
        values,
        str(row.get("op") or _operation(layer)),
        str(row.get("unit") or ""),
        str(row.get("after") or ""),
        _number(row.get("position"), f"{where}: {layer}: position") or 0.0,
    )


def _number(value: Any, where: str) -> float | None:
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: {value!r} is no number") from error
    return number if math.isfinite(number) else None


def _operation(layer: str) -> str:
    """``backbone_stem_rbr_reparam_Conv`` -> ``Conv``; a name's last word that looks like an operator, a count behind it
    left out."""
    words: Sequence[str] = re.sub(r"_\d+$", "", layer).split("_")
    return words[-1] if len(words) > 1 and _OPERATION.match(words[-1]) else ""
