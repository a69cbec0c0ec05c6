"""``quantization_info.yaml``: the type that every layer really got. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from mpsearch.candidate import Candidate, DataType
from mpsearch.errors import SetupError
from mpsearch.graph.model import ModelGraph, Role
from mpsearch.toolchain.synap.layers import LayerMap, read_map

_TYPES = {
    "u8": DataType.UINT8,
    "i8": DataType.INT8,
    "i16": DataType.INT16,
    "float32": DataType.FLOAT16,  # the table's word for a layer that was left alone; the NPU computes it in float16
    "float16": DataType.FLOAT16,
}
_CUSTOM = {"dynamic_fixed_point-i16": DataType.INT16, "float32": DataType.FLOAT16, "float16": DataType.FLOAT16}


@dataclass(frozen=True, slots=True)
class Realised:
    """Attributes:
    types: live unit -> the type of its layers; as asked where the table says nothing of it.
    differs: computing or output unit -> what was built, where it is not what was asked.
    unmapped: computing and output units of which no layer was found.
    """

    types: Mapping[str, DataType]
    differs: Mapping[str, str]
    unmapped: tuple[str, ...]


def layer_types(text: str, source: str = "quantization_info.yaml") -> dict[str, DataType]:
    """Layer id -> type of its output.

    Raises:
        SetupError: the table has another form.
    """
    start = text.find("version:")
    try:
        body = yaml.load(text[max(start, 0) :], getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        parameters = body["quantize_parameters"]
        found = {
            key[1:].rpartition(":")[0]: _TYPES[entry["qtype"]]
            for key, entry in parameters.items()
            if key.startswith("@") and key.rpartition(":")[2].startswith("out")
        }
        for lid, word in (body.get("customized_quantize_layers") or {}).items():
            if lid not in found and word in _CUSTOM:
                found[lid] = _CUSTOM[word]
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise SetupError(
            f"{source}: not a quantize table as SyNAP toolkit 3.2.0 writes it ({type(error).__name__}: {error})",
            hint="Please report the file with the toolkit's version.",
        ) from error
    return found


def compare(
    text: str,
    graph: ModelGraph,
    asked: Candidate,
    *,
    source: str = "quantization_info.yaml",
    layers: LayerMap | None = None,
) -> Realised:
    """What was built against what was asked.

    Args:
        asked: what the metafile said, with the cuts and dropped outputs of the build.
        layers: which layer is whose, where it is known from elsewhere than this table.
    """
    kinds = layer_types(text, source)
    return _compare(kinds, layers or read_map(text, graph, asked), graph, asked)


def _compare(kinds: Mapping[str, DataType], layers: LayerMap, graph: ModelGraph, asked: Candidate) -> Realised:
    wanted = graph.assign(asked)
    built: dict[str, set[DataType]] = {unit: set() for unit in wanted}
    several = {name: (lid,) for name, lid in layers.ids.items()} | dict(layers.ambiguous)
    for name, lids in several.items():
        unit = graph.unit_of.get(name, _output_of(name, graph, asked))
        if unit in built:
            built[unit].update(kinds[lid] for lid in lids if lid in kinds)
    types, differs, unmapped = dict(wanted), {}, []
    for unit, found in built.items():
        chooses = graph.unit[unit].role is not Role.TRANSPARENT
        if not found:
            unmapped += [unit] if chooses else []
            continue
        if chooses and found != {wanted[unit]}:
            differs[unit] = " and ".join(sorted(found))
        types[unit] = max(found, key=lambda kind: kind.rank)
    return Realised(types, differs, tuple(unmapped))


def _output_of(name: str, graph: ModelGraph, asked: Candidate) -> str:
    """The output unit of a delivered tensor's ``output:<tensor>``."""
    tensor = name.removeprefix("output:")
    for output, tensors in graph.delivered(asked).items():
        if tensor in tensors:
            return f"output:{output}"
    return name
