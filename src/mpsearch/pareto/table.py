"""Trials as rows: the one shape behind tables, JSON and CSV."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mpsearch.candidate import Candidate, DataType
from mpsearch.pareto.front import Trial
from mpsearch.pareto.limits import Limits
from mpsearch.record import Failed

COLUMNS = (
    "trial", "latency_ms", "landmark_mse_px2", "feasible", "candidate", "missed", "extra", "faces",
    "matched_landmark_mse_px2", "nme", "source", "board", "origin", "failed", "digest",
)  # fmt: skip


def rows(trials: Iterable[Trial], limits: Limits) -> list[dict[str, Any]]:
    """One row a trial, in the given order, always with all of :data:`COLUMNS`; what a failed trial lacks is None.

    ``landmark_mse_px2`` is the objective (``docs/metric.md``), ``source`` says whether a latency is simulated.
    """
    return [_row(trial, limits) for trial in trials]


def short(candidate: Candidate) -> str:
    """A line for people: base, how many units take which type, cuts, what is dropped."""
    parts = [candidate.base]
    for kind in DataType:
        count = sum(1 for unit, k in candidate.overrides if k == kind and not unit.startswith("output:"))
        outputs = sum(1 for unit, k in candidate.overrides if k == kind and unit.startswith("output:"))
        if count or outputs:
            shown = [f"{count} unit{'s' if count != 1 else ''}"] if count else []
            shown += [f"{outputs} output{'s' if outputs != 1 else ''}"] if outputs else []
            parts.append(f"{kind}: {' and '.join(shown)}")
    if candidate.algorithm != "standard":
        parts.append(str(candidate.algorithm))
    if candidate.cuts:
        shown_cuts = {cut[0] if len(cut) == 1 else f"{len(cut)} tensors" for _, cut in candidate.cuts}
        parts.append(f"cut {', '.join(sorted(shown_cuts))}")
    if candidate.dropped:
        parts.append(f"without {', '.join(candidate.dropped)}")
    if candidate.preprocess != "cpu":
        parts.append(candidate.preprocess)
    return " | ".join(parts)


def _row(trial: Trial, limits: Limits) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row.update(
        trial=trial.number,
        feasible=limits.feasible(trial.record),
        candidate=short(trial.record.candidate),
        origin=trial.origin,
        digest=trial.record.candidate.digest[:12],
    )
    outcome = trial.record.outcome
    if isinstance(outcome, Failed):
        row["failed"] = f"{outcome.stage}: {outcome.message}"
        return row
    row.update(
        latency_ms=outcome.timing.median_ms,
        landmark_mse_px2=outcome.score.objective_px2,
        missed=outcome.score.missed,
        extra=outcome.score.extra,
        faces=outcome.score.faces,
        matched_landmark_mse_px2=outcome.score.matched_landmark_mse_px2,
        nme=outcome.score.nme,
        source=outcome.timing.source,
        board=outcome.timing.board,
    )
    return row
