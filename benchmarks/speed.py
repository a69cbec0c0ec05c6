"""How many candidates a minute? The simulator against what a user would write, in one interleaved run.

For every candidate of the committed lists (``benchmarks/candidates``): a plain float pass over the evaluation
photographs, then a trial of the simulator (quantize, run, score). Every few candidates also (b) onnxruntime's
``quantize_static`` and inference, (c) AIMET's ``QuantizationSimModel`` re-evaluated, and the simulator again with its
caches off, whose outputs must be the same bits. Other work on the machine disturbs all of them alike, so the ratios
count, not the seconds; the spread of the float passes says how much it was.

    python benchmarks/speed.py studies/yolov5n_face.yaml [--aimet-env DIR] [--count 60] [--rivals 6] [--out speed.json]
    python benchmarks/speed.py studies/yolov5n_face.yaml --memory        # a 60-trial study: megabytes by trial
    python benchmarks/speed.py studies/yolov5n_face.yaml --large MODEL   # caches cold, on a model without a study
    python benchmarks/speed.py --smoke

The exit code is 1 where a goal is missed (not with ``--smoke``).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mpsearch import config
from mpsearch.candidate import Candidate, DataType, Scheme
from mpsearch.evaluate import Artifact
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.onnxio import FloatModel
from mpsearch.graph.read import read
from mpsearch.images import PhotoSet
from mpsearch.quant.simulator import Simulator
from mpsearch.study.folder import cache_folder
from mpsearch.testing.studies import small_study
from mpsearch.workbench import Workbench, open_workbench
from rivals import aimet
from rivals.memory import megabytes, study_memory
from rivals.static import Static

LISTS = ("tpe", "nsga2", "neighbours", "front_neighbours")
GOALS = {"tpe": 2.0, "nsga2": 2.0, "neighbours": 0.8}
"""Float passes a trial may cost, in the median."""
COLD_GOAL = 3.0
PEAK_GOAL_MB, GROWTH_GOAL_MB = 1536.0, 1.0
"""Peak of a study, and growth a trial in its second half."""
BATCH = 8


def main(argv: Sequence[str] | None = None) -> int:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, nargs="?")
    parser.add_argument("--count", type=int, default=60, help="candidates of each list")
    parser.add_argument("--rivals", type=int, default=6, help="candidates of each list that (b) and (c) run too")
    parser.add_argument("--lists", nargs="+", choices=LISTS, default=list(GOALS))
    parser.add_argument("--aimet-env", type=Path, help="folder of a virtual environment for AIMET; made where missing")
    parser.add_argument("--memory", action="store_true", help="only the memory of a 60-trial study")
    parser.add_argument("--large", type=Path, help="only this model, caches cold, on the study's photographs")
    parser.add_argument("--out", type=Path, help="write everything as JSON")
    parser.add_argument("--smoke", action="store_true", help="a small model made on the fly, no goals, no AIMET")
    options = parser.parse_args(argv)
    if options.study is None and not options.smoke:
        parser.error("name a study file, or --smoke")
    with tempfile.TemporaryDirectory() as scratch:
        path = small_study(Path(scratch)) if options.smoke else options.study
        bench = open_workbench(config.load(path), cache=_cache(options, path, Path(scratch)), say=_say)
        if options.memory:
            result, missed = _memory(bench)
        elif options.large:
            result, missed = _large(bench, options.large)
        else:
            result, missed = _compare(bench, options)
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")
    if options.smoke:
        print("smoke run done")
        return 0
    print("missed: " + "; ".join(missed) if missed else "all goals reached")
    return 1 if missed else 0


def _compare(bench: Workbench, options: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    calibration, evaluation = (np.concatenate(list(p.batches(BATCH))) for p in (bench.calibration, bench.evaluation))
    static = Static(bench.graph.path, calibration, evaluation)
    rival = None
    if options.aimet_env is not None and not options.smoke:
        reason = aimet.install(options.aimet_env)
        if reason:
            _say(f"*** AIMET COULD NOT BE INSTALLED, column (c) is empty: {reason}")
        else:
            rival = aimet.Aimet(options.aimet_env, bench.graph.path, calibration, evaluation)
    elif not options.smoke:
        _say("*** NO --aimet-env: column (c) is empty")
    result: dict[str, Any] = {}
    try:
        for name in options.lists[:1] if options.smoke else options.lists:
            candidates = _smoke_list(bench) if options.smoke else load(name)[: options.count]
            result[name] = _one_list(bench, candidates, options.rivals, static, rival)
            _print(name, result[name])
    finally:
        static.close()
        if rival is not None:
            rival.close()
    missed = [f"{n}: {r['ours']:.2f} float passes" for n, r in result.items() if r["ours"] > GOALS.get(n, float("inf"))]
    missed += [f"{n}: caches change bits" for n, r in result.items() if not r["identical"]]
    return result, missed


def load(name: str) -> list[Candidate]:
    """A committed list."""
    file = Path(__file__).with_name("candidates") / f"{name}.json"
    return [Candidate.from_json(data) for data in json.loads(file.read_text())]


def _one_list(
    bench: Workbench, candidates: Sequence[Candidate], rivals: int, static: Static, rival: aimet.Aimet | None
) -> dict[str, Any]:
    graph = bench.graph
    simulator = _simulator(graph, bench)
    plain = _simulator(graph, bench, activations_bytes=0)
    float_pass = _float_pass(graph, bench.evaluation)
    float_pass()
    rows: list[dict[str, Any]] = []
    step = max(1, len(candidates) // max(rivals, 1))
    for index, candidate in enumerate(candidates):
        artifact = Artifact(candidate, graph.assign(candidate))
        row: dict[str, Any] = {"float_s": float_pass(), "ours_s": _trial(bench, simulator, artifact)}
        if index % step == step - 1:
            row["uncached_s"] = _trial(bench, plain, artifact)
            row["identical"] = _same(simulator, plain, artifact)
            wide = wide_tensors(graph, artifact)
            row["static_s"] = static.trial(wide, per_channel=candidate.scheme is Scheme.PER_CHANNEL)
            if rival is not None:
                row["aimet_s"] = rival.trial(wide)
        rows.append(row)
    passes = statistics.quantiles([row["float_s"] for row in rows], n=4)
    return {
        **{key: _ratio(rows, f"{key}_s") for key in ("ours", "uncached", "static", "aimet")},
        "identical": all(row.get("identical", True) for row in rows),
        "float_s": passes[1],
        "float_quartiles_s": [passes[0], passes[2]],
        "trials_a_minute": 60 / statistics.median(row["ours_s"] for row in rows),
        "candidates": len(rows),
        "rows": rows,
    }


def _ratio(rows: Sequence[Mapping[str, Any]], key: str) -> float | None:
    found = [row[key] / row["float_s"] for row in rows if key in row]
    return statistics.median(found) if found else None


def _trial(bench: Workbench, simulator: Simulator, artifact: Artifact) -> float:
    start = time.perf_counter()
    bench.scorer.score(simulator.batches(artifact))
    return time.perf_counter() - start


def _same(a: Simulator, b: Simulator, artifact: Artifact) -> bool:
    return all(
        np.array_equal(left[name], right[name])
        for left, right in zip(a.batches(artifact), b.batches(artifact), strict=True)
        for name in right
    )


def _simulator(graph: ModelGraph, bench: Workbench, **options: int) -> Simulator:
    cache = cache_folder(bench.bench.study)
    made = Simulator(graph, bench.calibration, bench.evaluation, cache=cache, **options)
    _ = made.statistics
    return made


def _float_pass(graph: ModelGraph, photos: PhotoSet) -> Callable[[], float]:
    model = FloatModel(graph)

    def once() -> float:
        start = time.perf_counter()
        for batch in photos.batches(BATCH):
            model.run(batch)
        return time.perf_counter() - start

    return once


def wide_tensors(graph: ModelGraph, artifact: Artifact) -> list[str]:
    """What the candidate's 16-bit units make, as the rivals are told."""
    wide = [unit for unit in graph.units if artifact.types.get(unit.name) is DataType.INT16]
    return [tensor for unit in wide for tensor in unit.outputs]


