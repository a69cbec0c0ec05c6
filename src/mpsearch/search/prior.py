"""What latency a search expects of each part, before it has measured anything: one answer for all who ask."""

from __future__ import annotations

from pathlib import Path

from mpsearch.board.cost import CostModel
from mpsearch.device import spec as device
from mpsearch.device import unittimes
from mpsearch.search.guided.context import Prior
from mpsearch.workbench import Bench


def prior_of(bench: Bench, cache: Path) -> Prior | None:
    """The target's cost model, corrected by what a board said of the units where it was asked; None without one.

    Args:
        cache: of the study, where ``mpsearch profile --time`` leaves what the board said.

    Raises:
        ConfigError: what it left cannot be read.
    """
    if bench.profile is None:
        return None
    model = CostModel(bench.profile, bench.graph)
    if not device.is_spec(bench.target):
        return model
    own = device.load(Path(bench.target)).name
    for board in dict.fromkeys((own, *bench.shelf)):  # of boards of one kind, what one said of the units holds for all
        found = unittimes.prior(cache, bench.graph, board, model)
        if found is not model:
            return found
    return model
