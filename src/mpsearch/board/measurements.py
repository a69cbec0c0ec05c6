"""The user's timings from files: a table of models, a per-layer profile, or stored records."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mpsearch.board.calibrate import Measurement
from mpsearch.candidate import BASES, Candidate
from mpsearch.errors import ConfigError, ModelError
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.read import read as read_graph
from mpsearch.record import Measured, Record

Reader = Callable[[Path], ModelGraph]

FORMS = """\
a CSV with the columns model,ms[,candidate] (candidate: a base such as uint8, or a candidate.json);
a CSV with the columns unit,ms[,candidate] for the model of --model (a per-layer profile);
records of a study as JSON (a list, or one a line) for the model of --model."""


def read(path: Path, *, model: ModelGraph | None = None, graph_of: Reader = read_graph) -> list[Measurement]:
    """The measurements in ``path``; paths in it are relative to it.

    Args:
        model: the network of a per-layer profile or of records.

    Raises:
        ConfigError: unreadable or malformed; names file, line and thing.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})", hint=f"Give {FORMS}") from error
    if path.suffix in (".json", ".jsonl"):
        return _records(path, text, model)
    lines = csv.DictReader(text.splitlines())
    columns = set(lines.fieldnames or ())
    if "ms" not in columns or not columns & {"model", "unit"}:
        raise ConfigError(f"{path}: columns {', '.join(sorted(columns)) or 'none'}", hint=f"Give {FORMS}")
    graphs: dict[Path, ModelGraph] = {}
    found = []
    for number, line in enumerate(lines, start=2):
        place = f"{path}: line {number}"
        candidate = _candidate(line.get("candidate") or "uint8", path.parent, place)
        if "model" in columns:
            file = path.parent / (line["model"] or "")
            if file not in graphs:
                graphs[file] = graph_of(file)
            graph, unit = graphs[file], None
        else:
            graph, unit = _needed(model, path), line["unit"]
        found.append(_measurement(place, graph, candidate, line["ms"], unit))
    return found


def _measurement(
    place: str, graph: ModelGraph, candidate: Candidate, text: str | None, unit: str | None
) -> Measurement:
    try:
        ms = float(text or "")
    except ValueError as error:
        raise ConfigError(f"{place}: ms is {text!r}, not a number") from error
    label = unit or f"{graph.path.stem} {candidate.base}{'' if candidate.is_uniform else ' mixed'}"
    try:
        found = Measurement(label, graph, candidate, ms, unit)
    except ModelError as error:
        raise ConfigError(f"{place}: {error.message}", hint=error.hint) from error
    if unit is not None and unit not in found.types:
        raise ConfigError(f"{place}: no unit {unit!r} in {graph.path.name}", hint="See: mpsearch inspect MODEL")
    return found


def _candidate(text: str, folder: Path, place: str) -> Candidate:
    if text in BASES:
        return Candidate(text)
    file = folder / text
    if not file.is_file():
        raise ConfigError(f"{place}: candidate {text!r} is neither a file nor one of {', '.join(BASES)}")
    try:
        return Candidate.from_json(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"{place}: {file}: not a candidate: {error}") from error


def _records(path: Path, text: str, model: ModelGraph | None) -> list[Measurement]:
    graph = _needed(model, path)
    found, simulated = [], 0
    for number, data in enumerate(_items(path, text), start=1):
        place = f"{path}: record {number}"
        try:
            record = Record.from_json(data.get("record", data))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"{place}: not a record ({error!r})") from error
        if not isinstance(record.outcome, Measured):
            continue
        if record.outcome.timing.source == "simulated":
            simulated += 1
            continue
        found.append(_measurement(place, graph, record.candidate, str(record.outcome.timing.median_ms), None))
    if simulated and not found:
        raise ConfigError(
            f"{path}: all {simulated} timings are a cost model's own predictions", hint="Give timings of a real board."
        )
    return found


def _items(path: Path, text: str) -> list[Mapping[str, Any]]:
    try:
        data = [json.loads(line) for line in text.splitlines() if line] if path.suffix == ".jsonl" else json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{path}: not JSON: {error}") from error
    if not isinstance(data, list):
        raise ConfigError(f"{path}: records are a list, not {type(data).__name__}")
    return data


def _needed(model: ModelGraph | None, path: Path) -> ModelGraph:
    if model is None:
        raise ConfigError(f"{path}: of which network?", hint="Give its file with --model.")
    return model
