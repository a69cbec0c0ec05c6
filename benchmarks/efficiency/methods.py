"""Searchers, all under the same rules: at most so many evaluations, each assignment measured once, the same first ones
(each type everywhere), and the same free knowledge for all that can use any."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import optuna

from efficiency.table import Chosen
from efficiency.worlds import GroupPrior, World
from mpsearch.candidate import Candidate
from mpsearch.pareto.limits import Limits
from mpsearch.record import Measured, Record
from mpsearch.search import samplers
from mpsearch.search.guided import Context, GuidedSampler
from mpsearch.search.guided.features import Features
from mpsearch.search.guided.frames import Frames
from mpsearch.search.guided.solve import Model
from mpsearch.study.ledger import Ledger
from mpsearch.study.run import StudyRun

_REPEATS = 20


class OverError(Exception):
    """The evaluations are used up."""


@dataclass
class Session:
    """One run; :meth:`evaluate` counts.

    Attributes:
        visited: true values in order, None for what does not compile.
        free: evaluations' worth of cheap calls.
    """

    world: World
    seed: int
    evaluations: int
    rng: np.random.Generator = field(init=False)
    visited: list[tuple[float, float] | None] = field(default_factory=list)
    records: dict[Chosen, Record] = field(default_factory=dict)
    asked: dict[Chosen, float | None] = field(default_factory=dict)
    _repeats: int = 0

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng([3, self.seed])

    @property
    def free(self) -> float:
        return self.world.cheap_cost * len(self.asked)

    def evaluate(self, chosen: Sequence[int]) -> tuple[float, float] | None:
        """Measured latency and error; known ones from the record, for nothing."""
        key = tuple(int(c) for c in chosen)
        if key not in self.records:
            if len(self.visited) + math.ceil(self.free) >= self.evaluations:
                raise OverError
            self._repeats = 0
            noise = np.random.default_rng([9, self.seed, *key])
            self.records[key] = self.world.record(key, noise, len(self.visited))
            self.visited.append(self.world.value(key))
        else:
            self._repeats += 1
            if self._repeats > _REPEATS * (1 + len(self.records)):  # nothing new is found any more
                raise OverError
        outcome = self.records[key].outcome
        return (outcome.timing.median_ms, outcome.score.objective) if isinstance(outcome, Measured) else None

    def cheap(self, chosen: Sequence[int]) -> float | None:
        key = tuple(int(c) for c in chosen)
        if key not in self.asked:
            self.asked[key] = self.world.truth.cheap_px2(key)
        return self.asked[key]

    def uniforms(self) -> list[Chosen]:
        return [(kind,) * self.world.groups for kind in range(self.world.types)]


def random(session: Session) -> None:
    while True:
        session.evaluate(session.rng.integers(0, session.world.types, session.world.groups))


def uniform(session: Session) -> None:
    """Nothing but the uniforms."""


def tails(session: Session) -> None:
    """Bisection for the longest tail within the budget in each wider type, then all others."""
    world = session.world
    for kind in range(1, world.types):
        low, high = 0, world.groups
        while low < high:
            middle = (low + high + 1) // 2
            found = session.evaluate(_tail(world.groups, middle, kind))
            low, high = (middle, high) if found and found[0] <= world.budget_ms else (low, middle - 1)
    for kind in range(1, world.types):
        for length in range(world.groups, 0, -1):
            session.evaluate(_tail(world.groups, length, kind))


def _tail(groups: int, length: int, kind: int) -> Chosen:
    return (0,) * (groups - length) + (kind,) * length


def sensitivities(session: Session) -> np.ndarray:
    """[groups, types] px^2: one group low in a network that is high elsewhere, on few photographs."""
    world = session.world
    high = (world.types - 1,) * world.groups
    floor = session.cheap(high) or 0.0
    found = np.zeros((world.groups, world.types))
    for group in range(world.groups):
        for kind in range(world.types - 1):
            error = session.cheap((*high[:group], kind, *high[group + 1 :])) or 0.0
            found[group, kind] = max(error - floor, 1e-3 * floor, 1e-9)
    return found


def greedy(session: Session, *, forward: bool) -> None:
    """AIMET AMP's way: groups in the order of what they gain for what they cost, one more each time; forward from all
    low, backward from all high; kinds one after another."""
    world, gains = session.world, sensitivities(session)
    for kind in range(1, world.types):
        cost = np.maximum(world.parts.unit_ms[:, kind] - world.parts.unit_ms[:, 0], 1e-9)
        order = np.argsort(-(gains[:, 0] - gains[:, kind]) / cost)
        steps = range(1, world.groups) if forward else range(world.groups - 1, 0, -1)
        for count in steps:
            chosen = np.zeros(world.groups, dtype=int)
            chosen[order[:count]] = kind
            session.evaluate(chosen)
    local(session)


def ilp(session: Session, *, switches: bool) -> None:
    """One-shot: exact solutions of the prior and the sensitivities, spread over the budget range, each once."""
    for chosen in ilp_points(session, session.evaluations, switches=switches):
        session.evaluate(chosen)


def ilp_points(session: Session, count: int, *, switches: bool) -> list[Chosen]:
    world, gains = session.world, sensitivities(session)
    features = Features(world.space, GroupPrior(world.graph, world.parts, switches=switches))
    frame = Frames(world.space).at({})
    tables = features.tables(frame)
    weights = np.array([1.0 if term[0] in ("fixed", "unit", "edge") else 0.0 for term in features.latency.index])
    low = session.evaluate((0,) * world.groups)
    expected = float(features.latency_rows(frame, np.zeros((1, world.groups), dtype=np.int64))[0] @ weights)
    scale = low[0] / expected if low else 1.0
    found: list[np.ndarray] = []
    model = Model(frame, tables, weights)
    errors = [gains[group, : frame.counts[group]] for group in range(world.groups)]
    for share in _spread(count):
        target = expected + share * (world.budget_ms / scale - expected)
        solved = model.solve(errors, target, found)
        if solved is not None:
            found.append(solved)
    return [tuple(int(c) for c in chosen) for chosen in found]


def _spread(count: int) -> list[float]:
    """The budget itself first, then ever finer steps."""
    found, step = [1.0], 2
    while len(found) < count:
        found += [share for share in (i / step for i in range(step - 1, 0, -1)) if share not in found]
        step *= 2
    return found[:count]


def local(session: Session) -> None:
    """Single changes of the best within the budget (by error), from a random start when nothing betters it."""
    world = session.world
    while True:
        known = {key: session.evaluate(key) for key in list(session.records)}
        within = {k: v for k, v in known.items() if v is not None and v[0] <= world.budget_ms}
        start = min(within, key=lambda key: within[key][1]) if within else (0,) * world.groups
        moves = [
            (*start[:g], kind, *start[g + 1 :])
            for g in range(world.groups)
            for kind in range(world.types)
            if kind != start[g]
        ]
        fresh = [move for move in moves if move not in session.records]
        if fresh:
            session.evaluate(fresh[session.rng.integers(len(fresh))])
        else:
            session.evaluate(session.rng.integers(0, world.types, world.groups))


class _Evaluator:
    def __init__(self, session: Session) -> None:
        self._session = session

    def evaluate(self, candidate: Candidate) -> Record:
        chosen = self._session.world.chosen(candidate)
        self._session.evaluate(chosen)
        return self._session.records[chosen]


def study(session: Session, name: str, *, warm: bool = False, without: str = "") -> None:
    """A sampler in the product's own loop, which answers duplicates for nothing."""
    world = session.world
    limits = Limits(world.budget_ms)
    context = None
    if name == "guided":
        context = Context(
            world.space, limits, None if without == "prior" else GroupPrior(world.graph, world.parts),
            None if without == "cheap" else lambda candidate: session.cheap(world.chosen(candidate)),
            world.cheap_cost, 0.25, planned=session.evaluations, parts=frozenset(PARTS) - {without},
        )  # fmt: skip
    seeds = session.uniforms()
    if warm:
        seeds += ilp_points(session, 8, switches=True)

    def make(trials: int) -> optuna.samplers.BaseSampler:
        return GuidedSampler(context, session.seed) if context else samplers.create(name, session.seed, trials)

    ledger = Ledger.create(optuna.storages.InMemoryStorage(), world.name, {}, limits)
    run = StudyRun(
        ledger, world.space, _Evaluator(session), limits=limits, seed=session.seed,
        seeds=[world.candidate(chosen) for chosen in seeds],
        sampler=make,
    )  # fmt: skip
    run.run(session.evaluations)


