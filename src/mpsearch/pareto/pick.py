"""Choosing one trial of a front."""

from __future__ import annotations

from collections.abc import Iterable

from mpsearch import digits
from mpsearch.errors import ConfigError, MpsearchError
from mpsearch.pareto.front import Trial, front, log_error
from mpsearch.pareto.limits import Limits


class NothingWithinBudgetError(MpsearchError):
    """The study has finished trials, and none within its budget and limits."""

    exit_code = 4


def best(trials: Iterable[Trial], limits: Limits) -> Trial | None:
    """The lowest error within budget and limits; of equal ones the faster, then the earlier."""
    kept = [(t.objectives, t) for t in trials if t.objectives is not None and limits.feasible(t.record)]
    return min(kept, key=lambda pair: (pair[0][1], pair[0][0], pair[1].number))[1] if kept else None


def nearest(trials: Iterable[Trial], limits: Limits) -> Trial | None:
    """The measured trial that violates budget and limits least, in sum; None when nothing was measured."""
    measured = [trial for trial in trials if trial.measured is not None]
    return min(
        measured,
        key=lambda t: (sum(max(v, 0.0) for v in limits.violations(t.record).values()), t.number),
        default=None,
    )


def knee(trials: Iterable[Trial]) -> Trial | None:
    """The front's trial farthest below the line between its ends, in latency and log error scaled to 0..1.

    With fewer than three different points there is no bend: the lowest error is taken.
    """
    points = [(t.objectives, t) for t in front(trials) if t.objectives is not None]
    if not points:
        return None
    first, last = points[0][0], points[-1][0]
    width_ms, height = last[0] - first[0], log_error(first[1]) - log_error(last[1])
    if len({objectives for objectives, _ in points}) < 3 or width_ms <= 0 or height <= 0:
        return points[-1][1]

    def gain(pair: tuple[tuple[float, float], Trial]) -> float:
        latency_ms, error = pair[0]
        return (log_error(first[1]) - log_error(error)) / height - (latency_ms - first[0]) / width_ms

    return max(points, key=lambda pair: (gain(pair), -pair[1].number))[1]


def pick(trials: Iterable[Trial], how: str, limits: Limits) -> Trial:
    """``how``: ``"budget"`` (lowest error within budget and limits), ``"knee"``, or a trial's number.

    Raises:
        ConfigError: no such trial, a failed one, or nothing measured yet.
        NothingWithinBudgetError: see :func:`nearest`.
    """
    known = tuple(trials)
    if how not in ("budget", "knee"):
        return _numbered(known, how)
    close = nearest(known, limits)
    if close is None:
        raise ConfigError("no trial has been measured yet", hint="Run the study first: mpsearch run")
    found = best(known, limits) if how == "budget" else knee(known)
    if found is None:
        raise NothingWithinBudgetError(
            f"no trial is within {describe(limits)}; nearest is {close.label}: {gap(close, limits)}",
            hint="Give a larger --budget-ms, more --trials, or pick a trial by its number.",
        )
    return found


def gap(trial: Trial, limits: Limits) -> str:
    """What ``trial`` violates, in words; ``"nothing"`` when it is feasible."""
    if trial.measured is None:
        return "it failed"
    score, over = trial.measured.score, limits.violations(trial.record)
    parts = []
    if over.get("latency", 0) > 0 and limits.budget_ms is not None:
        latency_ms = trial.measured.timing.median_ms
        over_ms = latency_ms - limits.budget_ms
        parts.append(f"{digits.milliseconds(latency_ms)} ms, {digits.milliseconds(over_ms)} ms over the budget")
    for name, count in (("missed", score.missed), ("extra", score.extra)):
        if over[name] > 0:
            parts.append(f"{name} {count} of {score.faces} {score.task.things}, {getattr(limits, name):.0%} allowed")
    return "; ".join(parts) or "nothing"


def describe(limits: Limits) -> str:
    """The limits in words."""
    budget = "" if limits.budget_ms is None else f"{limits.budget_ms:.4g} ms, "
    return f"{budget}missed <= {limits.missed:.0%}, extra <= {limits.extra:.0%}"


def _numbered(trials: tuple[Trial, ...], how: str) -> Trial:
    if not how.isdecimal():
        raise ConfigError(f"cannot pick {how!r}", hint="Give budget, knee, or a trial's number.")
    models = sorted({trial.model for trial in trials})
    if len(models) > 1:
        raise ConfigError(
            f"trial {how}: each of the models {', '.join(models)} counts its own trials",
            hint=f"Name the model: STUDY:{models[0]} --pick {how}",
        )
    for trial in trials:
        if trial.number == int(how):
            if trial.measured is None:
                raise ConfigError(f"trial {how} failed: nothing of it can be exported")
            return trial
    near = sorted((abs(t.number - int(how)), t.number) for t in trials if t.measured is not None)[:3]
    shown = ", ".join(str(number) for _, number in near) or "none"
    raise ConfigError(f"no evaluated trial {how}; nearest: {shown}", hint="See: mpsearch pareto --all")
