"""A candidate as SyNAP's toolkit takes it: the metafile's text and the ``synap convert`` line. Pure: no clock, disk or
environment; the same arguments give the same bytes."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mpsearch.candidate import Algorithm, Candidate, DataType, Scheme
from mpsearch.errors import CandidateError, ConfigError
from mpsearch.graph.model import ModelGraph
from mpsearch.toolchain.synap import rules
from mpsearch.toolchain.synap.formats import adapt
from mpsearch.toolchain.synap.io import MetafileIO, check
from mpsearch.toolchain.synap.resolve import Unresolved, resolve
from mpsearch.toolchain.synap.yamltext import Flow, Value, dump

TARGETS = ("VS640", "VS680", "SL1640", "SL1680")
"""The chips with an NPU that the toolkit compiles for."""

__all__ = ["TARGETS", "MetafileIO", "Rendered", "render"]


@dataclass(frozen=True, slots=True)
class Rendered:
    """A metafile and how to build it.

    Attributes:
        text: YAML.
        argv: words of the command; the metafile is expected as ``metafile.yaml`` in the working folder.
        candidate: what the text says: the candidate asked for, without what is unresolved.
        unresolved: what could not be said and was left at the base type.
        notes: what the user should know about the text.
    """

    text: str
    argv: tuple[str, ...]
    candidate: Candidate
    unresolved: tuple[Unresolved, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def texts(self) -> dict[str, str]:
        """As :class:`mpsearch.pareto.export.Rendered` wants it, and so below."""
        return {"metafile.yaml": self.text}

    @property
    def blobs(self) -> dict[str, Callable[[Path], object]]:
        return {}

    @property
    def commands(self) -> tuple[tuple[str, ...], ...]:
        return (self.argv,)


def render(
    graph: ModelGraph,
    candidate: Candidate,
    io: MetafileIO,
    *,
    target: str,
    model_path: str,
    layer_ids: Mapping[str, str] | None = None,
    doubtful: Mapping[str, str] | None = None,
    meta_path: str = "metafile.yaml",
    out_dir: str = "compiled",
) -> Rendered:
    """The metafile and the command for a candidate.

    Args:
        target: one of :data:`TARGETS`, in any case.
        layer_ids: node name or output unit -> layer id, from :func:`mpsearch.toolchain.synap.layers.read_map`.
        doubtful: node name or output unit -> why no entry may name it, from the same map.

    Raises:
        CandidateError: the candidate is illegal (stage ``render``).
        ConfigError: ``io`` or ``target`` do not make sense.
    """
    if reasons := rules.illegal(graph, candidate):
        raise CandidateError("; ".join(reasons), stage="render")
    quantized = candidate.base_type is not DataType.FLOAT16
    check(io, quantized=quantized, outputs=graph.outputs)
    resolved = resolve(graph, candidate, layer_ids=layer_ids, doubtful=doubtful)
    delivered = graph.delivered(candidate)
    notes = list(resolved.notes)
    format_, remarks = adapt(io.output_format, graph, delivered) if io.output_format else ("", ())
    notes += remarks
    document: dict[str, Value] = {}
    if io.optimize is not None:
        document["optimize"] = io.optimize
    if io.data_layout:
        document["data_layout"] = io.data_layout
    if delegate := delegate_of(candidate, io):
        document["delegate"] = delegate if isinstance(delegate, str) else dict(delegate)
    if inputs := _input(graph, candidate, io):
        document["inputs"] = [inputs]
    elif quantized:
        document["inputs"] = [{}]
    document["outputs"] = _outputs(graph, delivered, io, format_)
    if quantized:
        document["quantization"] = _quantization(candidate, resolved.types, io)
    else:
        notes.append("no quantization: the NPU computes in float16, which is 75 to 120 times slower than 8 bits")
    if io.custom:
        document["custom"] = dict(io.custom)
    argv = ["synap", "convert", "--model", model_path, "--meta", meta_path]
    argv += ["--target", _target(target), "--out-dir", out_dir]
    return Rendered(dump(document), tuple(argv), resolved.candidate, resolved.unresolved, tuple(notes))


def delegate_of(candidate: Candidate, io: MetafileIO) -> str | tuple[tuple[str, str], ...]:
    """Where the model runs: the candidate's choice where it is not the NPU, else what the metafile says in any case."""
    chosen = candidate.option("delegate")
    return chosen if chosen != "npu" else io.delegate


