"""Does a search beat what is found by hand? A study against all uniforms and all tail splits of its own space.

For each study file, every uniform candidate and every tail split of its search space is scored and timed by the same
code, apart from the study; then the study runs (or is read, when it is stored). Printed: the hypervolume (log10 px^2 x
ms, cut at the budget and uncut) of uniforms and tails together against the study's, and the points of the study that
are no tail and beat every tail at their latency. Time and peak memory stand below.

    python benchmarks/front.py studies/yolov5n_face.yaml --trials 100 --json front.json
    python benchmarks/front.py --smoke
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mpsearch import canonical, config
from mpsearch.candidate import Candidate
from mpsearch.pareto.front import Objectives, Trial, front, hypervolume
from mpsearch.pareto.limits import Limits
from mpsearch.record import Record
from mpsearch.search.opening import open_sampler
from mpsearch.study.folder import cache_folder
from mpsearch.study.ledger import Ledger
from mpsearch.study.run import StudyRun
from mpsearch.study.storage import default_url
from mpsearch.testing.studies import small_study
from mpsearch.workbench import Workbench, open_workbench


def main() -> int:
    """Print the comparison; 0 when every study beats uniforms and tails together."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="*", type=Path)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--sampler", default="")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--storage", type=Path, default=None, help="folder for the studies' SQLite files")
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--smoke", action="store_true", help="a tiny model made on the fly, a few trials")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.storage or Path(scratch)
        paths = [small_study(Path(scratch), name="smoke")] if options.smoke else options.studies
        if not paths:
            parser.error("name a study file, or --smoke")
        trials = 24 if options.smoke else options.trials
        results = [compare(path, trials, options.sampler, options.seed, folder) for path in paths]
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0 if options.smoke or all(result["beats_hand_made"] for result in results) else 1


def compare(path: Path, trials: int, sampler: str, seed: int, folder: Path) -> dict[str, Any]:
    """One study's table, printed and returned."""
    study = config.load(path)
    start = time.perf_counter()
    bench = open_workbench(study, cache=cache_folder(study), say=lambda text: print(f"  {text}", file=sys.stderr))
    ready_s = time.perf_counter() - start
    limits = Limits(bench.budget_ms, study.limits.missed, study.limits.extra, study.budget.at)
    start = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    by_hand = (*bench.space.uniforms(), *bench.space.tails())
    hand_made = _measure(bench, by_hand, folder / f"{study.name}-{canonical.digest(bench.fingerprint)[:12]}.jsonl")
    hand_s = time.perf_counter() - start
    ledger = Ledger.create(default_url(folder / study.name), study.name, bench.fingerprint, limits)
    start = time.perf_counter()
    name = sampler or study.sampler
    make, seeds = open_sampler(name, bench, limits, seed=seed, total=trials, cache=cache_folder(study))
    StudyRun(ledger, bench.space, bench.evaluator, limits=limits, seed=seed, seeds=seeds, sampler=make).run(trials)
    study_s = time.perf_counter() - start
    result = _summary(bench, hand_made, ledger.trials, limits)
    result |= {
        "study": study.name, "sampler": name, "seed": seed, "trials": len(ledger.trials),
        "ready_s": round(ready_s, 1), "hand_made_s": round(hand_s, 1), "study_s": round(study_s, 1),
        "peak_memory_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }  # fmt: skip
    _print(result)
    return result


def _measure(bench: Workbench, candidates: Sequence[Candidate], path: Path) -> tuple[Trial, ...]:
    """Kept in ``path`` line by line, so that a second run of the same study does not measure them again."""
    known: dict[str, Record] = {}
    if path.exists():
        stored = (Record.from_json(json.loads(line)) for line in path.read_text().splitlines() if line.endswith("}"))
        known = {record.candidate.digest: record for record in stored}
    found: list[Trial] = []
    with path.open("a") as out:
        for number, (digest, candidate) in enumerate({c.digest: c for c in candidates}.items()):
            if digest not in known:
                known[digest] = bench.evaluator.evaluate(candidate)
                out.write(json.dumps(known[digest].to_json()) + "\n")
                out.flush()
            found.append(Trial(number, known[digest], "uniform" if candidate.is_uniform else "tail"))
    return tuple(found)


def _points(trials: Sequence[Trial]) -> list[Objectives]:
    return [trial.objectives for trial in trials if trial.objectives is not None]


def _summary(bench: Workbench, hand: Sequence[Trial], trials: Sequence[Trial], limits: Limits) -> dict[str, Any]:
    known = {trial.record.candidate.digest for trial in hand}
    hand_points = _points(hand)
    worst = max(error for _, error in (*hand_points, *_points(trials)))
    slowest = max(latency for latency, _ in (*hand_points, *_points(trials)))
    references = {"within_budget": (bench.budget_ms, worst), "whole": (slowest, worst)}
    volumes = {
        key: {"hand_made": hypervolume(hand_points, ref), "study": hypervolume(_points(trials), ref)}
        for key, ref in references.items()
    }
    better = []
    for trial in front(trials):
        latency, error = trial.objectives or (0.0, 0.0)
        rivals = [e for ms, e in hand_points if ms <= latency]
        if trial.record.candidate.digest not in known and error < min(rivals, default=float("inf")):
            better.append(
                {
                    "trial": trial.number, "latency_ms": latency, "error_px2": error,
                    "best_hand_made_px2": min(rivals, default=None), "feasible": limits.feasible(trial.record),
                }
            )  # fmt: skip
    return {
        "budget_ms": bench.budget_ms,
        "hand_made": len(hand),
        "hypervolume": volumes,
        "beats_hand_made": all(v["study"] > v["hand_made"] for v in volumes.values()) and bool(better),
        "points_that_beat_every_tail": better,
        "front": [
            {"trial": t.number, "latency_ms": t.objectives[0], "error_px2": t.objectives[1], "origin": t.origin}
            for t in front(trials)
            if t.objectives
        ],
    }


def _print(result: dict[str, Any]) -> None:
    print(f"\n{result['study']}: {result['trials']} trials ({result['sampler']}, seed {result['seed']}), ", end="")
    print(f"budget {result['budget_ms']:.2f} ms; {result['hand_made']} uniforms and tail splits (simulated board)")
    for key, volume in result["hypervolume"].items():
        gain = volume["study"] / volume["hand_made"] - 1 if volume["hand_made"] else float("inf")
        print(f"  hypervolume {key:14} by hand {volume['hand_made']:9.3f}   study {volume['study']:9.3f}  {gain:+.2%}")
    print("  points that are no tail and beat every tail and uniform at their latency:")
    for p in result["points_that_beat_every_tail"]:
        rival = p["best_hand_made_px2"]
        by_hand = "nothing" if rival is None else f"{rival:.4g} px2"
        print(f"    trial {p['trial']:4}  {p['latency_ms']:7.2f} ms  {p['error_px2']:.4g} px2, by hand {by_hand}")
    print(
        f"  ready {result['ready_s']} s, by hand {result['hand_made_s']} s, study {result['study_s']} s, "
        f"peak memory {result['peak_memory_mib']} MiB"
    )


if __name__ == "__main__":
    sys.exit(main())
