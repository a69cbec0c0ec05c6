"""What SNPE's tools or HTP (Hexagon v73) refuse, known before anything runs.

Sources: the table of operators that HTP accepts and the notes on 16-bit weights of Qualcomm's QAIRT 2.25 documents; the
refusals of ``qairt-quantizer``. What only a device knows is not here: it is learnt.
"""

from __future__ import annotations

from mpsearch.candidate import QUANTIZER_OPTIONS, Algorithm, Candidate, DataType, Scheme
from mpsearch.graph.model import ModelGraph
from mpsearch.toolchain import refusals

TYPES = (DataType.A8W8, DataType.A16W8, DataType.A16W16, DataType.FLOAT16)
WEIGHTED = frozenset(("conv", "depthwise", "deconv", "gemm"))
"""Kinds of units whose weights have a width of their own."""

LEGACY = ("act_quantizer", "param_quantizer")
MODERN = ("act_calibration", "param_calibration", "act_schema", "param_schema")
"""Options of ``qairt-quantizer`` alone, which refuses them beside :data:`LEGACY`."""


def illegal(graph: ModelGraph, candidate: Candidate) -> tuple[str, ...]:
    """Why this candidate cannot be built with SNPE for HTP v73; empty when nothing is known against it."""
    reasons = [*_types(candidate), *refusals.overrides(graph, candidate), *_options(candidate)]
    if candidate.preprocess != "cpu":
        reasons.append(f"preprocessing {candidate.preprocess}: HTP takes frames from the CPU")
    reasons += refusals.delivery(graph, candidate)
    return tuple(reasons or _wide_weights(graph, candidate))


def wide_outputs(graph: ModelGraph, candidate: Candidate) -> tuple[str, ...]:
    """Tensors at the model's edge that are not 8 bits wide, which DepthAI cannot exchange."""
    inputs = () if candidate.base_type is DataType.A8W8 else graph.inputs
    types = graph.assign(candidate)
    wide = [
        tensor
        for output, tensors in graph.delivered(candidate).items()
        for tensor in tensors
        if types[f"output:{output}"].bits != 8
    ]
    return (*inputs, *wide)


def _types(candidate: Candidate) -> list[str]:
    reasons = []
    kinds = {candidate.base_type, *(kind for _, kind in candidate.overrides)}
    if foreign := sorted(str(kind) for kind in kinds if kind not in TYPES):
        known = ", ".join(TYPES)
        reasons.append(f"SNPE has no {' and '.join(foreign)}: it names activations and weights apart ({known})")
    if candidate.scheme is Scheme.NONE:
        reasons.append(f"base {candidate.base} is the model left alone: SNPE's 16-bit floats are base fp16")
    if candidate.base_type is DataType.FLOAT16 and candidate.overrides:
        reasons.append(
            "fp16 as a base means no quantizer step at all, so no unit can have another type; "
            "take a quantized base and give float16 to units"
        )
    return reasons


def _options(candidate: Candidate) -> list[str]:
    given = dict(candidate.options)
    reasons = []
    if candidate.algorithm is not Algorithm.STANDARD:
        reasons.append(f"algorithm {candidate.algorithm} is SyNAP's; SNPE has the options {', '.join(LEGACY + MODERN)}")
    if "delegate" in given:
        reasons.append("delegate is SyNAP's; SNPE has the option runtime")
    legacy, modern = sorted(given.keys() & set(LEGACY)), sorted(given.keys() & set(MODERN))
    if legacy and modern:
        reasons.append(f"{', '.join(legacy)} cannot be combined with {', '.join(modern)}: qairt-quantizer refuses it")
    if candidate.base_type is DataType.FLOAT16:
        if quantizer := sorted(given.keys() & set(QUANTIZER_OPTIONS)):
            reasons.append(f"{', '.join(quantizer)}: base fp16 runs no quantizer")
    elif candidate.option("runtime") != "dsp":
        runtime = candidate.option("runtime")
        reasons.append(f"runtime {runtime} computes in float whatever the types are: give it base fp16")
    return reasons


def _wide_weights(graph: ModelGraph, candidate: Candidate) -> list[str]:
    """16-bit weights are symmetric, per tensor, and have 16-bit activations (the last is how types are named)."""
    types = graph.assign(candidate)
    wide = [u.name for u in graph.units if u.kind in WEIGHTED and types.get(u.name) is DataType.A16W16]
    if not wide:
        return []
    more = f" and {len(wide) - 1} more" if len(wide) > 1 else ""
    reasons = []
    if candidate.option("weights") == "per_channel":
        reasons.append(f"unit {wide[0]!r}{more}: HTP has no per-channel weights of 16 bits; use weights: per_tensor")
    if candidate.option("matmul_weights") == "per_row":
        reasons.append(f"unit {wide[0]!r}{more}: HTP has no per-row weights of 16 bits; use matmul_weights: per_tensor")
    if candidate.option("param_schema") == "asymmetric":
        reasons.append(f"unit {wide[0]!r}{more}: weights of 16 bits must be symmetric, not param_schema: asymmetric")
    return reasons
