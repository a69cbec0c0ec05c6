"""The toolchain of simulated boards: the vendor's rules, and otherwise everything is built as asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mpsearch.candidate import Candidate
from mpsearch.errors import CandidateError
from mpsearch.evaluate import Artifact
from mpsearch.graph.model import ModelGraph


class SimulatedToolchain:
    """Implements :class:`mpsearch.evaluate.Toolchain` without a compiler.

    Args:
        illegal: the vendor's rules: reasons why a candidate cannot be, none when it can.
    """

    def __init__(self, graph: ModelGraph, illegal: Callable[[ModelGraph, Candidate], Sequence[str]]) -> None:
        self._graph, self._illegal = graph, illegal

    def build(self, candidate: Candidate) -> Artifact:
        """Raises:
        CandidateError: the vendor is known to refuse it.
        """
        if reasons := self._illegal(self._graph, candidate):
            raise CandidateError("; ".join(reasons), stage="render", hint="The search learns this and goes on.")
        return Artifact(candidate, self._graph.assign(candidate))
