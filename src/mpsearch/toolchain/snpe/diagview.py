"""What ``snpe-diagview`` prints and writes: the time of every layer, as text or as CSV version 1 or 2. Pure.

Forms as recorded from SNPE 2.9 to 2.37: v1 has a space in front of its column names and neither names nor units of
layers; v2 names both, and holds a row a layer *and inference*; the text holds averages, in 2.9 without names. On the
DSP a layer's time is in cycles, elsewhere in microseconds; a layer that became part of another has 0 of either.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from mpsearch.errors import SetupError

LAYER = "FORWARD_PROPAGATE_LAYER"
_LINTING = ("LINTING_WAIT_TIME", "LINTING_OVERLAP_TIME", "LINTING_OVERLAP_WAIT_TIME")
_OP_ID = re.compile(r"[: ]OpId_\d+\b")
_LAYERS_HEAD = re.compile(r"^\s*(?:Per-)?Layer (?:Execution )?Times:\s*$")
_LAYER_LINE = re.compile(
    r"^\s*(?P<id>\d+):(?: (?P<name>.*?) :)? (?P<time>\d+(?:\.\d+)?)(?: (?P<unit>us|cycles))?\s*(?::\s*(?P<on>\w+))?\s*$"
)
_LINT_LINE = re.compile(r"^\s*(?P<what>Wait \(Scheduler\) time|Overlap time|Overlap \(wait\) time): (?P<time>\d+)")
_RESOURCES = re.compile(r"^\s*Resources:\s*(?P<names>.*\S)")
_TOTAL = re.compile(r"^\s*(?P<what>[A-Za-z][^:]*?)\s*:\s*(?P<time>\d+(?:\.\d+)?)(?: (?P<unit>us|cycles))?\s*$")
_VERSION = re.compile(r"^Software library version:\s*(\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Amount:
    """``unit`` is ``us``, ``cycles``, or empty where the form does not say it."""

    value: float
    unit: str


@dataclass(frozen=True, slots=True)
class LayerTime:
    """One layer of the compiled model.

    Attributes:
        name: without SNPE's decoration; empty in forms that have no names.
        samples: a value an inference; one value, the average, where the form is text.
        runtime: ``DSP``, ``CPU``, ``GPU``; empty where the form does not say.
        linting: what profiling level ``linting`` adds, e.g. ``{"Overlap time": 4770.0}``, in the layer's unit.
        resources: e.g. ``("HVX", "HMX")``.
    """

    layer_id: int
    name: str
    samples: tuple[float, ...]
    unit: str
    runtime: str
    message: str = LAYER
    graph: str = ""
    linting: Mapping[str, float] = field(default_factory=dict)
    resources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Diagview:
    """Attributes:
    layers: by id.
    totals: what belongs to no layer, as the form calls it: ``Total Inference Time`` or ``AVG_TOTAL_INFERENCE_TIME``.
    version: of the library that ran; empty where the form does not say.
    """

    layers: tuple[LayerTime, ...]
    totals: Mapping[str, Amount]
    version: str = ""


def parse(text: str, source: str = "snpe-diagview's output") -> Diagview:
    """Any of the forms.

    Raises:
        SetupError: none of them, or one with a broken row; names ``source``, and the line where there is one.
    """
    first = next((line for line in text.splitlines() if line.strip()), "")
    if "Msg Timestamp" in first:
        return _csv(text, source)
    found = _text(text)
    if not found.layers:
        raise SetupError(
            f"{source}: no time of a layer in {len(text.splitlines())} lines",
            hint="Run with --profiling_level detailed, and give what snpe-diagview printed or its --output file.",
        )
    return found


def clean(name: str) -> str:
    """``dense/MatMul:OpId_18 (cycles)`` -> ``dense/MatMul``; ``Input OpId_2 (cycles)`` -> ``Input``."""
    return _OP_ID.sub("", name.strip().removesuffix("(cycles)").rstrip()).strip()


def looks_like(text: str) -> bool:
    """Whether this is diagview's, before anything is parsed."""
    return "Msg Timestamp" in text[:200] or any(_LAYERS_HEAD.match(line) for line in text.splitlines())


