"""Why a candidate does not fit its graph, whoever builds it; each vendor's rules add their own reasons."""

from __future__ import annotations

import difflib

from mpsearch.candidate import Candidate
from mpsearch.errors import ModelError
from mpsearch.graph.model import ModelGraph, Role


def overrides(graph: ModelGraph, candidate: Candidate) -> list[str]:
    """Units that do not exist, or that choose no type."""
    carriers = [
        f"unit {name!r} only carries a type and cannot be given {kind}"
        for name, kind in candidate.overrides
        if name in graph.unit and graph.unit[name].role is Role.TRANSPARENT
    ]
    return [*unknown(graph, candidate), *carriers]


def unknown(graph: ModelGraph, candidate: Candidate) -> list[str]:
    """Units that do not exist."""
    reasons = []
    for name, _ in candidate.overrides:
        if name not in graph.unit:
            close = difflib.get_close_matches(name, graph.unit, n=1)
            reasons.append(f"no unit {name!r}" + (f"; nearest: {close[0]!r}" if close else ""))
    return reasons


def delivery(graph: ModelGraph, candidate: Candidate) -> list[str]:
    """Outputs and cuts that the model has not, and tensors that would be delivered twice."""
    try:
        delivered = graph.delivered(candidate)
    except ModelError as error:
        return [error.message]
    tensors = [tensor for several in delivered.values() for tensor in several]
    return [f"tensor {t} would be delivered twice" for t in dict.fromkeys(tensors) if tensors.count(t) > 1]
