"""Trials as rows: the one shape behind tables, JSON and CSV."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mpsearch.candidate import Candidate, DataType
from mpsearch.pareto.front import Trial, task_of
from mpsearch.pareto.limits import Limits
from mpsearch.record import Measured
from mpsearch.task import Task

_BESIDE = {
    "landmarks": ("matched_landmark_mse_px2", "nme"),
    "boxes": ("matched_box_mse_px2", "matched_iou"),
}
"""Task -> other fields of the score that a row has."""


def columns(task: Task) -> tuple[str, ...]:
    """What a row holds: ``low_ms`` and ``high_ms`` are the 95 % interval of a measured median; the error's column, and
    that of the count of what it looks for, have the names that the task gives them."""
    return (
        "trial", "latency_ms", "low_ms", "high_ms", "p95_ms", task.column, "feasible", "candidate", "missed", "extra",
        task.things, *_BESIDE.get(task.name, ()), "source", "board", "origin", "failed", "digest",
    )  # fmt: skip


def shown(task: Task, listed: Iterable[Mapping[str, Any]] = ()) -> tuple[str, ...]:
    """The columns of a row that a table for people has room for; intervals where one of the ``listed`` rows has one."""
    counts = ("missed", "extra") if task.counts else ()
    known = tuple(listed)
    interval = ("low_ms", "high_ms") if any(row["low_ms"] is not None for row in known) else ()
    model = ("model",) if any("model" in row for row in known) else ()
    board = ("measured_ms", "board") if any("measured_ms" in row for row in known) else ()
    return (*model, "trial", "latency_ms", *interval, *board, task.column, "feasible", *counts, "origin", "candidate")


def rows(trials: Iterable[Trial], limits: Limits) -> list[dict[str, Any]]:
    """One row a trial, in the given order, always with all of :func:`columns`; what a failed trial lacks is None. Where
    a study has several models, ``model`` comes first; where it has several boards, ``latency_ms`` and its interval are
    as on the slowest, and ``measured_ms`` is as measured.

    ``source`` says whether a latency is simulated.
    """
    known = tuple(trials)
    task = task_of(known)
    found = [_row(trial, limits, task) for trial in known]
    timings = [None if trial.measured is None else trial.measured.timing for trial in known]
    measured = [timing for timing in timings if timing is not None]
    if len({timing.board for timing in measured}) > 1 or any(timing.scale != 1 for timing in measured):
        for row, timing in zip(found, timings, strict=True):
            row["measured_ms"] = None if timing is None else timing.median_ms / timing.scale
    return found


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
    parts.extend(f"{name}={value}" for name, value in candidate.options)
    return " | ".join(parts)


def _row(trial: Trial, limits: Limits, task: Task) -> dict[str, Any]:
    row: dict[str, Any] = {"model": trial.model} if trial.model else {}
    row.update(dict.fromkeys(columns(task)))
    row.update(
        trial=trial.number,
        feasible=limits.feasible(trial.record),
        candidate=short(trial.record.candidate),
        origin=trial.origin,
        digest=trial.record.candidate.digest[:12],
    )
    outcome = trial.record.outcome
    if not isinstance(outcome, Measured):
        row["failed"] = outcome.why
        return row
    score = outcome.score
    row.update(
        latency_ms=outcome.timing.median_ms,
        missed=score.missed,
        extra=score.extra,
        source=outcome.timing.source,
        board=outcome.timing.board,
    )
    if outcome.timing.interval_ms is not None:
        row["low_ms"], row["high_ms"] = (bound * outcome.timing.factor for bound in outcome.timing.interval_ms)
        if not outcome.timing.mean_s:  # a mean over many runs hides its late ones
            row["p95_ms"] = outcome.timing.percentile_ms(0.95)
    row[task.column], row[task.things] = score.objective, score.faces
    row.update({name: getattr(score, name) for name in _BESIDE.get(task.name, ())})
    return row
