"""The toolchain of simulated boards: the vendor's rules, and otherwise everything is built as asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mpsearch.candidate import RUN_OPTIONS, Candidate
from mpsearch.errors import CandidateError
from mpsearch.evaluate import Artifact
from mpsearch.graph.model import ModelGraph


def untold(candidate: Candidate) -> tuple[str, ...]:
    """Why a cost model has no latency for this candidate: it knows the NPU alone, and no clocks."""
    return tuple(
        f"{name} {value}: the cost model of a simulated board knows {RUN_OPTIONS[name][0]} alone; it needs a real one"
        for name, value in candidate.options
        if name in RUN_OPTIONS
    )


class SimulatedToolchain:
    """Implements :class:`mpsearch.evaluate.Toolchain` without a compiler.

    Args:
        illegal: the vendor's rules: reasons why a candidate cannot be, none when it can.
    """

    def __init__(self, graph: ModelGraph, illegal: Callable[[ModelGraph, Candidate], Sequence[str]]) -> None:
        self._graph, self._illegal = graph, illegal

    def build(self, candidate: Candidate) -> Artifact:
        """Raises:
        CandidateError: the vendor is known to refuse it, or the board could not time it.
        """
        if reasons := (*self._illegal(self._graph, candidate), *untold(candidate)):
            raise CandidateError("; ".join(reasons), stage="render", hint="The search learns this and goes on.")
        return Artifact(candidate, self._graph.assign(candidate))
