"""Record an oracle from the vendor's engine: every assignment of uint8 and int16 to seven groups of yolov5n-0.5-face.

As ``record.py``, with the engine in the simulator's place: landmark error, missed and extra faces are its own, on the
first 16 evaluation photographs after calibration on the first 12 (the sets of the recorded results in
``docs/acuity.md``), not compiled; the latency is the cost model's. The groups are six stages of the body and the three
heads together. What a search may ask for little is what the product asks: the host *simulator*, on the first four
photographs with faces (``few_px2``). The engine's own error on these four stands beside it (``engine_few_px2``).

An assignment that the engine refuses, or fails after its retries, is a row with an error of NaN and -1 faces. Lines go
to ``<out>.jsonl`` as they come, 15 to 40 s each; a killed run goes on there. At the end they are packed into
``<out>.npz``.

    mpsearch toolchain install acuity
    export MPSEARCH_SHARED=/path/to/shared OMP_NUM_THREADS=1; cd benchmarks/oracles
    nice -n 10 python record_engine.py --out yolov5n_engine_2x7
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from efficiency import lines
from efficiency.networks import NETWORKS, Row, prior
from mpsearch import canonical, config, quant
from mpsearch.board.cost import CostModel
from mpsearch.board.profile import load as load_profile
from mpsearch.graph.read import read as read_graph
from mpsearch.record import Measured, Record
from mpsearch.scoring.reference import METRIC_VERSION
from mpsearch.search.guided.few import COUNT, FewPhotographs
from mpsearch.search.guided.frames import Frames
from mpsearch.space.load import load as load_space
from mpsearch.toolchain.acuity.toolchain import AcuityToolchain
from mpsearch.workbench import Workbench, open_workbench

_HEAD = "vendor: synap\nbases: [uint8]\nuniforms: [uint8]\ntypes: [int16]\ntails: 0\ncuts: none\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", type=int, default=6, help="of the body; the heads together are one group more")
    parser.add_argument("--calibration", type=int, default=12, help="photographs")
    parser.add_argument("--photographs", type=int, default=16, help="for evaluation")
    parser.add_argument("--limit", type=int, default=0, help="stop after so many assignments (for a first look)")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out = options.out.resolve()
    with tempfile.TemporaryDirectory() as scratch:
        bench = _open(options, Path(scratch))
        try:
            record(bench, options.out, options.limit)
        finally:
            bench.board.close()
    return 0


def _open(options: argparse.Namespace, folder: Path) -> Workbench:
    shared = os.environ.get("MPSEARCH_SHARED", str(Path(__file__).resolve().parents[3] / "shared"))
    name, decoder, source = NETWORKS["yolov5n"]
    model, space, study = f"{shared}/data/models/{name}", folder / "space.yaml", folder / "study.yaml"
    space.write_text(f"{_HEAD}grouping: {{by: stage, stages: {options.stages}}}\n")
    joined: dict[str, list[str]] = {}
    for group in load_space(space, read_graph(Path(model))).groups:
        joined.setdefault(group.name.partition(":")[0], []).extend(group.units)
    space.write_text(_HEAD + yaml.safe_dump({"grouping": {"by": "globs", "groups": joined}}, sort_keys=False))
    study.write_text(
        f"model: {model}\ntarget: vs680\nsearch_space: {space}\nbudget: {{times: 1.25, of: uint8}}\ninput: {source}\n"
        f"decoder: {{name: {decoder}}}\n"
        f"data: {{calibration: {shared}/data/images/calib, calibration_limit: {options.calibration}, "
        f"evaluation: {shared}/data/images/eval, evaluation_limit: {options.photographs}}}\n"
    )
    cache = options.out.parent / ".cache" / options.out.name
    return open_workbench(config.load(study), cache=cache, toolchain="acuity", say=_say)


def record(bench: Workbench, out: Path, limit: int) -> None:
    """Complete the lines, then pack them."""
    graph, space, toolchain = bench.graph, bench.space, bench.target.toolchain
    assert isinstance(toolchain, AcuityToolchain)  # opened as such
    toolchain.compiles = False
    frame, cost = Frames(space).at({}), CostModel(load_profile("vs680"), graph)
    made_of = {
        "network": "yolov5n", "model": graph.digest, "groups": {g.name: len(g.units) for g in space.groups},
        "base": "uint8", "types": ["int16"], "target": "vs680",
        "profile": canonical.digest(cost.profile.model_dump(mode="json")), "photographs": bench.evaluation.digest,
        "evaluation photographs": len(bench.evaluation), "calibration": bench.calibration.digest,
        "calibration photographs": len(bench.calibration), "engine": toolchain.engine.version, "compiled": False,
        "few": f"simulator {quant.VERSION}", "metric": METRIC_VERSION,
    }  # fmt: skip
    store = lines.Store(out.with_suffix(".jsonl"), made_of)
    wanted = list(product(*map(range, frame.counts)))
    few = FewPhotographs(bench.scorer, bench.calibration, cache=None, threads=1)
    faces = np.bincount(bench.scorer.reference.image, minlength=len(bench.evaluation))

    def measure(chosen: lines.Chosen) -> list[float]:
        candidate = space.at(frame.point(np.array(chosen)))
        latency_ms = cost.estimate(candidate, graph.assign(candidate)).total_ms
        row = row_of(bench.evaluator.evaluate(candidate), latency_ms, few(candidate), faces)
        shutil.rmtree(toolchain.engine.cache / "built", ignore_errors=True)  # the row says it all
        return row

    if not lines.complete(store, wanted, measure, limit=limit, every=1):
        return
    pack(out.with_suffix(".npz"), {chosen: store.rows[chosen] for chosen in wanted}, made_of, {
        **prior(bench, frame, cost, ["int16"]), "few": COUNT, "faces": int(faces.sum()),
    })  # fmt: skip


def row_of(measured: Record, latency_ms: float, few_px2: float | None, faces: Sequence[int] | np.ndarray) -> Row:
    """One line: what :data:`efficiency.networks.Row` has, then the engine's own error on the few photographs.

    Args:
        few_px2: the simulator's; None where it cannot be had.
        faces: of each photograph.
    """
    cheap = math.nan if few_px2 is None else few_px2
    outcome = measured.outcome
    if not isinstance(outcome, Measured):
        _say(f"failed: {outcome}")
        return [latency_ms, math.nan, cheap, -1, -1, math.nan]
    score = outcome.score
    first = np.flatnonzero(faces)[:COUNT]
    total = sum((score.per_image[i] or 0.0) * faces[i] for i in first)
    engine_few = float(total / sum(faces[i] for i in first))
    return [latency_ms, score.objective, cheap, score.missed, score.extra, engine_few]


def pack(path: Path, rows: dict[lines.Chosen, Row], made_of: dict[str, object], known: dict[str, object]) -> None:
    """As other oracles are packed, with one column more."""
    engine_few = np.array([row[5] for row in rows.values()], dtype=np.float32)
    lines.pack(path, rows, made_of, engine_few_px2=engine_few, **known)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
