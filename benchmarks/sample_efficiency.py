"""How many evaluations does each search need? Recorded networks and synthetic ones, every method, many seeds.

Printed for each world: median and quartiles over the seeds of the share of the true hypervolume (cut at the budget)
and of the regret (best error within the budget over the optimum) after 10, 20, 30, 40 and 60 evaluations. What a
method asks of the cheap rung (few photographs) is added to its evaluations. Results go to a file line by line: a
stopped run goes on.

    python benchmarks/sample_efficiency.py --seeds 20 --results efficiency.jsonl --plot efficiency.png
    python benchmarks/sample_efficiency.py --smoke
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from efficiency import methods, report
from efficiency.scores import curve
from efficiency.synthetic import synthetic
from efficiency.worlds import World, recorded

ORACLES = Path(__file__).parent / "oracles"
Make = Callable[[int], World]


def worlds() -> dict[str, Make]:
    """Name -> world by seed; a recorded network keeps its errors and draws its hidden latencies."""
    found: dict[str, Make] = {}
    for path in sorted(ORACLES.glob("*.npz")):
        for times in (1.1, 1.25, 1.75):
            found[f"{path.stem} x{times}"] = lambda seed, p=path, t=times: recorded(p, t, seed=seed)
        found[f"{path.stem} wrong profile"] = lambda seed, p=path: recorded(p, 1.25, spread=0.5, seed=seed)
    synth: dict[str, dict[str, Any]] = {
        "chain 24": {"groups": 24, "budget_times": 1.75},
        "chain 10, strong interactions": {"groups": 10, "types": 3, "interaction": 2.0},
        "chain 24, wrong profile": {"groups": 24, "spread": 0.5, "budget_times": 1.75},
        "chain 12, noise 5 %": {"groups": 12, "types": 2, "noise": 0.05},
        "chain 12, drift 4 %": {"groups": 12, "types": 2, "drift": 0.04},
        "chain 12, failures": {"groups": 12, "types": 2, "fails": (((2, 1), (5, 1)), ((7, 1), (8, 0)))},
        "wide 12": {"groups": 12, "types": 2, "shape": "wide"},
        "budget below all-8-bit": {"groups": 10, "types": 2, "budget_times": 0.97},
        "everything fits": {"groups": 10, "types": 2, "budget_times": 4.0},
        "one group": {"groups": 1, "types": 3, "budget_times": 3.0},
        "chain 60": {"groups": 60, "budget_times": 1.5},
    }
    for name, options in synth.items():
        found[name] = partial(
            lambda seed, name, options: synthetic(name, seed=seed, **options), name=name, options=options
        )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", nargs="*", default=[], help="names (or beginnings of names); all without it")
    parser.add_argument("--methods", nargs="*", default=[])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--evaluations", type=int, default=60)
    parser.add_argument("--results", type=Path, default=None)
    parser.add_argument("--plot", type=Path, default=None)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    known = worlds()
    names = [n for n in known if not options.worlds or any(n.startswith(w) for w in options.worlds)]
    chosen = options.methods or list(methods.METHODS)
    if options.smoke:
        names, chosen = (
            ["chain 10, strong interactions", "one group"],
            ["guided", "random", "TPE", "ILP", "greedy forward"],
        )
        options.seeds, options.evaluations = 2, 16
    absent = [name for name in chosen if not methods.available(name)]
    if absent:
        print(f"NOT RUN: {', '.join(absent)} (PyTorch is not installed: pip install 'mpsearch[gp]')")
        chosen = [name for name in chosen if name not in absent]
    rows = _read(options.results)
    jobs = [
        (world, method, seed, options.evaluations)
        for world in names
        for seed in range(options.seeds)
        for method in chosen
        if (world, method, seed, options.evaluations) not in rows
    ]
    _work(jobs, rows, options)
    rows = report.against_all(rows)
    report.tables(names, chosen, options, rows)
    if options.plot:
        report.plot(names, chosen, options, rows, options.plot)
    return 0


def _work(jobs: Sequence[tuple[str, str, int, int]], rows: dict[Any, Any], options: argparse.Namespace) -> None:
    start = time.monotonic()
    with ProcessPoolExecutor(options.processes) as pool:
        futures = {pool.submit(one, *job): job for job in jobs}
        for done, future in enumerate(as_completed(futures), 1):
            job, row = futures[future], future.result()
            rows[job] = row
            if options.results:
                with options.results.open("a") as out:
                    out.write(json.dumps([list(job), row]) + "\n")
            if done % 20 == 0:
                print(f"{done}/{len(jobs)} runs, {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)


def one(name: str, method: str, seed: int, evaluations: int) -> dict[str, Any]:
    """One run: its curve over evaluations, the cheap rung's share in front."""
    start = time.perf_counter()
    world = _world(name, seed)
    session = methods.run(world, method, seed, evaluations)
    found = curve(world, session.visited)
    nothing = {"volume": 0.0, "regret": math.inf}
    shift = min(math.ceil(session.free), evaluations)
    found = [nothing] * shift + found
    found += [found[-1] if found else nothing] * (evaluations - len(found))
    cut = found[:evaluations]
    return {
        "volume": [round(step["volume"], 4) for step in cut],
        "regret": [round(step["regret"], 4) if math.isfinite(step["regret"]) else None for step in cut],
        "evaluations": len(session.visited),
        "cheap": round(session.free, 2),
        "seconds": round(time.perf_counter() - start, 2),
    }


@lru_cache(maxsize=4)
def _world(name: str, seed: int) -> World:
    """Kept for the next method: finding the true best takes seconds."""
    return worlds()[name](seed)


def _read(path: Path | None) -> dict[Any, Any]:
    if path is None or not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}]")]
    return {(job[0], job[1], job[2], job[3]): row for job, row in rows}


if __name__ == "__main__":
    sys.exit(main())
