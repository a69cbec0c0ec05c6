"""Tables, goals and pictures of the runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

STEPS = (10, 20, 40, 60)
SAMPLERS = ("TPE", "NSGA-II", "GP")
SIMPLE = ("greedy forward", "greedy backward", "tails", "ILP", "ILP, no switches")
LEAST_VOLUME, MOST_REGRET, LEAST_TIMES, MOST_BEHIND = 0.95, 0.05, 3.0, 0.05
_DRAWN = {
    "guided": ("#d62728", "-"), "ILP": ("#1f77b4", "-"), "greedy forward": ("#2ca02c", "-"), "tails": ("#8c564b", "-"),
    "TPE, warm": ("#9467bd", "--"), "TPE": ("#9467bd", "-"), "GP": ("#ff7f0e", "-"), "NSGA-II": ("#7f7f7f", "-"),
}  # fmt: skip
"""Methods of the plot; all of them would hide one another."""

Rows = Mapping[Any, Any]


@dataclass(frozen=True)
class Runs:
    """One method in one world: [seeds, evaluations] share of the true hypervolume, and regret of the best error within
    the budget."""

    volume: np.ndarray
    regret: np.ndarray
    cpu_s: float

    def to_volume(self) -> float:
        """Median over the seeds of the evaluation at which 95 % of the true hypervolume are reached."""
        return _middle(_first(self.volume >= LEAST_VOLUME))

    def to_regret(self) -> float:
        return _middle(_first(self.regret <= MOST_REGRET))


def gather(rows: Rows, world: str, methods: Sequence[str], seeds: int, evaluations: int) -> dict[str, Runs]:
    """Method -> its runs, where there are any."""
    found = {}
    for method in methods:
        mine = [rows[key] for s in range(seeds) if (key := (world, method, s, evaluations)) in rows]
        if mine:
            regret = np.array([[math.inf if r is None else r for r in row["regret"]] for row in mine])
            seconds = float(np.median([row["seconds"] for row in mine]))
            found[method] = Runs(np.array([row["volume"] for row in mine]), regret, seconds)
    return found


def against_all(rows: Rows) -> dict[Any, Any]:
    """Where the true best is only a lower bound, some run may have passed it: then the best of all runs of that world
    and seed is the measure."""
    most: dict[Any, float] = {}
    least: dict[Any, float] = {}
    for (world, _, seed, _), row in rows.items():
        volume, error = row["true"]
        best = min((1 + r for r in row["regret"] if r is not None), default=1.0)
        most[world, seed] = max(most.get((world, seed), 0.0), volume * max(1.0, *row["volume"]))
        least[world, seed] = min(least.get((world, seed), math.inf), (error or math.inf) * min(1.0, best))
    found = {}
    for key, row in rows.items():
        volume, error = row["true"]
        share = volume / most[key[0], key[2]] if volume else 1.0
        over = (error or math.inf) / least[key[0], key[2]]
        regret = [None if r is None else (1 + r) * over - 1 for r in row["regret"]]
        found[key] = {**row, "volume": [v * share for v in row["volume"]], "regret": regret}
    return found


def table(world: str, runs: Mapping[str, Runs]) -> None:
    """Print one world."""
    longest = max(own.volume.shape[1] for own in runs.values())
    steps = [step for step in STEPS if step <= longest]
    heads = ["method", *(f"volume at {s}" for s in steps), "to 95 %", "regret at 30", "to 5 %", "seeds", "CPU s"]
    print(f"\n### {world}\n\n| {' | '.join(heads)} |\n" + "|---" * len(heads) + "|")
    for method, own in runs.items():
        cells = [_quartiles(own.volume[:, step - 1]) if step <= own.volume.shape[1] else "" for step in steps]
        cells += [_count(own.to_volume(), own), _percent(_at(own.regret, 30)), _count(own.to_regret(), own)]
        cells += [str(len(own.volume)), f"{own.cpu_s:.1f}"]
        print(f"| {method} | {' | '.join(cells)} |")


def goals(worlds: Mapping[str, Mapping[str, Runs]]) -> None:
    """Print what was aimed at, world by world: reached or missed, with the numbers."""
    heads = [
        "world", "volume at 40, at least 0.95", "regret at 30, at most 5 %", "to 95 %: guided, best sampler, ratio (3)",
        "furthest behind a simple method, at most 0.05", "from 10 on",
    ]  # fmt: skip
    print("\n## Goals\n\n| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|")
    for world, runs in worlds.items():
        if "guided" in runs:
            own = runs["guided"]
            volume, regret = _at(own.volume, 40), _at(own.regret, 30)
            cells = [
                _judged(volume >= LEAST_VOLUME, f"{volume:.3f}"),
                _judged(regret <= MOST_REGRET, _percent(regret)) if _fits(runs) else "nothing fits",
                _fewer(runs),
                _behind(runs, 1),
                _behind(runs, 10),
            ]
            print(f"| {world} | {' | '.join(cells)} |")


def _fits(runs: Mapping[str, Runs]) -> bool:
    """Whether any method found anything within the budget."""
    return any(math.isfinite(_middle(own.regret[:, -1])) for own in runs.values())


def _fewer(runs: Mapping[str, Runs]) -> str:
    """How many times fewer evaluations than the best sampler; a lower bound where no sampler got there."""
    own = runs["guided"]
    mine, rivals = own.to_volume(), {name: runs[name].to_volume() for name in SAMPLERS if name in runs}
    if not rivals:
        return "-"
    best = min(rivals, key=lambda name: min(rivals[name], runs[name].volume.shape[1] + 0.5))  # a run may be shorter
    if math.isinf(mine):
        return _judged(False, f"{_count(mine, own)}, {_count(rivals[best], runs[best])} ({best})")
    if math.isinf(rivals[best]):
        least = runs[best].volume.shape[1] / mine
        text = f"{mine:.0f}, {_count(rivals[best], runs[best])} ({best}): over {least:.1f}"
        return text if least >= LEAST_TIMES else f"open: {text}"
    times = rivals[best] / mine
    return _judged(times >= LEAST_TIMES, f"{mine:.0f}, {rivals[best]:.0f} ({best}): {times:.1f}")


def _behind(runs: Mapping[str, Runs], start: int) -> str:
    """The largest lead of a simple method's median at equal evaluations, from ``start`` on."""
    own = np.median(runs["guided"].volume, axis=0)
    leads = {name: np.median(runs[name].volume, axis=0) - own for name in SIMPLE if name in runs}
    if not leads or start > len(own):
        return "-"
    most = max(leads, key=lambda name: float(leads[name][start - 1 :].max()))
    where = start + int(leads[most][start - 1 :].argmax())
    lead = float(leads[most][where - 1])
    return "ahead" if lead <= 0 else _judged(lead <= MOST_BEHIND, f"{lead:.3f} ({most} at {where})")


