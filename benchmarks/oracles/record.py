"""Record an oracle: every assignment of types to the groups of a real network, simulated once and kept as a table.

For each assignment: landmark error over all evaluation photographs and over the first four with faces, missed and extra
faces, and the cost model's latency. Besides, what a search may know beforehand: each group's time by type and each
edge's conversion times. Lines go to ``<out>.jsonl`` as they come (a killed run goes on there); at the end they are
packed into ``<out>.npz``. Assignments follow a Gray code: neighbours differ in one group, so most operators are shared.

    export MPSEARCH_SHARED=/path/to/shared; cd benchmarks/oracles
    nice -n 15 python record.py yolov5n --out yolov5n_2x10
    nice -n 15 python record.py retinaface --out retinaface_2x10
    nice -n 15 python record.py yunet --stages 6 --join --out yunet_2x10
    nice -n 15 python record.py yolov5n --stages 5 --types int16 float16 --target rvc4 --out yolov5n_3x8
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from mpsearch import canonical, config, quant
from mpsearch.board.cost import CostModel
from mpsearch.board.profile import load as load_profile
from mpsearch.candidate import BASES, DataType
from mpsearch.evaluate import Artifact
from mpsearch.graph.read import read as read_graph
from mpsearch.scoring.reference import METRIC_VERSION
from mpsearch.scoring.scorer import TaskScorer
from mpsearch.search.guided.frames import Frame, Frames
from mpsearch.space.load import load as load_space
from mpsearch.workbench import Workbench, open_workbench

_FEW = 4
NETWORKS = {
    "yolov5n": ("yolov5n-0.5-face_480x640.onnx", "yolov5-face", "{means: 0, scale: 255, order: rgb}"),
    "yunet": ("yunet_n_480x640.onnx", "yunet", "{means: 0, scale: 1, order: bgr}"),
    "retinaface": (
        "retinaface_tiny_pypi_480x640.onnx", "retinaface", "{means: [104, 117, 123], scale: 1, order: bgr}",
    ),
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("--stages", type=int, default=7, help="of the body; the heads are groups of their own")
    parser.add_argument("--join", action="store_true", help="heads of one kind at several strides are one group")
    parser.add_argument("--base", default="uint8")
    parser.add_argument("--types", nargs="+", default=["int16"])
    parser.add_argument("--target", default="vs680")
    parser.add_argument("--sample", type=int, default=0, help="record so many random assignments in place of all")
    parser.add_argument("--limit", type=int, default=0, help="stop after so many lines (for a first look)")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        bench = _open(options, Path(scratch))
        record(bench, options)
    return 0


def _open(options: argparse.Namespace, folder: Path) -> Workbench:
    shared = os.environ.get("MPSEARCH_SHARED", str(Path(__file__).resolve().parents[3] / "shared"))
    model, decoder, source = NETWORKS[options.network]
    space = folder / "space.yaml"
    head = f"vendor: synap\nbases: [{options.base}]\nuniforms: [{options.base}]\ntypes: [{', '.join(options.types)}]\n"
    cuts = "cuts: none\n" if options.network == "yolov5n" else "cuts: {points: nearest, uncut: false}\n"
    stages = f"grouping: {{by: stage, stages: {options.stages}}}\n"
    space.write_text(head + stages + "tails: 0\n" + cuts)
    groups = load_space(space, read_graph(Path(f"{shared}/data/models/{model}"))).groups
    joined: dict[str, list[str]] = {}
    for group in groups:  # heads of one kind at several strides are one group
        name = group.name.rstrip("0123456789_") if group.name.startswith("head:") and options.join else group.name
        joined.setdefault(name, []).extend(group.units)
    named = yaml.safe_dump({"grouping": {"by": "globs", "groups": joined}})
    space.write_text(head + named + "tails: 0\n" + cuts)
    study = folder / "study.yaml"
    study.write_text(
        f"model: {shared}/data/models/{model}\ntarget: {options.target}\nsearch_space: {space}\n"
        f"budget: {{times: 1.25, of: uint8}}\ninput: {source}\ndecoder: {{name: {decoder}}}\n"
        f"data: {{calibration: {shared}/data/images/calib, evaluation: {shared}/data/images/eval}}\n"
    )
    cache = options.out.parent / ".cache" / options.network
    return open_workbench(config.load(study), cache=cache, say=lambda text: print(text, file=sys.stderr))


def record(bench: Workbench, options: argparse.Namespace) -> None:
    """Complete the lines, then pack them."""
    graph, space = bench.graph, bench.space
    frame = Frames(space).at({name: choices[-1] for name, choices in space.dimensions.items() if name[:4] == "cut:"})
    cost = CostModel(load_profile(options.target), graph)
    made_of = {
        "network": options.network, "model": graph.digest, "groups": {g.name: len(g.units) for g in space.groups},
        "base": options.base, "types": options.types, "target": options.target,
        "profile": canonical.digest(cost.profile.model_dump(mode="json")), "photographs": bench.evaluation.digest,
        "calibration": bench.calibration.digest, "simulator": quant.VERSION, "metric": METRIC_VERSION,
        "sample": options.sample,
    }  # fmt: skip
    lines = options.out.with_suffix(".jsonl")
    lines.parent.mkdir(parents=True, exist_ok=True)
    done = _read(lines, made_of)
    wanted = list(_sampled(frame, options.sample) if options.sample else _gray(frame.counts))
    weights = np.bincount(bench.scorer.reference.image, minlength=len(bench.evaluation))
    few = np.flatnonzero(weights)[:_FEW]
    start, fresh = time.monotonic(), 0
    executor, scorer = _executor(bench), bench.scorer
    with lines.open("a") as out:
        if not done:
            out.write(json.dumps(made_of) + "\n")
        for chosen in wanted:
            if chosen in done:
                continue
            candidate = space.at(frame.point(np.array(chosen)))
            types = graph.assign(candidate)
            score = scorer.score(executor.batches(Artifact(candidate, types)))
            sums = [(score.per_image[i] or 0.0) * weights[i] for i in few]
            row = [
                cost.estimate(candidate, types).total_ms, score.objective, float(sum(sums) / weights[few].sum()),
                score.missed, score.extra,
            ]  # fmt: skip
            done[chosen] = row
            out.write(json.dumps([list(chosen), row]) + "\n")
            out.flush()
            fresh += 1
            if fresh % 25 == 0:
                pace = (time.monotonic() - start) / fresh
                print(f"{len(done)}/{len(wanted)}, {pace:.2f} s each", file=sys.stderr, flush=True)
            if options.limit and fresh >= options.limit:
                break
    if all(chosen in done for chosen in wanted):
        _pack(options.out.with_suffix(".npz"), bench, frame, cost, done, wanted, made_of, scorer)


def _executor(bench: Workbench) -> Any:
    from mpsearch.quant.simulator import Simulator

    return Simulator(bench.graph, bench.calibration, bench.evaluation, threads=1)


def _read(path: Path, made_of: dict[str, Any]) -> dict[tuple[int, ...], list[float]]:
    if not path.exists():
        return {}
    first, *rest = [json.loads(line) for line in path.read_text().splitlines() if line.endswith(("]", "}"))]
    if first != made_of:
        raise SystemExit(f"{path} was recorded with something else: move it away, or restore {first}")
    return {tuple(chosen): row for chosen, row in rest}


def _gray(counts: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Every assignment once; each differs from the one before in one place by one step (reflected Gray code)."""
    place, step = [0] * len(counts), [1] * len(counts)
    while True:
        yield tuple(place)
        for i in reversed(range(len(counts))):
            if 0 <= place[i] + step[i] < counts[i]:
                place[i] += step[i]
                break
            step[i] = -step[i]
        else:
            return