def _target(target: str) -> str:
    name = target.upper()
    if name not in TARGETS:
        close = difflib.get_close_matches(name, TARGETS, n=1)
        raise ConfigError(
            f"unknown SyNAP target {target!r}" + (f"; nearest: {close[0]}" if close else ""),
            hint=f"Targets with an NPU: {', '.join(TARGETS)}",
        )
    return name


def _input(graph: ModelGraph, candidate: Candidate, io: MetafileIO) -> dict[str, Value]:
    entry: dict[str, Value] = {}
    name, shape = io.input_name, io.input_shape
    if graph.reshaped and not name:  # the file itself has a dynamic shape, so the toolkit must be told
        (name,) = graph.inputs
        shape = graph.tensors[name].shape
    if name:
        entry |= {"name": name, "shape": Flow(shape)}
    if io.means:
        entry["means"] = Flow(io.means)
    if io.scale is not None:
        entry["scale"] = float(io.scale)
    if io.input_format:
        entry["format"] = io.input_format
    if io.input_security:
        entry["security"] = io.input_security
    if candidate.preprocess != "cpu":
        kind, _, size = candidate.preprocess.partition(":")
        preprocess: dict[str, Value] = {"type": kind, "size": Flow(int(side) for side in size.split("x"))}
        if io.crop is not None:
            preprocess["crop"] = Flow(io.crop) if isinstance(io.crop, tuple) else io.crop
        entry["preprocess"] = preprocess
    if io.input_custom:
        entry["custom"] = dict(io.input_custom)
    return entry


def _outputs(graph: ModelGraph, delivered: Mapping[str, tuple[str, ...]], io: MetafileIO, format_: str) -> list[Value]:
    named = dict(delivered) != {output: (output,) for output in graph.outputs}
    entries: list[Value] = []
    for output, tensor in ((output, tensor) for output, tensors in delivered.items() for tensor in tensors):
        own = io.of(output)
        entry: dict[str, Value] = {"name": tensor} if named else {}
        entry["dequantize"] = io.dequantize if own.dequantize is None else own.dequantize
        if said := own.format or ("" if entries else format_):
            entry["format"] = said
        if security := own.security or io.output_security:
            entry["security"] = security
        if own.custom:
            entry["custom"] = dict(own.custom)
        entries.append(entry)
    return entries


def _quantization(candidate: Candidate, types: Mapping[str, DataType], io: MetafileIO) -> dict[str, Value]:
    entry: dict[str, Value] = {}
    if types:
        entry["data_type"] = {key: str(kind) for key, kind in types.items()}
    else:
        entry["data_type"] = str(candidate.base_type)
    # A map leaves out a scheme that the toolkit takes by itself; so does int16, which has only one.
    if candidate.base_type.bits == 8 and not (types and _is_default(candidate)):
        entry["scheme"] = str(candidate.scheme)
    if candidate.algorithm is not Algorithm.STANDARD:
        entry["algorithm"] = str(candidate.algorithm)
    if io.mode:
        entry["mode"] = io.mode
    if io.options:
        entry["options"] = dict(io.options)
    entry["dataset"] = list(io.dataset)
    return entry


def _is_default(candidate: Candidate) -> bool:
    default = Scheme.ASYMMETRIC if candidate.base_type is DataType.UINT8 else Scheme.DYNAMIC_FIXED_POINT
    return candidate.scheme is default
