"""A sampler for a study, with what it may know and what it wants tried first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import optuna

from mpsearch.board.cost import CostModel
from mpsearch.candidate import Candidate
from mpsearch.device import unittimes
from mpsearch.pareto.limits import Limits
from mpsearch.search import guided, hints, samplers
from mpsearch.search.guided.few import FewPhotographs
from mpsearch.search.twins import Twin
from mpsearch.workbench import Workbench


def open_sampler(
    name: str, bench: Workbench, limits: Limits, *, seed: int, total: int, cache: Path, twin: Twin = lambda _: None
) -> tuple[Callable[[int], optuna.samplers.BaseSampler], tuple[Candidate, ...]]:
    """What :class:`mpsearch.study.run.StudyRun` takes as ``sampler`` and ``seeds``.

    Args:
        total: evaluations that the study will have.
        cache: folder for what can be computed again.
        twin: what identifies a candidate's outcome (:func:`mpsearch.search.twins.of`).

    Raises:
        ConfigError, SetupError: see :func:`mpsearch.search.samplers.create`.
    """
    study = bench.bench.study
    if name != "guided":
        return lambda trials: samplers.create(name, seed, trials), bench.space.seeds(study.seeds)
    few = FewPhotographs(bench.scorer, bench.calibration, cache=cache)
    expected, profile = None, bench.bench.profile
    if profile is not None:  # a cost model, corrected by what a board said of the units where it was asked
        expected = unittimes.prior(cache, bench.graph, bench.target.name, CostModel(profile, bench.graph))
    context = guided.Context(
        bench.space,
        limits,
        prior=expected,
        cheap_error=few,
        cheap_cost=few.cost,
        planned=total,
        cheap_known=few.known,
        twin=twin,
        hints=hints.by_group(bench.space, few.simulator.entropy()),
    )
    return lambda trials: samplers.create(name, seed, trials, context=context), guided.seeds(bench.space, study.seeds)
