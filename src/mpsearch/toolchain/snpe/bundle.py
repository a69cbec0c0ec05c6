"""What ``mpsearch export`` writes of a candidate for SNPE: overrides, command lines, modelconverter's configuration."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import onnx

from mpsearch.candidate import Candidate
from mpsearch.errors import CandidateError
from mpsearch.graph.model import ModelGraph
from mpsearch.toolchain.snpe import clean, commands, modelconverter, realised, rules
from mpsearch.toolchain.snpe.commands import Files, Preparation
from mpsearch.toolchain.snpe.encodings import Schema, overrides, to_json
from mpsearch.toolchain.snpe.modelconverter import InputIO
from mpsearch.toolchain.snpe.tools import Family


@dataclass(frozen=True, slots=True)
class SnpeBundle:
    """Implements :class:`mpsearch.pareto.export.Rendered`."""

    texts: Mapping[str, str]
    commands: tuple[tuple[str, ...], ...]
    blobs: Mapping[str, Callable[[Path], object]] = field(default_factory=dict)
    unresolved: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def render(
    graph: ModelGraph,
    candidate: Candidate,
    io: InputIO,
    *,
    name: str,
    family: Family = "snpe",
    how: Preparation | None = None,
    schema: Schema = "0.5.0",
    dlc: Path | None = None,
) -> SnpeBundle:
    """The files of a candidate and the commands that build it from ``model.onnx`` and ``inputs.txt`` beside them.

    Args:
        dlc: the compiled model, where it was built.

    Raises:
        CandidateError: the candidate is illegal (stage ``render``).
    """
    if reasons := rules.illegal(graph, candidate):
        raise CandidateError("; ".join(reasons), stage="render")
    how = how or Preparation()
    bits = commands.flag_weight_bits(candidate, family)
    entries = overrides(graph, candidate, clean.largest(clean.constants(graph)), weight_bits=bits)
    files, outputs = Files("model.onnx"), [t for several in graph.delivered(candidate).values() for t in several]
    has = bool(len(entries))
    steps = [
        commands.convert(graph, candidate, family, files, overrides=has),
        commands.quantize(candidate, family, files, overrides=has),
        commands.prepare(candidate, files, outputs, how),
    ]
    done = [tuple(step) for step in steps if step is not None]
    done.append(tuple(commands.listing(files.prepared_dlc if steps[2] is not None else files.float_dlc)))
    texts = {"overrides.json": to_json(entries, schema)} if has else {}
    notes = [
        "inputs.txt lists the calibration photographs as raw float32 files, a line each: "
        f"`{graph.inputs[0]}:=/folder/0000.raw`; {_layout(family)}",
        f"{len(realised.conversions(graph, candidate))} tensors are made in one type and read in another: SNPE "
        "converts them",
    ]
    if family == "snpe" and candidate.option("runtime") == "dsp":
        texts["modelconverter.yaml"] = modelconverter.config(graph, candidate, io, how, name, overrides=has)
        ranged = [name for name, entry in entries.params.items() if entry.scale is not None]
        notes += modelconverter.remarks(graph, candidate, ranged)
    blobs: dict[str, Callable[[Path], object]] = {"model.onnx": lambda path: onnx.save(clean.clean(graph), str(path))}
    if dlc is not None:
        blobs["model.dlc"] = lambda path: shutil.copyfile(dlc, path)
    left = realised.unreachable(graph, candidate)
    unresolved = tuple(
        f"{unit}: computes in {kind}, the type of the output that it makes" for unit, kind in left.items()
    )
    return SnpeBundle(texts, tuple(done), blobs, unresolved, tuple(notes))


def _layout(family: Family) -> str:
    if family == "snpe":
        return "channels last, because snpe-onnx-to-dlc turns images"
    return "channels first as in the ONNX file, because qairt-converter keeps the layout"
