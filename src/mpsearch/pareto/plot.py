"""The front as a picture."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mpsearch.errors import ConfigError
from mpsearch.pareto.front import ERROR_FLOOR, Trial, front, log_error, task_of
from mpsearch.pareto.limits import Limits
from mpsearch.pareto.pick import best

_NEAR_DECADES = 0.15
_STYLES = {  # origin -> label, marker, colour, size
    "sampler": ("proposed by the sampler", "o", "#7a8fa6", 22),
    "seed": ("seed", "P", "#8a5fbf", 60),
    "tail": ("tail split", "^", "#d9822b", 46),
    "uniform": ("one type everywhere", "s", "#2b8a3e", 52),
}

_MODELS = ("#1c7ed6", "#d9480f", "#2f9e44", "#9c36b5", "#e8a300", "#0b7285")
"""Colours of several models, in the order in which they come."""
_ANY = "#868e96"


def plot(trials: Iterable[Trial], limits: Limits, path: Path, *, title: str = "", uniforms_label: bool = True) -> None:
    """Draw all measured trials by origin, the front, the budget, the best within it; error on a log axis.

    Args:
        path: .png, .svg or .pdf.

    Raises:
        ConfigError: nothing measured, or ``path`` cannot be written.
    """
    known = [trial for trial in trials if trial.objectives is not None]
    if not known:
        raise ConfigError("nothing to plot: no trial has been measured yet", hint="Run the study first.")
    task = task_of(known)
    figure = Figure(figsize=(8.5, 5.5), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    colours = _colours(known)
    for model, colour in colours.items():
        axes.plot([], [], "o", color=colour, label=model)
    for origin, (label, marker, plain, size) in _STYLES.items():
        for ok in (True, False):
            chosen = [t for t in known if t.origin == origin and _within_faces(t, limits) is ok]
            if not chosen:
                continue
            axes.scatter(  # for the legend: where colours are models, this one is none of them
                [], [], s=size, marker=marker, linewidths=1.1, edgecolors=_ANY if colours else plain,
                facecolors=(_ANY if colours else plain) if ok else "none",
                label=label if ok else f"{label}, too many {task.things} missed or extra",
            )  # fmt: skip
            shades = [colours.get(t.model, plain) for t in chosen]
            axes.scatter(
                *_xy(chosen), s=size, marker=marker, zorder=3, alpha=0.85, linewidths=1.1,
                facecolors=shades if ok else "none", edgecolors=shades,
            )  # fmt: skip
    edge = front(known)
    axes.step(*_xy(edge), where="post", color="#c92a2a", linewidth=1.6, zorder=2, label="Pareto front")
    if limits.budget_ms is not None:
        axes.axvline(limits.budget_ms, color="#343a40", linestyle="--", linewidth=1.2, zorder=1)
        axes.annotate(
            f"budget {limits.budget_ms:g} ms ", (limits.budget_ms, 0.995), xycoords=("data", "axes fraction"),
            ha="right", va="top", rotation=90, fontsize=8, color="#343a40",
        )  # fmt: skip
    chosen_one = best(known, limits)
    if chosen_one is not None:
        axes.scatter(
            *_xy([chosen_one]), s=190, marker="o", facecolors="none", edgecolors="#c92a2a", linewidths=1.8,
            zorder=4, label=f"best within the limits: {chosen_one.label}",
        )  # fmt: skip
    _name_uniforms(axes, known)
    axes.set_yscale("log")
    sources = sorted({t.measured.timing.source for t in known if t.measured is not None})
    axes.set_xlabel(f"latency, ms ({', '.join(sources)})")
    axes.set_ylabel(f"{task.label}, against the {'reference' if colours else 'float model'}, log")
    axes.set_title(title or "Pareto front")
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend(fontsize=8, loc="best", framealpha=0.9)
    try:
        figure.savefig(path)
    except OSError as error:
        raise ConfigError(f"{path}: the plot cannot be written: {error.strerror or error}") from error


def _colours(known: list[Trial]) -> dict[str, str]:
    """Model -> colour; nothing where there is one model, whose trials have the colour of their origin."""
    models = list(dict.fromkeys(trial.model for trial in known))
    return dict(zip(models, itertools.cycle(_MODELS), strict=False)) if len(models) > 1 else {}


def _name_uniforms(axes: Axes, known: list[Trial]) -> None:
    """The fastest uniform of each base gets its base's name; names that would lie on each other are joined."""
    fastest: dict[tuple[str, str], tuple[float, float]] = {}
    for trial in known:
        if trial.origin == "uniform" and trial.objectives is not None:
            key = trial.model, trial.record.candidate.base
            fastest[key] = min(trial.objectives, fastest.get(key, trial.objectives))
    low, high = axes.get_xlim()
    labels: list[tuple[tuple[float, float], list[str]]] = []
    for (_, base), point in fastest.items():
        for place, names in labels:
            near = abs(place[0] - point[0]) < (high - low) / 12
            if near and abs(log_error(place[1]) - log_error(point[1])) < _NEAR_DECADES:
                names += [] if base in names else [base]
                break
        else:
            labels.append((point, [base]))
    for place, names in labels:
        axes.annotate(
            ", ".join(names), (place[0], max(place[1], ERROR_FLOOR)), xytext=(7, 6),
            textcoords="offset points", fontsize=8, color="#2b8a3e",
        )  # fmt: skip


def _within_faces(trial: Trial, limits: Limits) -> bool:
    over = limits.violations(trial.record)
    return over["missed"] <= 0 and over["extra"] <= 0


def _xy(trials: Iterable[Trial]) -> tuple[list[float], list[float]]:
    points = [trial.objectives for trial in trials if trial.objectives is not None]
    return [x for x, _ in points], [max(y, ERROR_FLOOR) for _, y in points]