def _large(bench: Workbench, path: Path) -> tuple[dict[str, Any], list[str]]:
    graph = read(path)
    float_pass = _float_pass(graph, bench.evaluation)
    float_pass()
    half = tuple((unit.name, DataType.INT16) for unit in graph.compute_units[::2])
    tried = {"uint8": Candidate(), "int8-pc": Candidate("int8-pc"), "half int16": Candidate(overrides=half)}
    rows = []
    for name, candidate in tried.items():
        simulator = _simulator(graph, bench)
        artifact = Artifact(candidate, graph.assign(candidate))
        seconds = float_pass()
        start = time.perf_counter()
        for _ in simulator.batches(artifact):
            pass
        rows.append({"candidate": name, "float_s": seconds, "ours_s": time.perf_counter() - start})
        print(f"{name:12} float pass {seconds:6.2f} s, trial with cold caches {rows[-1]['ours_s']:6.2f} s, "
              f"ratio {rows[-1]['ours_s'] / seconds:5.2f}, peak {megabytes()[1]:.0f} MB", flush=True)  # fmt: skip
    missed = [f"{row['candidate']}: ratio" for row in rows if row["ours_s"] > COLD_GOAL * row["float_s"]]
    return {"model": path.name, "rows": rows}, missed


def _memory(bench: Workbench) -> tuple[dict[str, Any], list[str]]:
    rows = study_memory(bench, sys.stdout)
    second_half = rows[len(rows) // 2 :]
    growth = float(np.polyfit([row["trial"] for row in second_half], [row["now_mb"] for row in second_half], 1)[0])
    peak = rows[-1]["peak_mb"]
    print(f"peak {peak:.0f} MB, growth in the second half {growth:.2f} MB a trial")
    missed = [f"peak {peak:.0f} MB"] if peak > PEAK_GOAL_MB else []
    missed += [f"growth {growth:.2f} MB a trial"] if growth > GROWTH_GOAL_MB else []
    return {"rows": rows, "growth_mb": growth, "peak_mb": peak}, missed


def _smoke_list(bench: Workbench) -> list[Candidate]:
    return list(bench.space.uniforms())[:2] + [c for c in bench.space.tails() if not c.dropped][:2]


def _print(name: str, result: Mapping[str, Any]) -> None:
    low, high = result["float_quartiles_s"]
    print(f"{name}: {result['candidates']} candidates; float pass {result['float_s']:.2f} s (quartiles {low:.2f} to "
          f"{high:.2f}); {result['trials_a_minute']:.0f} trials a minute; "
          f"bits {'the same' if result['identical'] else 'DIFFER'} with caches off")  # fmt: skip
    shown = {"ours": "simulator", "uncached": "caches off", "static": "(b) static", "aimet": "(c) AIMET"}
    for key, label in shown.items():
        if result[key] is not None:
            faster = f", {result[key] / result['ours']:.1f} x the simulator" if key != "ours" else ""
            print(f"  {label:12} {result[key]:6.2f} float passes in the median{faster}", flush=True)


def _cache(options: argparse.Namespace, study: Path, scratch: Path) -> Path:
    return scratch if options.smoke else cache_folder(config.load(study))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
