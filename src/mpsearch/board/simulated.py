"""A board that is a cost model: no device, the same answer every time, every number labelled simulated."""

from __future__ import annotations

from mpsearch.board.cost import CostModel
from mpsearch.board.profile import Profile
from mpsearch.evaluate import Artifact
from mpsearch.graph.model import ModelGraph
from mpsearch.record import Timing


class SimulatedBoard:
    """Implements :class:`~mpsearch.evaluate.Board` with :class:`~mpsearch.board.cost.CostModel`.

    Attributes:
        model: the cost model, for searches and reports that want its terms.
    """

    def __init__(self, profile: Profile, graph: ModelGraph) -> None:
        self.model = CostModel(profile, graph)

    def time(self, artifact: Artifact) -> Timing:
        """One predicted sample, for the types that were really built.

        Raises:
            CandidateError: a preprocessing the model does not know.
        """
        cost = self.model.estimate(artifact.candidate, artifact.types)
        parts_ms = {part: ms for part, ms in cost.parts_ms.items() if ms > 0}
        return Timing((cost.total_ms,), source="simulated", board=self.model.profile.name, parts_ms=parts_ms)

    def close(self) -> None:
        """Nothing is held."""
