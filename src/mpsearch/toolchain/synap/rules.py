"""What SyNAP's toolkit, its compiler or its NPU refuse, known before anything runs.

Sources: the parser of SyNAP toolkit 3.2.0 for the shape of a map; compiles with acuitylite 6.33.0 for int16
convolutions over per-channel int8 (``DFP INT16, SYMM PC INT8``). Refusals that only a compiler knows are not here:
they are learnt.
"""

from __future__ import annotations

import re

from mpsearch.candidate import Candidate, DataType, Scheme
from mpsearch.graph.model import ModelGraph
from mpsearch.toolchain import refusals

PREPROCESSING = ("yuv444", "yuv420", "nv12", "nv21", "gray", "rgb", "bgra", "rgb888p", "rgb888p3")
"""Frame formats that the NPU can convert itself, as ``Candidate.preprocess`` ``"<format>:<width>x<height>"``."""

TYPES = (DataType.UINT8, DataType.INT8, DataType.INT16, DataType.FLOAT16)
"""What a ``data_type`` map may say."""
OPTIONS = ("delegate",)
"""Options of a candidate that a metafile can say."""
_WEIGHTED = frozenset(("conv", "depthwise", "deconv", "gemm"))


def illegal(graph: ModelGraph, candidate: Candidate) -> tuple[str, ...]:
    """Why this candidate cannot be built with SyNAP; empty when nothing is known against it."""
    reasons = [*_base(candidate), *refusals.overrides(graph, candidate), *_preprocess(candidate)]
    reasons += refusals.delivery(graph, candidate)
    return tuple(reasons or _int16_per_channel(graph, candidate))


def _base(candidate: Candidate) -> list[str]:
    kinds = {candidate.base_type, *(kind for _, kind in candidate.overrides)}
    foreign = sorted(str(kind) for kind in kinds if kind not in TYPES)
    if candidate.scheme is Scheme.ENCODINGS and not foreign:
        return [f"base {candidate.base} is SNPE's; SyNAP's model left alone is base float16"]
    if foreign:
        return [f"SyNAP has no type {' and no '.join(foreign)}; it has {', '.join(TYPES)}"]
    narrow = sorted(str(kind) for kind in kinds if kind.bits == 8)
    reasons = [
        f"SyNAP has no option {name}; it has {', '.join(OPTIONS)}"
        for name, _ in candidate.options
        if name not in OPTIONS
    ]
    if len(narrow) > 1:
        reasons.append(f"one map may have one 8-bit type, this has {' and '.join(narrow)}")
    if candidate.base_type is DataType.FLOAT16 and candidate.overrides:
        reasons.append(
            "float16 as a base means no quantization at all, so no unit can have another type; "
            "take an 8-bit or int16 base and give float16 to units"
        )
    return reasons


def _int16_per_channel(graph: ModelGraph, candidate: Candidate) -> list[str]:
    if candidate.scheme is not Scheme.PER_CHANNEL:
        return []
    types = graph.assign(candidate)
    return [
        f"unit {unit.name!r} ({unit.kind}) cannot be int16 over per-channel int8: its weights stay per-channel, "
        "which the compiler refuses (DFP INT16, SYMM PC INT8)"
        for unit in graph.units
        if unit.kind in _WEIGHTED and types.get(unit.name) is DataType.INT16
    ]


def _preprocess(candidate: Candidate) -> list[str]:
    if candidate.preprocess == "cpu":
        return []
    kind, _, size = candidate.preprocess.partition(":")
    if kind in PREPROCESSING and re.fullmatch(r"[1-9]\d*x[1-9]\d*", size):
        return []
    known = ", ".join(PREPROCESSING)
    return [f"preprocess {candidate.preprocess!r} is not 'cpu' or '<format>:<width>x<height>' with one of {known}"]
