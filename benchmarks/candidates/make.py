"""Makes the candidate lists of ``benchmarks/speed.py``: what samplers propose first, and neighbours of good ones.

``tpe.json`` and ``nsga2.json`` hold the first sixty candidates of a study with that sampler and seed 0;
``neighbours.json`` sixty candidates that differ in one to three units from good ones, those on the two studies' fronts
that keep the budget and the limits, in the order of a search that goes round them; ``front_neighbours.json`` the same
for the whole fronts, with many a candidate that is mostly int16 and far beyond the budget. The lists are committed, so
that figures of different days compare; run this only to make them anew.

    python benchmarks/candidates/make.py studies/yolov5n_face.yaml
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from mpsearch import config
from mpsearch.candidate import Candidate, DataType
from mpsearch.errors import ModelError
from mpsearch.pareto.front import Trial, front
from mpsearch.pareto.limits import Limits
from mpsearch.search import samplers
from mpsearch.study.folder import cache_folder
from mpsearch.study.ledger import Ledger
from mpsearch.study.run import StudyRun
from mpsearch.study.storage import default_url
from mpsearch.toolchain.synap import rules
from mpsearch.workbench import Workbench, open_workbench

COUNT = 60
SEED = 0
FOLDER = Path(__file__).resolve().parent


def main() -> int:
    """Write the three files beside this one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    study = config.load(parser.parse_args().study)
    bench = open_workbench(study, cache=cache_folder(study), say=lambda text: print(text, file=sys.stderr))
    limits = Limits(bench.budget_ms, study.limits.missed, study.limits.extra, study.budget.at)
    good: list[Candidate] = []
    edge: list[Candidate] = []
    for name in ("tpe", "nsga2"):
        trials = _first(bench, limits, name)
        _write(name, [trial.record.candidate for trial in trials])
        edge += [trial.record.candidate for trial in front(trials)]
        good += [trial.record.candidate for trial in front(trials) if limits.feasible(trial.record)]
    for name, parents in {"neighbours": good, "front_neighbours": edge}.items():
        print(f"{name}: {len(set(parents))} parents", file=sys.stderr)
        _write(name, neighbours(bench, list(dict.fromkeys(parents)), COUNT))
    return 0


def _first(bench: Workbench, limits: Limits, name: str) -> Sequence[Trial]:
    with tempfile.TemporaryDirectory() as scratch:
        ledger = Ledger.create(default_url(Path(scratch) / name), name, bench.fingerprint, limits)
        StudyRun(
            ledger,
            bench.space,
            bench.evaluator,
            limits=limits,
            seed=SEED,
            seeds=bench.space.seeds(bench.bench.study.seeds),
            sampler=lambda count: samplers.create(name, SEED, count),
        ).run(COUNT)
        return ledger.trials


def neighbours(bench: Workbench, parents: Sequence[Candidate], count: int) -> list[Candidate]:
    """``count`` different legal candidates, each with one to three units of a parent changed (8 bits to int16 or
    back), parents in turn; the units are drawn evenly from all that the parent computes."""
    draw = random.Random(SEED)
    found: dict[str, Candidate] = {parent.digest: parent for parent in parents}
    made: list[Candidate] = []
    turns = 0
    while len(made) < count:
        parent = parents[turns % len(parents)]
        turns += 1
        live = [unit.name for unit in bench.graph.compute_units if unit.name in bench.graph.assign(parent)]
        changed = {unit: parent.type_of(unit) for unit, _ in parent.overrides}
        for unit in draw.sample(live, draw.randint(1, 3)):
            changed[unit] = parent.base_type if parent.type_of(unit) is DataType.INT16 else DataType.INT16
        candidate = Candidate(
            parent.base, parent.algorithm, tuple(changed.items()), parent.cuts, parent.dropped, parent.preprocess
        )
        if candidate.digest not in found and _legal(bench, candidate):
            found[candidate.digest] = candidate
            made.append(candidate)
    return made


def _legal(bench: Workbench, candidate: Candidate) -> bool:
    try:
        return not rules.illegal(bench.graph, candidate)
    except ModelError:
        return False


def _write(name: str, candidates: Sequence[Candidate]) -> None:
    lines = ",\n".join(json.dumps(candidate.to_json()) for candidate in candidates)
    (FOLDER / f"{name}.json").write_text(f"[\n{lines}\n]\n")
    print(f"{name}: {len(candidates)} candidates", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