PARTS = ("exact", "remainder", "draws", "free")

Method = Callable[[Session], None]
METHODS: dict[str, Method] = {
    "guided": partial(study, name="guided"),
    "random": random,
    "uniform": uniform,
    "tails": tails,
    "greedy forward": partial(greedy, forward=True),
    "greedy backward": partial(greedy, forward=False),
    "ILP, no switches": partial(ilp, switches=False),
    "ILP": partial(ilp, switches=True),
    "local search": local,
    "NSGA-II": partial(study, name="nsga2"),
    "TPE": partial(study, name="tpe"),
    "GP": partial(study, name="gp"),
    "NSGA-II, warm": partial(study, name="nsga2", warm=True),
    "TPE, warm": partial(study, name="tpe", warm=True),
    "guided - prior": partial(study, name="guided", without="prior"),
    "guided - cheap rung": partial(study, name="guided", without="cheap"),
    "guided - exact": partial(study, name="guided", without="exact"),
    "guided - remainder": partial(study, name="guided", without="remainder"),
    "guided - draws": partial(study, name="guided", without="draws"),
    "guided - blind": partial(study, name="guided", without="free"),
}
BASELINES = tuple(name for name in METHODS if not name.startswith("guided"))


def available(name: str) -> bool:
    """GP needs PyTorch."""
    return name != "GP" or importlib.util.find_spec("torch") is not None


def run(world: World, method: str, seed: int, evaluations: int) -> Session:
    """One run from start to end."""
    session = Session(world, seed, evaluations)
    try:
        for chosen in session.uniforms():
            session.evaluate(chosen)
        METHODS[method](session)
    except OverError:
        pass
    return session
