"""What the host target cannot build."""

from __future__ import annotations

from mpsearch.candidate import Candidate, DataType, Scheme
from mpsearch.graph.model import ModelGraph
from mpsearch.toolchain import refusals


def illegal(graph: ModelGraph, candidate: Candidate) -> tuple[str, ...]:
    """Why ``candidate`` cannot be built for onnxruntime on this computer; empty when nothing is against it.

    int16 is refused and not emulated: onnxruntime has no 16-bit convolution for CPUs, so it would run in float32 with
    conversions around each layer, slower than float32 and less exact.
    """
    if candidate.scheme is Scheme.ENCODINGS:
        return (f"base {candidate.base} is SNPE's; here are uint8, the int8 ones and float16",)
    reasons = []
    kinds = {candidate.base_type, *(kind for _, kind in candidate.overrides)}
    if DataType.INT16 in kinds:
        reasons.append("int16: onnxruntime has no 16-bit kernels for CPUs; give these units float16 (float32 here)")
    narrow = sorted(str(kind) for kind in kinds if kind.bits == 8)
    if len(narrow) > 1 or (candidate.base_type is DataType.FLOAT16 and narrow):
        reasons.append(f"{' and '.join(narrow)} over {candidate.base}: a model has one 8-bit type, its base")
    if candidate.preprocess != "cpu":
        reasons.append(f"preprocessing {candidate.preprocess}: the host's camera frames are the CPU's work")
    return (*reasons, *refusals.unknown(graph, candidate), *refusals.delivery(graph, candidate))
