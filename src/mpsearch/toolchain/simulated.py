"""The toolchain of simulated boards: the vendor's rules, and otherwise everything is built as asked."""

from __future__ import annotations

from mpsearch.candidate import Candidate
from mpsearch.errors import CandidateError
from mpsearch.evaluate import Artifact
from mpsearch.graph.model import ModelGraph
from mpsearch.toolchain.synap import rules


class SimulatedToolchain:
    """Implements :class:`mpsearch.evaluate.Toolchain` for SyNAP's rules without a compiler."""

    def __init__(self, graph: ModelGraph) -> None:
        self._graph = graph

    def build(self, candidate: Candidate) -> Artifact:
        """Raises:
        CandidateError: SyNAP is known to refuse it.
        """
        if reasons := rules.illegal(self._graph, candidate):
            raise CandidateError("; ".join(reasons), stage="render", hint="The search learns this and goes on.")
        return Artifact(candidate, self._graph.assign(candidate))
