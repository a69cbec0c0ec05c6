"""A metafile, written by hand or by us, as a candidate: what ``mpsearch eval METAFILE`` scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from mpsearch.candidate import Candidate
from mpsearch.errors import ConfigError
from mpsearch.graph.model import ModelGraph
from mpsearch.toolchain.synap import rules
from mpsearch.toolchain.synap.io import CHOICES, DELEGATES, OPTIONS, MetafileIO
from mpsearch.toolchain.synap.outputs import read_outputs
from mpsearch.toolchain.synap.typemap import Quantization
from mpsearch.toolchain.synap.yamlmap import Place, load

_TOP = (
    "optimize data_layout input_format output_format denormalize_outputs dequantize_outputs inputs outputs "
    "quantization security custom delegate"
).split()
_INPUT = "name shape means scale format security custom preprocess".split()
_QUANTIZATION = "dataset scheme data_type mode algorithm options".split()
_PREPROCESS = "type size crop".split()


@dataclass(frozen=True, slots=True)
class Parsed:
    """Attributes:
    candidate: what is built.
    io: the rest; ``output_format`` as it stands in the file, already adapted to its cuts.
    notes: where the metafile does something that a candidate has no words for.
    """

    candidate: Candidate
    io: MetafileIO
    notes: tuple[str, ...] = ()


def parse(
    text: str, graph: ModelGraph, *, layer_ids: Mapping[str, str] | None = None, source: str = "metafile"
) -> Parsed:
    """Read a metafile for a model.

    Args:
        layer_ids: node name or output unit -> layer id, for entries that begin with ``@``.
        source: the file's name, for messages.

    Raises:
        ConfigError: broken YAML; unknown fields, names or types; what the toolkit refuses or dies of; what cannot be
            said as a candidate. With file and line.
    """
    top = load(text, source).mapping("the metafile", _TOP)
    notes = ["`security` at the top is left out"] if "security" in top else []
    io, preprocess = _input(top.get("inputs"), notes)
    outputs = read_outputs(top.get("outputs"), graph)
    all_floats = any(key in top and top[key].data is True for key in ("dequantize_outputs", "denormalize_outputs"))
    delegate = _delegate(top.get("delegate"), notes)
    chosen = delegate if delegate in ("gpu", "cpu") else ""
    where = Candidate(
        "float16",
        cuts=outputs.cuts,
        dropped=outputs.dropped,
        preprocess=preprocess,
        options=(("delegate", str(chosen)),) if chosen else (),
    )
    candidate = where
    dataset: tuple[str, ...] = ()
    if (place := top.get("quantization")) is not None:
        fields = place.mapping("quantization", _QUANTIZATION)
        if dataset := _dataset(fields.get("dataset")):
            if not ("inputs" in top and top["inputs"].data):
                raise place.error("a dataset needs one entry under `inputs`", "Add `inputs:` with means and scale.")
            quantization = Quantization(place, fields, graph, where, layer_ids, notes)
            candidate = quantization.candidate()
            io = replace(io, mode=_mode(fields.get("mode")), options=_options(fields.get("options")))
        else:
            notes.append("no `dataset`: the toolkit silently leaves the model in float16, and so it is taken here")
    if reasons := rules.illegal(graph, candidate):
        raise ConfigError(f"{source}: {'; '.join(reasons)}")
    layout, optimize, custom = (top.get(key) for key in ("data_layout", "optimize", "custom"))
    io = replace(
        io,
        dataset=dataset,
        output_format=outputs.format or _format(top.get("output_format"), "output_format"),
        input_format=io.input_format or _format(top.get("input_format"), "input_format"),
        dequantize=outputs.dequantize or all_floats,
        outputs=() if all_floats and not outputs.dequantize else outputs.own,
        delegate="" if chosen else delegate,
        data_layout=layout.choice("data_layout for ONNX", CHOICES["data_layout"]) if layout else "",
        optimize=optimize.truth("optimize") if optimize else None,
        custom=custom.pairs("custom") if custom and isinstance(custom.data, dict) else (),
    )
    return Parsed(candidate, io, tuple(notes))


def _format(place: Place | None, what: str) -> str:
    return place.text(what) if place else ""


def _delegate(place: Place | None, notes: list[str]) -> str | tuple[tuple[str, str], ...]:
    if place is None or place.data is None:
        return ""
    pairs = place.data if isinstance(place.data, dict) else {"": place}
    for value in pairs.values():
        name = value.text("a delegate").split(" ")[0]
        if name not in DELEGATES:
            raise value.error(f"unknown delegate {name!r}", f"Known: {', '.join(DELEGATES)}")
        if name not in ("default", "npu"):
            notes.append(f"`delegate: {name}` is not simulated")
    return str(place.data) if not isinstance(place.data, dict) else tuple((k, str(v.data)) for k, v in pairs.items())


def _mode(place: Place | None) -> str:
    return place.choice("mode", CHOICES["mode"]) if place else ""


def _options(place: Place | None) -> tuple[tuple[str, str | bool | int | float], ...]:
    fields = place.mapping("options", OPTIONS) if place else {}
    return tuple((key, value.plain) for key, value in fields.items() if not isinstance(value.data, list | dict | None))


def _input(place: Place | None, notes: list[str]) -> tuple[MetafileIO, str]:
    entries = place.items("inputs") if place is not None else []
    if len(entries) > 1:
        raise entries[1].error("a second input; mpsearch reads single-input models")
    fields = entries[0].mapping("an input", _INPUT) if entries else {}
    if ("name" in fields) != ("shape" in fields):
        raise entries[0].error("an input's name and shape only go together")
    means, scale, name, format_ = (fields.get(key) for key in ("means", "scale", "name", "format"))
    security, custom, preprocess = (fields.get(key) for key in ("security", "custom", "preprocess"))
    if scale is not None and not scale.number("scale"):
        raise scale.error("scale 0: the toolkit divides by it")
    kind, crop = _preprocess(preprocess)
    if crop:
        notes.append("`crop` is not simulated")
    io = MetafileIO(
        means=means.numbers("means") if means else (),
        scale=scale.number("scale") if scale else None,
        input_format=format_.text("format") if format_ else "",
        input_name=name.text("name") if name else "",
        input_shape=tuple(int(size) for size in fields["shape"].numbers("shape")) if name else (),
        input_security=security.choice("security", CHOICES["input_security"]) if security else "",
        input_custom=custom.pairs("custom") if custom and isinstance(custom.data, dict) else (),
        crop=crop,
    )
    return io, kind


def _preprocess(place: Place | None) -> tuple[str, bool | tuple[int, ...] | None]:
    if place is None:
        return "cpu", None
    fields = place.mapping("preprocess", _PREPROCESS)
    if "type" not in fields or "size" not in fields:
        raise place.error("preprocess needs `type` and `size` here", "e.g. {type: nv12, size: [1024, 768]}")
    kind, size = fields["type"].text("type"), fields["size"].numbers("size")
    if kind not in rules.PREPROCESSING or len(size) != 2:
        raise place.error(
            f"preprocess type {kind!r} with size {list(size)}",
            f"Two numbers, and one of {', '.join(rules.PREPROCESSING)}",
        )
    crop: bool | tuple[int, ...] | None = None
    if (said := fields.get("crop")) is not None:
        crop = said.data if isinstance(said.data, bool) else tuple(int(number) for number in said.numbers("crop"))
    return f"{kind}:{int(size[0])}x{int(size[1])}", crop


def _dataset(place: Place | None) -> tuple[str, ...]:
    if place is None or place.data is None:
        return ()
    globs = tuple(item.text("a dataset") for item in (place.data if isinstance(place.data, list) else [place]))
    if len(globs) > 1:
        raise place.error(f"{len(globs)} datasets for one model input")
    if any(" " in item for item in globs):
        raise place.error(f"dataset {globs[0]!r} has a space in it, which the toolkit refuses")
    return globs
