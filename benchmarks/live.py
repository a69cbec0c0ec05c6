"""The guided search against TPE and NSGA-II on the vendor's own engine, in the product's own loop.

The space and the budget are the study's; errors are the engine's (``mpsearch toolchain install acuity``), latencies the
cost model's. So that hundreds of evaluations fit into an afternoon, 12 photographs calibrate and 16 are evaluated, and
nothing is compiled. All three begin with the uniforms at the deepest cut. TPE and NSGA-II are given eight points more:
one-shot solutions of an integer program over the cost model and the simulator's sensitivities, which is what the guided
search knows too. By hand: every uniform and every tail split of the space within the budget, at the deepest cut (the
same numbers leave the network at shallower ones, later).

Every study lies in a file of its own, and what the engine made in a cache that all share: a stopped run goes on, also
to a larger number of evaluations, and a candidate is computed once. Seeds go round by round, so that whatever was
finished compares like with like. Printed: hypervolume (log10 px^2 x ms, cut at the budget; reference: the error of the
8-bit uniform) after 10, 20 and 30 evaluations, against that of what was made by hand.

    OMP_NUM_THREADS=1 nice -n 10 python benchmarks/live.py studies/yolov5n_face.yaml --folder live
    python benchmarks/live.py studies/yolov5n_face.yaml --folder live --report
    python benchmarks/live.py --smoke
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from mpsearch import config
from mpsearch.board.cost import CostModel
from mpsearch.candidate import BASES, Candidate
from mpsearch.config import Study
from mpsearch.pareto.front import Objectives, hypervolume
from mpsearch.pareto.limits import Limits
from mpsearch.record import Measured, Record
from mpsearch.search import guided, twins
from mpsearch.search.guided.features import Features
from mpsearch.search.guided.few import FewPhotographs
from mpsearch.search.guided.frames import Frames
from mpsearch.search.guided.solve import Model
from mpsearch.search.opening import open_sampler
from mpsearch.study.ledger import Ledger
from mpsearch.study.run import StudyRun
from mpsearch.study.storage import default_url
from mpsearch.testing.studies import small_study
from mpsearch.toolchain.acuity.toolchain import AcuityToolchain
from mpsearch.workbench import Workbench, open_workbench

METHODS = ("tpe", "nsga2", "guided")
_STEPS = (10, 20, 30)
_WARM = 8
_SHARES = (1.0, 0.5, 0.25, 0.75, 0.125, 0.375, 0.625, 0.875)
"""Of the way from all-8-bit to the budget, for the points of :func:`one_shot`."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", nargs="?", type=Path)
    parser.add_argument("--folder", type=Path, help="studies and cache")
    parser.add_argument("--methods", nargs="*", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--evaluations", type=int, default=30)
    parser.add_argument("--calibration", type=int, default=12, help="photographs")
    parser.add_argument("--photographs", type=int, default=16, help="for evaluation")
    parser.add_argument("--report", action="store_true", help="evaluate nothing, print what is there")
    parser.add_argument("--smoke", action="store_true", help="a tiny model and the simulator")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        if options.smoke:
            options.study, options.folder = small_study(Path(scratch), name="smoke"), Path(scratch) / "live"
            options.seeds, options.evaluations = [0], 12
        elif not (options.study and options.folder):
            parser.error("name a study file and --folder, or --smoke")
        live = Live.open(options)
        try:
            if not options.report:
                live.run(options.methods, options.seeds)
            live.table(options.methods, options.seeds)
        finally:
            live.bench.board.close()
    return 0


@dataclass
class Once:
    """An evaluator that scores a candidate once in a process; the engine's own cache keeps what is slow."""

    bench: Workbench
    known: dict[str, Record]
    start: float

    def evaluate(self, candidate: Candidate) -> Record:
        if candidate.digest not in self.known:
            began = time.monotonic()
            record = self.known[candidate.digest] = self.bench.evaluator.evaluate(candidate)
            found = point(record)
            said = f"{found[0]:.2f} ms {found[1]:.4g}" if found else "failed"
            say(f"  {time.monotonic() - self.start:6.0f} s: {said} ({time.monotonic() - began:.0f} s)")
        return self.known[candidate.digest]


@dataclass
class Live:
    """The study's bench, and the folder of every run's file."""

    bench: Workbench
    folder: Path
    limits: Limits
    evaluations: int
    evaluator: Once

    @classmethod
    def open(cls, options: argparse.Namespace) -> Live:
        study = limited(config.load(options.study), options.calibration, options.photographs)
        toolchain = "simulator" if options.smoke else "acuity"
        bench = open_workbench(study, cache=options.folder / "cache", toolchain=toolchain, say=say)
        if isinstance(bench.target.toolchain, AcuityToolchain):
            bench.target.toolchain.compiles = False
        limits = Limits(bench.budget_ms, study.limits.missed, study.limits.extra, study.budget.at)
        return cls(bench, options.folder, limits, options.evaluations, Once(bench, {}, time.monotonic()))

    def run(self, methods: Sequence[str], seeds: Sequence[int]) -> None:
        """Each seed of every method; in between what is made by hand."""
        uniforms = guided.seeds(self.bench.space)
        few = FewPhotographs(self.bench.scorer, self.bench.calibration, cache=self.folder / "cache", threads=1)
        warm = one_shot(self.bench, few, _WARM)
        for seed in seeds:
            for method in methods:
                say(f"{method}, seed {seed}")
                first = uniforms if method == "guided" else (*uniforms, *warm)
                self._study(method, seed, first, self.evaluations)
            by_hand = hand_made(self.bench)
            say(f"by hand: {len(by_hand)} candidates")
            self._study("by-hand", 0, by_hand, len(by_hand))

    def _study(self, method: str, seed: int, first: Sequence[Candidate], total: int) -> None:
        name = f"{method}-{seed}"
        (self.folder / name).mkdir(parents=True, exist_ok=True)
        ledger = Ledger.create(default_url(self.folder / name), name, self.bench.fingerprint, self.limits)
        if len(ledger.trials) >= total:
            return
        twin = twins.of(self.bench)
        name = "random" if method == "by-hand" else method
        cache = self.folder / "cache"
        make, _ = open_sampler(name, self.bench, self.limits, seed=seed, total=total, cache=cache, twin=twin)
        space = self.bench.space
        StudyRun(
            ledger, space, self.evaluator, limits=self.limits, sampler=make, seeds=first, seed=seed, twin=twin
        ).run(total)  # fmt: skip

    def table(self, methods: Sequence[str], seeds: Sequence[int]) -> None:
        """What is stored now."""
        by_hand = self._points("by-hand", 0)
        plain = [p for p, record in self._stored("by-hand", 0) if p and record.candidate.base == self._base]
        if not plain:
            say("nothing was evaluated yet")
            return
        reference = (self.bench.budget_ms, max(error for _, error in plain))
        level = hypervolume(by_hand, reference)
        least = min((e for ms, e in by_hand if ms <= reference[0]), default=float("nan"))
        steps = [step for step in _STEPS if step < self.evaluations] + [self.evaluations]
        print(
            f"budget {reference[0]:.2f} ms, reference {reference[1]:.4g}, by hand {len(by_hand)} candidates:", end=" "
        )
        print(f"volume {level:.3f}, least error within the budget {least:.4g}\n")
        print("| method | seed | " + " | ".join(f"volume at {step}" for step in steps) + " | over by hand | least |")
        print("|---" * (len(steps) + 4) + "|")
        for method in methods:
            rows = []
            for seed in seeds:
                points = [p for p, _ in self._stored(method, seed)]
                if len(points) < self.evaluations:
                    continue
                row = [hypervolume([p for p in points[:step] if p], reference) for step in steps]
                within = [p[1] for p in points if p and p[0] <= reference[0]]
                rows.append([*row, 100 * (row[-1] / level - 1) if level else 0.0, min(within, default=float("nan"))])
                print(_line(method, str(seed), rows[-1]))
            if len(rows) > 1:
                print(
                    _line(
                        f"**{method}**",
                        f"median of {len(rows)}",
                        [median(column) for column in zip(*rows, strict=True)],
                    )
                )

    @property
    def _base(self) -> str:
        return self.bench.bench.study.budget.of

    def _points(self, method: str, seed: int) -> list[Objectives]:
        return [p for p, _ in self._stored(method, seed) if p]

    def _stored(self, method: str, seed: int) -> list[tuple[Objectives | None, Record]]:
        name = f"{method}-{seed}"
        if not (self.folder / name / "study.db").is_file():
            return []
        ledger = Ledger.create(default_url(self.folder / name), name, self.bench.fingerprint, self.limits)
        return [(point(trial.record), trial.record) for trial in ledger.trials]


def limited(study: Study, calibration: int, photographs: int) -> Study:
    """The same study on fewer photographs."""
    data = {"calibration_limit": calibration, "evaluation_limit": photographs}
    return study.model_copy(update={"data": study.data.model_copy(update=data)})


def hand_made(bench: Workbench) -> list[Candidate]:
    """Uniforms and tails within the budget, at the deepest cut; the 8-bit uniforms first."""
    uniforms = guided.seeds(bench.space)
    deepest = {candidate.cuts for candidate in uniforms}
    found = {}
    for candidate in (*uniforms, *bench.space.tails()):
        latency_ms = bench.bench.latency_ms(candidate)
        if candidate.cuts in deepest and latency_ms is not None and latency_ms <= bench.budget_ms:
            found[candidate.digest] = candidate
    return list(found.values())


def one_shot(bench: Workbench, few: FewPhotographs, count: int) -> list[Candidate]:
    """Exact solutions of the cost model and the sensitivities (one group low in a network that is high elsewhere), at
    the deepest cut of the first 8-bit base; the budget itself first, then ever finer steps."""
    space, frames = bench.space, Frames(bench.space)
    assert bench.bench.profile is not None  # a simulated target
    features = Features(space, CostModel(bench.bench.profile, bench.graph))
    frame = frames.deepest(next(name for name in space.bases if BASES[name].type.bits == 8))
    highest = np.array(frame.counts) - 1
    floor = few(space.at(frame.point(highest))) or 0.0
    errors = [np.zeros(options) for options in frame.counts]
    for group, options in enumerate(frame.counts):
        for option in range(options - 1):
            chosen = highest.copy()
            chosen[group] = option
            errors[group][option] = max((few(space.at(frame.point(chosen))) or 0.0) - floor, 1e-3 * floor, 1e-9)
    tables = features.tables(frame)
    weights = np.array([1.0 if term[0] in ("fixed", "unit", "edge") else 0.0 for term in features.latency.index])
    nothing = np.zeros((1, len(frame.counts)), dtype=np.int64)
    fastest_ms = float(features.latency_rows(frame, nothing)[0] @ weights)
    model = Model(frame, tables, weights)
    found: list[np.ndarray] = []
    for share in _SHARES[:count]:
        solved = model.solve(errors, fastest_ms + share * (bench.budget_ms - fastest_ms), found)
        if solved is not None:
            found.append(solved)
    return [space.at(frame.point(chosen)) for chosen in found]


def point(record: Record) -> Objectives | None:
    """Latency and error; None for a failure."""
    outcome = record.outcome
    return (outcome.timing.median_ms, outcome.score.objective) if isinstance(outcome, Measured) else None


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _line(method: str, seed: str, row: Sequence[float]) -> str:
    *volumes, over, least = row
    return f"| {method} | {seed} | " + " | ".join(f"{v:.3f}" for v in volumes) + f" | {over:+.1f} % | {least:.4g} |"


if __name__ == "__main__":
    sys.exit(main())
