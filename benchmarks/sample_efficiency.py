"""How many evaluations does each search need? Recorded networks and synthetic ones, every method, many seeds.

Printed for each world: median and quartiles over the seeds of the share of the true hypervolume (cut at the budget)
after 10, 20, 40 and 60 evaluations, the evaluations until 95 % of it, the regret (best error within the budget over the
optimum) after 30, and the evaluations until it is at most 5 %. What a method asks of the cheap rung (few photographs)
is added to its evaluations. At the end what the guided search aims at, world by world: reached or missed. Results go to
a file line by line: a stopped run goes on.

    export OMP_NUM_THREADS=1
    python benchmarks/sample_efficiency.py --results efficiency.jsonl --plot efficiency.png
    python benchmarks/sample_efficiency.py --results efficiency.jsonl --parts recorded --worlds "yunet" --methods guided
    python benchmarks/sample_efficiency.py --smoke
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from efficiency import methods, plan, report
from efficiency.plan import Part
from efficiency.scores import curve
from efficiency.worlds import World
from mpsearch.errors import MpsearchError

Job = tuple[str, str, int, int]
"""World, method, seed, evaluations."""
SMOKE = Part(
    "A first look", ("chain 10, strong interactions", "one group"),
    ("guided", "random", "TPE", "ILP", "greedy forward"), 2, 16,
)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--parts", nargs="*", default=[], help="recorded, gp, units, hard, long, ablations; all without"
    )
    parser.add_argument("--worlds", nargs="*", default=[], help="names (or beginnings of names); all without it")
    parser.add_argument("--methods", nargs="*", default=[])
    parser.add_argument("--seeds", type=int, default=0, help="in place of each part's own number")
    parser.add_argument("--results", type=Path, default=None)
    parser.add_argument("--plot", type=Path, default=None)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--no-run", action="store_true", help="only show what the results file has")
    options = parser.parse_args()
    parts = [SMOKE] if options.smoke else _parts(options)
    rows = _read(options.results)
    if not options.no_run:
        try:
            _work([job for job in _jobs(parts) if job not in rows], rows, options)
        except MpsearchError as error:
            print(error, file=sys.stderr)
            return 1
    _show(parts, report.against_all(rows), options.plot)
    return 0


def _parts(options: argparse.Namespace) -> list[Part]:
    """Those asked for, narrowed to the worlds, methods and seeds asked for."""
    found = []
    for name, part in plan.parts(list(plan.worlds())).items():
        if options.parts and name not in options.parts:
            continue
        chosen = tuple(w for w in part.worlds if not options.worlds or any(w.startswith(o) for o in options.worlds))
        able = [m for m in part.methods if not options.methods or m in options.methods]
        absent = [method for method in able if not methods.available(method)]
        if absent and not options.no_run:
            print(f"NOT RUN: {', '.join(absent)} (PyTorch is not installed: pip install 'mpsearch[gp]')")
            able = [method for method in able if method not in absent]
        found.append(replace(part, worlds=chosen, methods=tuple(able), seeds=options.seeds or part.seeds))
    return found


def _jobs(parts: Sequence[Part]) -> list[Job]:
    """Seed by seed, so that a stopped run has something of everything."""
    jobs = {
        (world, method, seed, part.evaluations): None
        for part in parts
        for world in part.worlds
        for seed in range(part.seeds)
        for method in part.methods
    }
    return list(jobs)


def _work(jobs: Sequence[Job], rows: dict[Any, Any], options: argparse.Namespace) -> None:
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
    """One run: its curve over evaluations, the cheap rung's share in front; CPU seconds."""
    world = _world(name, seed)
    start = time.process_time()
    session = methods.run(world, method, seed, evaluations)
    seconds = time.process_time() - start
    found = curve(world, session.visited)
    nothing = {"volume": 0.0, "regret": math.inf}
    shift = min(math.ceil(session.free), evaluations)
    found = [nothing] * shift + found
    found += [found[-1] if found else nothing] * (evaluations - len(found))
    cut = found[:evaluations]
    volume, error = world.best
    return {
        "volume": [round(step["volume"], 4) for step in cut],
        "regret": [round(step["regret"], 4) if math.isfinite(step["regret"]) else None for step in cut],
        "evaluations": len(session.visited),
        "cheap": round(session.free, 2),
        "seconds": round(seconds, 2),
        "true": [volume, error if math.isfinite(error) else None],
    }


@lru_cache(maxsize=4)
def _world(name: str, seed: int) -> World:
    """Kept for the next method: finding the true best takes seconds."""
    return plan.worlds()[name](seed)


def _show(parts: Sequence[Part], rows: dict[Any, Any], picture: Path | None) -> None:
    """Parts with the same worlds and evaluations share a table."""
    together: dict[str, dict[str, report.Runs]] = {}
    for part in parts:
        for world in part.worlds:
            found = report.gather(rows, world, part.methods, part.seeds, part.evaluations)
            if found:
                together[world] = {**together.get(world, {}), **found}
    for world, runs in together.items():
        report.table(world, runs)
    report.goals(together)
    if picture and together:
        report.plot(together, picture)


def _read(path: Path | None) -> dict[Any, Any]:
    if path is None or not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}]")]
    return {(job[0], job[1], job[2], job[3]): row for job, row in rows}


if __name__ == "__main__":
    sys.exit(main())
