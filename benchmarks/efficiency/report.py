"""Tables and pictures of the runs."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

STEPS = (10, 20, 30, 40, 60)
TARGETS = (0.9, 0.95)


def tables(names: Sequence[str], methods: Sequence[str], options: argparse.Namespace, rows: dict[Any, Any]) -> None:
    """Print one table a world."""
    steps = [step for step in STEPS if step <= options.evaluations]
    for name in names:
        print(f"\n## {name}\n")
        heads = ["method", *(f"volume {s}" for s in steps), *(f"regret {s}" for s in steps)]
        print("| " + " | ".join([*heads, "to 95 %", "to 5 % regret", "s"]) + " |")
        print("|---" * (2 * len(steps) + 4) + "|")
        for method in methods:
            mine = [rows[key] for s in range(options.seeds) if (key := (name, method, s, options.evaluations)) in rows]
            if not mine:
                continue
            volume = np.array([row["volume"] for row in mine])
            regret = np.array([[math.inf if r is None else r for r in row["regret"]] for row in mine])
            cells = [_quartiles(volume[:, s - 1], "{:.3f}") for s in steps]
            cells += [_quartiles(100 * regret[:, s - 1], "{:.0f}%") for s in steps]
            cells.append(_first(volume >= 0.95))
            cells.append(_first(regret <= 0.05))
            cells.append(f"{np.median([row['seconds'] for row in mine]):.1f}")
            print(f"| {method} | " + " | ".join(cells) + " |")


def against_all(rows: dict[Any, Any]) -> dict[Any, Any]:
    """Where the true best is only a lower bound, some run may have passed it: then the best of all runs of that world
    and seed is the measure."""
    most: dict[Any, float] = {}
    least: dict[Any, float] = {}
    for (world, _, seed, count), row in rows.items():
        key = (world, seed, count)
        most[key] = max(most.get(key, 1.0), *row["volume"])
        least[key] = min(least.get(key, 0.0), *(r for r in row["regret"] if r is not None), 0.0)
    return {
        key: {
            **row,
            "volume": [v / most[key[0], key[2], key[3]] for v in row["volume"]],
            "regret": [None if r is None else (1 + r) / (1 + least[key[0], key[2], key[3]]) - 1 for r in row["regret"]],
        }
        for key, row in rows.items()
    }


def _quartiles(values: np.ndarray, form: str) -> str:
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75], method="nearest")
    return f"{form.format(middle)} ({form.format(low)}..{form.format(high)})"


def _first(reached: np.ndarray) -> str:
    """Median over the seeds of the evaluation at which it is reached."""
    counts = np.where(reached.any(axis=1), reached.argmax(axis=1) + 1, np.inf)
    middle = np.quantile(counts, 0.5, method="nearest")
    return f"{middle:.0f}" if math.isfinite(middle) else f"> {reached.shape[1]}"


def plot(
    names: Sequence[str], methods: Sequence[str], options: argparse.Namespace, rows: dict[Any, Any], path: Path
) -> None:
    """Median volume over evaluations, a panel a world."""
    wide = min(3, len(names))
    tall = math.ceil(len(names) / wide)
    figure = Figure(figsize=(6 * wide, 4 * tall), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    for index, name in enumerate(names):
        axes = figure.add_subplot(tall, wide, index + 1)
        for method in methods:
            mine = [rows[key] for s in range(options.seeds) if (key := (name, method, s, options.evaluations)) in rows]
            if mine:
                volume = np.array([row["volume"] for row in mine])
                bold = method == "guided"
                line = axes.plot(np.median(volume, axis=0), label=method, linewidth=2.5 if bold else 1)[0]
                if bold:
                    low, high = np.quantile(volume, [0.25, 0.75], axis=0)
                    axes.fill_between(range(len(low)), low, high, alpha=0.2, color=line.get_color())
        axes.set_title(name)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("evaluations, the cheap rung's share among them")
        axes.set_ylabel("share of the true hypervolume")
        axes.grid(alpha=0.3)
    axes.legend(fontsize=7)
    figure.savefig(path)