def _judged(reached: bool, text: str) -> str:
    return text if reached else f"**missed** {text}"


def _at(values: np.ndarray, evaluation: int) -> float:
    """The median after so many evaluations, or at the end of a shorter run."""
    return _middle(values[:, min(evaluation, values.shape[1]) - 1])


def _middle(values: np.ndarray) -> float:
    return float(np.quantile(values, 0.5, method="nearest"))


def _first(reached: np.ndarray) -> np.ndarray:
    return np.where(reached.any(axis=1), reached.argmax(axis=1) + 1, np.inf)


def _quartiles(values: np.ndarray) -> str:
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75], method="nearest")
    return f"{middle:.3f} ({low:.3f}..{high:.3f})"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %" if math.isfinite(value) else "-"


def _count(value: float, own: Runs) -> str:
    return f"{value:.0f}" if math.isfinite(value) else f"> {own.volume.shape[1]}"


def plot(worlds: Mapping[str, Mapping[str, Runs]], path: Path) -> None:
    """Median volume over evaluations, a panel a world, quartiles of the guided search; the main methods only."""
    wide = min(3, len(worlds))
    tall = math.ceil(len(worlds) / wide)
    figure = Figure(figsize=(3.6 * wide, 2.5 * tall + 0.5), dpi=80, layout="constrained")
    FigureCanvasAgg(figure)
    lines: dict[str, Any] = {}
    for index, (name, runs) in enumerate(worlds.items()):
        axes = figure.add_subplot(tall, wide, index + 1)
        for method, (colour, style) in _DRAWN.items():
            if method in runs:
                volume = runs[method].volume
                at = np.arange(1, volume.shape[1] + 1)
                width = 2.4 if method == "guided" else 1.1
                (lines[method],) = axes.plot(at, np.median(volume, axis=0), style, color=colour, linewidth=width)
                if method == "guided":
                    low, high = np.quantile(volume, [0.25, 0.75], axis=0)
                    axes.fill_between(at, low, high, alpha=0.15, color=colour, linewidth=0)
        axes.axhline(LEAST_VOLUME, color="black", linewidth=0.5, linestyle=":")
        axes.set_title(name, fontsize=9)
        axes.set_ylim(0, 1.02)
        axes.set_xlim(1, None)
        axes.tick_params(labelsize=8)
    figure.supxlabel("evaluations, the cheap rung's among them", fontsize=9)
    figure.supylabel("share of the true hypervolume, median", fontsize=9)
    figure.legend(lines.values(), lines, loc="outside upper center", ncols=len(lines), fontsize=9, frameon=False)
    figure.savefig(path)