def _sampled(frame: Frame, count: int) -> Iterator[tuple[int, ...]]:
    rng = np.random.default_rng(0)
    seen: set[tuple[int, ...]] = set()
    while len(seen) < count:
        chosen = tuple(int(rng.integers(n)) for n in frame.counts)
        if chosen not in seen:
            seen.add(chosen)
            yield chosen


def _pack(
    path: Path,
    bench: Workbench,
    frame: Frame,
    cost: CostModel,
    done: dict[tuple[int, ...], list[float]],
    wanted: Sequence[tuple[int, ...]],
    made_of: dict[str, Any],
    scorer: TaskScorer,
) -> None:
    group_of = {unit: index for index, group in enumerate(bench.space.groups) for unit in group.units}
    kinds = [BASES[frame.base].type, *map(DataType, made_of["types"])]
    home = _homes(bench, group_of)
    unit_ms = np.zeros((len(bench.space.groups), len(kinds)))
    edges: dict[tuple[int, int], np.ndarray] = {}
    plan = cost.plan(frame.plain)
    for unit in plan.units:
        for index, kind in enumerate(kinds):
            unit_ms[home[unit.name], index] += cost.work(unit.name, kind).total_ms
    for edge in plan.edges:
        a = -1 if edge.producer is None else home[edge.producer]
        b = home[edge.consumer]
        if a != b:
            table = edges.setdefault((a, b), np.zeros((len(kinds), len(kinds))))
            table += [[cost.conversion_ms(edge, made, wanted_) for wanted_ in kinds] for made in kinds]
    rows = np.array([done[chosen] for chosen in wanted])
    np.savez_compressed(
        path, chosen=np.array(wanted, dtype=np.int8), latency_ms=rows[:, 0].astype(np.float32),
        error_px2=rows[:, 1].astype(np.float32), few_px2=rows[:, 2].astype(np.float32),
        missed=rows[:, 3].astype(np.int16), extra=rows[:, 4].astype(np.int16), unit_ms=unit_ms,
        fixed_ms=cost.base_ms(frame.plain), edges=np.array(list(edges), dtype=np.int16),
        edge_ms=np.array(list(edges.values())), faces=len(scorer.reference), photographs=len(bench.evaluation),
        few=_FEW, made_of=json.dumps(made_of),
    )  # fmt: skip
    print(f"{path}: {len(rows)} rows, {path.stat().st_size} bytes", file=sys.stderr)


def _homes(bench: Workbench, group_of: dict[str, int]) -> dict[str, int]:
    """Transparent units and output tensors live with the unit that feeds them first."""
    graph, found = bench.graph, dict(group_of)
    for unit in graph.units:
        if unit.name not in found:
            makers = [graph.unit_of[graph.producer[t]] for t in unit.inputs if t in graph.producer]
            found[unit.name] = found[makers[0]] if makers else 0
    return found


if __name__ == "__main__":
    sys.exit(main())
