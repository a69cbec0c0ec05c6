"""Memory of this process, and of a study trial by trial."""

from __future__ import annotations

import resource
import tempfile
from pathlib import Path
from typing import TextIO

from mpsearch.pareto.limits import Limits
from mpsearch.record import Record
from mpsearch.search import samplers
from mpsearch.study.ledger import Ledger
from mpsearch.study.run import StudyRun
from mpsearch.study.storage import default_url
from mpsearch.study.summary import Summary
from mpsearch.workbench import Workbench

TRIALS = 60


def megabytes() -> tuple[float, float]:
    """Resident now (0 where the system does not say), and the most so far."""
    status = Path("/proc/self/statm")
    now = int(status.read_text().split()[1]) * resource.getpagesize() / 2**20 if status.is_file() else 0.0
    return now, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def study_memory(bench: Workbench, out: TextIO, trials: int = TRIALS) -> list[dict[str, float]]:
    """A TPE study of ``trials`` trials from the beginning; ``trial``, ``now_mb`` and ``peak_mb`` after each."""
    rows: list[dict[str, float]] = []

    def on_trial(number: int, record: Record, summary: Summary) -> None:
        now, peak = megabytes()
        rows.append({"trial": len(rows), "now_mb": round(now, 1), "peak_mb": round(peak, 1)})
        print(f"trial {len(rows):3}: {now:6.0f} MB, peak {peak:6.0f} MB", file=out, flush=True)

    study = bench.bench.study
    limits = Limits(bench.budget_ms, study.limits.missed, study.limits.extra, study.budget.at)
    with tempfile.TemporaryDirectory() as scratch:
        ledger = Ledger.create(default_url(Path(scratch)), "memory", bench.fingerprint, limits)
        StudyRun(
            ledger,
            bench.space,
            bench.evaluator,
            limits=limits,
            sampler=lambda count: samplers.create("tpe", 0, count),
            seeds=bench.space.seeds(study.seeds),
            on_trial=on_trial,
        ).run(trials)
    return rows
