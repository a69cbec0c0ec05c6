"""How long does a proposal take, and which exact solver is faster: mixed-integer or dynamic programming?

Two tables. *Solvers*: the least error within a latency, changes of type exact, on synthetic networks of many units;
``same`` says that both found the same error (within the solver's gap). The dynamic program sweeps the units in
execution order; its state is the type of every unit that a later one still reads, and for each state it keeps the
Pareto front of latency and error, thinned to ``--width`` points (no longer exact where that is too few). *Proposals*:
fitting both models to so many trials, filling the pool and choosing. CPU seconds, BLAS on one thread.

    OMP_NUM_THREADS=1 python benchmarks/proposals.py [--smoke]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np

from efficiency.synthetic import synthetic
from efficiency.worlds import GroupPrior, World
from mpsearch.pareto.limits import Limits
from mpsearch.search.guided import Context
from mpsearch.search.guided.engine import Engine
from mpsearch.search.guided.features import Features
from mpsearch.search.guided.frames import Frames
from mpsearch.search.guided.solve import Model

NETWORKS = ((24, 3, "chain"), (60, 3, "chain"), (12, 3, "wide"), (60, 3, "wide"), (200, 3, "chain"))
STATES_AT_MOST = 20_000
"""A wide graph has 3^branches states: the dynamic program gives up there."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="small networks, a few seconds")
    parser.add_argument("--width", type=int, default=400, help="points a state of the dynamic program keeps")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    networks = ((12, 3, "chain"), (8, 3, "wide")) if options.smoke else NETWORKS
    solvers = [solver_row(*network, options.width) for network in networks]
    sizes = ((16, 2, 12),) if options.smoke else ((16, 3, 30), (60, 3, 40), (200, 3, 40))
    proposals = [proposal_row(*size) for size in sizes]
    _print("Solvers", solvers)
    _print("Proposals", proposals)
    if options.json:
        options.json.write_text(json.dumps({"solvers": solvers, "proposals": proposals}, indent=2))
    return 0


def solver_row(groups: int, types: int, shape: str, width: int) -> dict[str, Any]:
    """One network at three targets."""
    world = synthetic("network", groups=groups, types=types, shape=shape, seed=1)
    error = world.truth.power[:, :types]
    low = float(world.parts.unit_ms[:, 0].sum()) + world.parts.fixed_ms
    features = Features(world.space, GroupPrior(world.graph, world.parts))
    frame = Frames(world.space).at({})
    tables = features.tables(frame)
    weights = np.array([float(term[0] in ("fixed", "unit", "edge")) for term in features.latency.index])
    milp_s, dp_s, same = [], [], True
    for times in (1.1, 1.25, 1.75):
        begin = time.process_time()
        chosen = Model(frame, tables, weights).solve(list(error), times * low, [])
        milp_s.append(time.process_time() - begin)
        begin = time.process_time()
        least = dynamic(world, error, times * low, width)
        dp_s.append(time.process_time() - begin)
        if least is not None and chosen is not None:
            found = float(error[np.arange(groups), chosen].sum())
            same = same and abs(found - least) <= 0.01 * least + 2e-3 * float(error.max())
    gave_up = least is None
    return {
        "units": groups, "types": types, "shape": shape, "milp_s": float(np.median(milp_s)),
        "dp_s": None if gave_up else float(np.median(dp_s)), "same": None if gave_up else same,
    }  # fmt: skip


def dynamic(world: World, error: np.ndarray, target_ms: float, width: int) -> float | None:
    """The least summed error within ``target_ms``; None where the graph is too wide."""
    parts, types = world.parts, world.types
    last = {a: max(b for x, b in parts.edges if x == a) for a, _ in parts.edges if a >= 0}
    into: dict[int, list[tuple[int, np.ndarray]]] = {}
    for (a, b), table in zip(parts.edges, parts.edge_ms, strict=True):
        into.setdefault(b, []).append((a, table))
    cheapest = np.concatenate([np.cumsum(parts.unit_ms.min(axis=1)[::-1])[::-1], [0.0]])
    open_units: tuple[int, ...] = ()
    states: dict[tuple[int, ...], np.ndarray] = {(): np.array([[parts.fixed_ms, 0.0]])}
    for unit in range(world.groups):
        kept = tuple(u for u in (*open_units, unit) if last.get(u, -1) > unit)
        grown: dict[tuple[int, ...], list[np.ndarray]] = {}
        for state, points in states.items():
            kinds = dict(zip(open_units, state, strict=True))
            for kind in range(types):
                switched = sum(table[0 if a < 0 else kinds[a], kind] for a, table in into.get(unit, []))
                step = np.array([parts.unit_ms[unit, kind] + switched, error[unit, kind]])
                key = tuple(kind if u == unit else kinds[u] for u in kept)
                grown.setdefault(key, []).append(points + step)
        if len(grown) > STATES_AT_MOST:
            return None
        limit = target_ms - cheapest[unit + 1]
        states = {key: pruned for key, p in grown.items() if len(pruned := _prune(np.concatenate(p), limit, width))}
        open_units = kept
    return min((float(points[:, 1].min()) for points in states.values()), default=None)


def _prune(points: np.ndarray, limit_ms: float, width: int) -> np.ndarray:
    """The Pareto front within the limit, thinned evenly in latency."""
    points = points[points[:, 0] <= limit_ms]
    points = points[np.lexsort((points[:, 1], points[:, 0]))]
    best = np.minimum.accumulate(points[:, 1]) if len(points) else points[:, 1]
    points = points[np.concatenate([[True], best[1:] < best[:-1]])] if len(points) else points
    if len(points) <= width:
        return points
    return points[np.unique(np.linspace(0, len(points) - 1, width).astype(int))]


def proposal_row(groups: int, types: int, trials: int) -> dict[str, Any]:
    """The next proposal of a study of ``trials`` trials; the second one, when all tables are there."""
    world = synthetic("network", groups=groups, types=types, seed=1, budget_times=1.5)
    limits = Limits(world.budget_ms)
    context = Context(
        world.space, limits, GroupPrior(world.graph, world.parts),
        lambda candidate: world.truth.cheap_px2(world.chosen(candidate)), 0.1, 0.25,
        planned=60,
    )  # fmt: skip
    engine, rng = Engine(context), np.random.default_rng(0)
    drawn = [(0,) * groups, (types - 1,) * groups, *(tuple(rng.integers(0, types, groups)) for _ in range(trials - 2))]
    records = [world.record(chosen, rng, index) for index, chosen in enumerate(drawn)]
    engine.propose(records[:-1], [], rng)
    begin, wall = time.process_time(), time.perf_counter()
    engine.propose(records, [], rng)
    return {
        "units": groups, "types": types, "trials": trials, "cpu_s": time.process_time() - begin,
        "wall_s": time.perf_counter() - wall,
    }  # fmt: skip


def _print(title: str, rows: list[dict[str, Any]]) -> None:
    print(f"\n## {title}\n\n| {' | '.join(rows[0])} |\n{'|---' * len(rows[0])}|")
    for row in rows:
        cells = (f"{v:.3f}" if isinstance(v, float) else "gave up" if v is None else str(v) for v in row.values())
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    sys.exit(main())
