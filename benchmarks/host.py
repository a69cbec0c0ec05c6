"""Time candidates of one model on this computer in turns with its float model, and compare with an earlier run.

    python benchmarks/host.py MODEL --calibration DIR [--candidate FILE ...] [--threads N] [--out result.json]
                              [--against earlier.json] [--means 0] [--scale 255] [--order rgb] [--smoke]

Each row: median, p95, the 95 % interval of the median, and the ratio to the float model from interleaved pairs with its
interval. Without ``--candidate`` it takes the uniform ones. ``--against`` adds how each row has moved since an earlier
run: how far a repeat is off is the honest error of all of them.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from mpsearch.board.host import HostBoard
from mpsearch.board.measure import Plan, Verdict
from mpsearch.candidate import Candidate
from mpsearch.graph.read import read
from mpsearch.images import PhotoSet, Preprocess, find
from mpsearch.record import Timing
from mpsearch.testing.studies import small_study
from mpsearch.toolchain.host import kernels
from mpsearch.toolchain.host.build import HostToolchain
from mpsearch.toolchain.host.runtime import Runtime

PHOTOGRAPHS = 12


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--calibration", type=Path, help="folder of photographs")
    parser.add_argument("--candidate", type=Path, action="append", default=[], help="an exported candidate.json")
    parser.add_argument("--means", type=float, nargs="+", default=[0.0])
    parser.add_argument("--scale", type=float, default=255.0)
    parser.add_argument("--order", choices=("rgb", "bgr"), default="rgb")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="write the table as JSON")
    parser.add_argument("--against", type=Path, help="the JSON of an earlier run")
    parser.add_argument("--smoke", action="store_true", help="a few runs only, by default of a small model")
    options = parser.parse_args(argv)
    if options.smoke and options.model is None:
        with tempfile.TemporaryDirectory() as scratch:
            folder = small_study(Path(scratch)).parent
            options.model, options.calibration = folder / "model.onnx", folder / "calibration"
            return compare(options)
    if options.model is None or options.calibration is None:
        parser.error("name a model and --calibration, or --smoke")
    return compare(options)


def compare(options: argparse.Namespace) -> int:
    """Time, print, write."""
    plan = Plan(2, 0.5, 6, 8, 5.0) if options.smoke else Plan(10, 0.01, 50, 1000, 60.0)
    runtime = Runtime.default(options.threads)
    graph = read(options.model)
    height, width = graph.tensors[graph.inputs[0]].shape[2:]
    preprocess = Preprocess(height, width, tuple(options.means), (options.scale,), options.order)
    photographs = PhotoSet(find(options.calibration), preprocess, limit=2 if options.smoke else PHOTOGRAPHS)
    wanted = {path.stem: Candidate.from_json(json.loads(path.read_text())) for path in options.candidate}
    wanted = wanted or {base: Candidate(base) for base in ("uint8", "int8-pc")}
    with tempfile.TemporaryDirectory() as folder:
        toolchain = HostToolchain(graph, photographs, Path(folder), runtime=runtime)
        board = HostBoard(runtime=runtime, plan=plan, image=next(iter(photographs.batches(1))))
        plain = toolchain.build(Candidate("float16"))
        rows = []
        for name, candidate in wanted.items():
            built = toolchain.build(candidate)
            verdict = board.compare(plain, built)
            rows.append(row(name, verdict, kernels.count(built.kernels)))
            rows[-1]["float_ms"] = verdict.first.median_ms
    earlier = json.loads(options.against.read_text())["rows"] if options.against else []
    conditions = {**runtime.describe(), "at": time.strftime("%Y-%m-%d %H:%M:%S")}
    print(", ".join(f"{key} {value}" for key, value in conditions.items()))
    show(rows, {line["candidate"]: line for line in earlier})
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        result = {"model": options.model.name, "conditions": conditions, "rows": rows}
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


def row(name: str, verdict: Verdict, kernels_text: str) -> dict[str, object]:
    """One line of the table."""
    timing = Timing(verdict.second.ms, "host", "host")
    return {
        "candidate": name,
        "median_ms": timing.median_ms,
        "p95_ms": timing.percentile_ms(0.95),
        "interval_ms": verdict.second.interval_ms,
        "to_float": verdict.ratio,
        "to_float_interval": verdict.interval,
        "faster": {"first": "float", "second": name, "neither": "neither"}[verdict.faster],
        "runs": len(verdict.second.ms),
        "stopped": verdict.second.stopped,
        "kernels": kernels_text,
        "samples_ms": list(verdict.second.ms),
    }


def show(rows: Sequence[Mapping[str, object]], earlier: Mapping[str, Mapping[str, object]]) -> None:
    print(f"{'candidate':20} {'median':>8} {'p95':>8} {'interval':>17} {'/float':>7} {'interval':>13} faster")
    for line in rows:
        low, high = line["interval_ms"] or (0, 0)  # type: ignore[misc]
        least, most = line["to_float_interval"] or (0, 0)  # type: ignore[misc]
        text = (
            f"{line['candidate']:20} {line['median_ms']:8.3f} {line['p95_ms']:8.3f} {low:8.3f} {high:8.3f}"
            f" {line['to_float']:7.3f} {least:6.3f} {most:6.3f} {line['faster']}; {line['kernels']}"
        )
        before = earlier.get(str(line["candidate"]))
        if before is not None:
            moved = float(str(line["median_ms"])) / float(str(before["median_ms"])) - 1
            moved_ratio = float(str(line["to_float"])) / float(str(before["to_float"])) - 1
            text += f"; since then {moved:+.1%} in ms, {moved_ratio:+.1%} against float"
        print(text)
    if all(line["faster"] == "float" for line in rows):
        print("float is faster than every candidate on this CPU", file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(main())
