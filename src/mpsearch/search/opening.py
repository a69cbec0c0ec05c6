"""For a study: a sampler, with what it may know and what it wants tried first; and the ladder up to its board."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache as cache_of
from math import inf
from pathlib import Path

import optuna

from mpsearch.board.parameters import VeriSilicon
from mpsearch.candidate import Candidate
from mpsearch.device import spec as device
from mpsearch.errors import ConfigError
from mpsearch.evaluate import Artifact
from mpsearch.pareto.limits import Limits
from mpsearch.quant.simulator import Simulator
from mpsearch.record import ACUITY, PHOTOGRAPHS, Score
from mpsearch.search import guided, hints, samplers
from mpsearch.search.final import expected_ms
from mpsearch.search.guided.context import PlainPrior
from mpsearch.search.guided.few import FewPhotographs
from mpsearch.search.ladder import Ladder, Look
from mpsearch.search.prior import prior_of
from mpsearch.search.twins import Twin
from mpsearch.study.ledger import Ledger
from mpsearch.toolchain.acuity import environment
from mpsearch.toolchain.acuity.engine import Engine
from mpsearch.toolchain.acuity.toolchain import AcuityExecutor, AcuityToolchain
from mpsearch.workbench import Workbench


def open_sampler(
    name: str,
    bench: Workbench,
    limits: Limits,
    *,
    seed: int,
    total: int,
    cache: Path,
    twin: Twin = lambda _: None,
    rivals: guided.Rivals | None = None,
    left_s: Callable[[], float] = lambda: inf,
) -> tuple[Callable[[int], optuna.samplers.BaseSampler], tuple[Candidate, ...]]:
    """What :class:`mpsearch.study.run.StudyRun` takes as ``sampler`` and ``seeds``.

    Args:
        total: evaluations that the study will have.
        cache: folder for what can be computed again.
        twin: what identifies a candidate's outcome (:func:`mpsearch.search.twins.of`).
        rivals: where the study has several models: what ``guided`` is told of the others.
        left_s: seconds that may go to few photographs yet (:meth:`mpsearch.search.ladder.Ladder.left_s`).

    Raises:
        ConfigError, SetupError: see :func:`mpsearch.search.samplers.create`.
    """
    study = bench.bench.study
    if name != "guided":
        return lambda trials: samplers.create(name, seed, trials), bench.space.seeds(study.seeds)
    few = FewPhotographs(bench.scorer, bench.calibration, cache=cache)
    context = guided.Context(
        bench.space,
        limits,
        prior=prior_of(bench.bench, cache),
        cheap_error=few,
        cheap_cost=few.cost,
        cheap_left_s=left_s,
        planned=total,
        cheap_known=few.known,
        twin=twin,
        hints=hints.by_group(bench.space, few.simulator.entropy()),
        rivals=rivals,
        shelf=bench.bench.shelf,
    )
    return lambda trials: samplers.create(name, seed, trials, context=context), guided.seeds(bench.space, study.seeds)


def open_ladder(bench: Workbench, ledger: Ledger, limits: Limits, *, cache: Path) -> Ladder:
    """What :class:`mpsearch.study.run.StudyRun` takes as ``evaluator``: with a look on this computer before a board.

    Args:
        cache: folder for what can be computed again.

    Raises:
        ConfigError: ``ladder.acuity`` on a board that the engine is not for.
        SetupError: ``ladder.acuity``, and the engine is not installed.
    """
    space, wanted = bench.space, bench.bench.study.ladder
    looks = wanted.share > 0 and device.is_spec(bench.bench.target)
    return Ladder(
        bench.evaluator, ledger, limits, lambda candidate: space.illegal(space.graph, candidate),
        _look(bench, cache) if looks else None,
    )  # fmt: skip


def _look(bench: Workbench, cache: Path) -> Look:
    wanted, space, scorer = bench.bench.study.ladder, bench.space, bench.scorer
    prior = prior_of(bench.bench, cache) or PlainPrior(bench.graph)

    @cache_of
    def latency_ms(candidate: Candidate) -> float:
        return expected_ms(prior, space, candidate)

    if wanted.acuity:
        if not isinstance(bench.bench.profile, VeriSilicon):
            raise ConfigError(
                f"{bench.bench.study.path}: ladder.acuity: the engine is for boards with SyNAP's toolkit",
                hint="Leave it out for this target.",
            )
        engine = Engine(environment.find().require(), cache / "acuity")
        toolchain = AcuityToolchain(
            bench.graph, bench.calibration, bench.evaluation, bench.io, bench.bench.profile.name, engine, compiles=False
        )
        executor = AcuityExecutor(bench.graph)
        return Look(
            ACUITY, lambda c: scorer.score(executor.batches(toolchain.build(c))), False, latency_ms, wanted.share,
            engine.close,
        )  # fmt: skip
    own = bench.target.executor
    exact = isinstance(own, Simulator)
    simulator = own if isinstance(own, Simulator) else Simulator(
        bench.graph, bench.calibration, bench.evaluation, cache=cache
    )  # fmt: skip
    _ = simulator.statistics  # calibrated now: it would make the first look seem as dear as a trial

    def score(candidate: Candidate) -> Score:
        return scorer.score(simulator.batches(Artifact(candidate, bench.graph.assign(candidate))))

    return Look(PHOTOGRAPHS, score, exact, latency_ms, wanted.share)
