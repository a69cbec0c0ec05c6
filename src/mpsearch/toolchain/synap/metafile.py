"""A candidate as SyNAP's toolkit takes it: the metafile's text and the ``synap convert`` line. Pure: no clock, disk or
environment; the same arguments give the same bytes."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from mpsearch.candidate import Algorithm, Candidate, DataType, Scheme
from mpsearch.errors import CandidateError, ConfigError
from mpsearch.graph.model import ModelGraph
from mpsearch.toolchain.synap import rules
from mpsearch.toolchain.synap.formats import adapt
from mpsearch.toolchain.synap.resolve import Unresolved, resolve
from mpsearch.toolchain.synap.yamltext import Flow, Value, dump

TARGETS = ("VS640", "VS680", "SL1640", "SL1680")
"""The chips with an NPU that the toolkit compiles for."""


@dataclass(frozen=True, slots=True)
class MetafileIO:
    """What a metafile says besides the candidate.

    Attributes:
        means: one a channel, in the range of the pixels (0 to 255); empty leaves it out.
        scale: what the difference from the mean is divided by; None leaves it out.
        input_format: ``"rgb"`` or ``"bgr"`` with options; empty leaves it out. The toolkit reads ``bgr`` as: reverse
            the channels of the calibration images.
        dataset: globs of calibration images, relative to the metafile, one for each model input.
        output_format: for the uncut model with all outputs, e.g. ``yolov5 landmarks=5 anchors=[...]``; empty: none.
        input_name, input_shape: only together; needed for a model whose file has a dynamic shape.
        dequantize: the NPU converts the outputs to float.
        input_security: ``any``, ``secure`` or ``non-secure``; empty leaves it out.
        output_security: ``secure-if-input-secure`` or ``any``; empty leaves it out.
        data_layout: ``default`` or ``nchw``; empty leaves it out. ``nhwc`` is not for ONNX.
        delegate: ``npu``, ``gpu`` or ``cpu`` and its options; empty is the target's own choice.
        mode: ``standard`` or ``full`` (quantize every layer); empty leaves it out.
        options: passed on to the quantizer, e.g. ``(("divergence_nbins", 2048),)``.
        custom: anything of the user's own; the toolkit ignores it.
    """

    means: tuple[float, ...] = ()
    scale: float | None = None
    input_format: str = ""
    dataset: tuple[str, ...] = ("qdataset/*.jpg",)
    output_format: str = ""
    input_name: str = ""
    input_shape: tuple[int, ...] = ()
    dequantize: bool = True
    input_security: str = ""
    output_security: str = ""
    data_layout: str = ""
    delegate: str = ""
    mode: str = ""
    options: tuple[tuple[str, str | bool | int | float], ...] = ()
    custom: tuple[tuple[str, str | bool | int | float], ...] = ()


CHOICES = {
    "input_security": ("any", "secure", "non-secure"),
    "output_security": ("any", "secure-if-input-secure"),
    "data_layout": ("default", "nchw"),
    "mode": ("standard", "full"),
}
"""Field of :class:`MetafileIO` -> what the toolkit takes for an ONNX model."""
DELEGATES = ("default", "npu", "gpu", "cpu")
OPTIONS = ("moving_average_weight", "divergence_nbins", "divergence_first_quantize_bits", "minimize_layer_error")
"""Options that the quantizer takes besides those that the toolkit sets itself (acuitylite 6.33.0)."""


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


def render(
    graph: ModelGraph,
    candidate: Candidate,
    io: MetafileIO,
    *,
    target: str,
    model_path: str,
    layer_ids: Mapping[str, str] | None = None,
    meta_path: str = "metafile.yaml",
    out_dir: str = "compiled",
) -> Rendered:
    """The metafile and the command for a candidate.

    Args:
        target: one of :data:`TARGETS`, in any case.
        layer_ids: node name or output unit -> layer id, from :func:`mpsearch.toolchain.synap.layers.read_ids`.

    Raises:
        CandidateError: the candidate is illegal (stage ``render``).
        ConfigError: ``io`` or ``target`` do not make sense.
    """
    if reasons := rules.illegal(graph, candidate):
        raise CandidateError("; ".join(reasons), stage="render")
    quantized = candidate.base_type is not DataType.FLOAT16
    _check(io, quantized=quantized)
    resolved = resolve(graph, candidate, layer_ids=layer_ids)
    delivered = graph.delivered(candidate)
    notes = list(resolved.notes)
    format_, remarks = adapt(io.output_format, graph, delivered) if io.output_format else ("", ())
    notes += remarks
    document: dict[str, Value] = {}
    if io.data_layout:
        document["data_layout"] = io.data_layout
    if io.delegate:
        document["delegate"] = io.delegate
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


def _check(io: MetafileIO, *, quantized: bool) -> None:
    for field, known in CHOICES.items():
        value = getattr(io, field)
        if value and value not in known:
            raise ConfigError(f"metafile: {field} {value!r} is not one of {', '.join(known)}")
    if io.delegate and io.delegate.split(" ")[0] not in DELEGATES:
        raise ConfigError(f"metafile: delegate {io.delegate!r} is not one of {', '.join(DELEGATES)}")
    for name, _ in io.options:
        if name not in OPTIONS:
            close = difflib.get_close_matches(name, OPTIONS, n=1)
            raise ConfigError(
                f"metafile: no quantizer option {name!r}" + (f"; nearest: {close[0]!r}" if close else ""),
                hint=f"Options: {', '.join(OPTIONS)}",
            )
    if io.scale == 0:
        raise ConfigError("metafile input: scale 0", hint="The toolkit divides by it: 255 for pixels of 0 to 1.")
    if bool(io.input_name) != bool(io.input_shape):
        raise ConfigError("metafile input: name and shape are only allowed together")
    if not quantized:
        return
    if len(io.dataset) != 1:
        raise ConfigError(
            f"metafile: {len(io.dataset)} calibration datasets for one model input",
            hint="Without a dataset the toolkit silently leaves the model in float.",
        )
    if " " in io.dataset[0]:
        raise ConfigError(f"metafile: dataset {io.dataset[0]!r} has a space in it, which the toolkit refuses")


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
        entry["preprocess"] = {"type": kind, "size": Flow(int(side) for side in size.split("x"))}
    return entry


def _outputs(graph: ModelGraph, delivered: Mapping[str, tuple[str, ...]], io: MetafileIO, format_: str) -> list[Value]:
    named = dict(delivered) != {output: (output,) for output in graph.outputs}
    entries: list[Value] = []
    for tensor in (tensor for tensors in delivered.values() for tensor in tensors):
        entry: dict[str, Value] = {"name": tensor} if named else {}
        entry["dequantize"] = io.dequantize
        if format_ and not entries:
            entry["format"] = format_
        if io.output_security:
            entry["security"] = io.output_security
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