def _csv(text: str, source: str) -> Diagview:
    reader = csv.reader(io.StringIO(text.lstrip("\ufeff")), skipinitialspace=True)
    header = [name.strip() for name in next(reader)]
    for name in ("Message", "Layer Id", "Time"):
        if name not in header:
            raise SetupError(f"{source}: no column {name!r} among {', '.join(header)}")
    layers: dict[tuple[str, int], dict[str, str]] = {}
    samples: dict[tuple[str, int], list[float]] = {}
    linting: dict[tuple[str, int], dict[str, list[float]]] = {}
    totals: dict[str, Amount] = {}
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        row = dict(zip(header, (cell.strip() for cell in cells), strict=False))
        place = f"{source}: line {reader.line_num}"
        value = _number(row.get("Time", ""), place)
        message, unit = row["Message"], _unit(row.get("Unit of Measurement", ""))
        layer = row.get("Layer Id", "")
        if not layer:
            totals[message] = Amount(value, unit)
            continue
        key = (row.get("Graph Name", ""), int(_number(layer, place)))
        if message in _LINTING:
            linting.setdefault(key, {}).setdefault(message, []).append(value)
            continue
        layers.setdefault(key, row)
        samples.setdefault(key, []).append(value)
    found = [
        LayerTime(
            number, clean(row.get("Layer Name", "")), tuple(samples[graph, number]),
            _unit(row.get("Unit of Measurement", "")), row.get("Runtime", ""), row["Message"], graph,
            {what: sum(values) / len(values) for what, values in linting.get((graph, number), {}).items()},
        )
        for (graph, number), row in sorted(layers.items())
    ]  # fmt: skip
    if not found:
        raise SetupError(
            f"{source}: no row of a layer", hint="Profile with --profiling_level detailed, and run at least once."
        )
    return Diagview(tuple(found), totals)


def _number(text: str, place: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise SetupError(f"{place}: {text!r} is no number", hint="Is the file cut off?") from error


def _unit(text: str) -> str:
    known = {"microseconds": "us", "microsecond": "us", "usec": "us", "cycle": "cycles"}
    return known.get(text.lower(), text.lower())


def _text(text: str) -> Diagview:
    layers: list[LayerTime] = []
    totals: dict[str, Amount] = {}
    in_layers = False
    for line in text.splitlines():
        if _LAYERS_HEAD.match(line):
            in_layers = True
        elif in_layers and (match := _LAYER_LINE.match(line)):
            runtime = match["on"] or ""
            unit = match["unit"] or ("cycles" if (match["name"] or "").endswith("(cycles)") else "")
            layers.append(
                LayerTime(int(match["id"]), clean(match["name"] or ""), (float(match["time"]),), unit, runtime)
            )
        elif in_layers and layers and (match := _LINT_LINE.match(line)):
            last = layers[-1]
            layers[-1] = replace(last, linting={**last.linting, match["what"]: float(match["time"])})
        elif in_layers and layers and (match := _RESOURCES.match(line)):
            names = tuple(name.strip() for name in match["names"].split(","))
            layers[-1] = replace(layers[-1], resources=names)
        elif match := _TOTAL.match(line):
            totals[match["what"].strip()] = Amount(float(match["time"]), match["unit"] or "")
    known = [layer.unit for layer in layers if layer.unit]
    # A time of 0 is printed without its unit; all layers of a run have the same one.
    unit = known[0] if len(set(known)) == 1 else ""
    version = _VERSION.search(text)
    return Diagview(
        tuple(layer if layer.unit else replace(layer, unit=unit) for layer in layers),
        totals,
        version[1] if version else "",
    )
