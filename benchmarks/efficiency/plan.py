"""What is run: worlds by name, and the parts of the benchmark with their methods and seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from efficiency.methods import BASELINES, METHODS
from efficiency.synthetic import synthetic
from efficiency.worlds import World, recorded

ORACLES = Path(__file__).parents[1] / "oracles"
BUDGETS = (1.1, 1.25, 1.75)
"""In all-8-bit latencies."""
Make = Callable[[int], World]

HARD: dict[str, dict[str, Any]] = {
    "chain 10, strong interactions": {"groups": 10, "types": 3, "interaction": 2.0},
    "chain 12, noise 5 %": {"groups": 12, "types": 2, "noise": 0.05},
    "chain 12, drift 4 %": {"groups": 12, "types": 2, "drift": 0.04},
    "chain 12, failures": {"groups": 12, "types": 2, "fails": (((2, 1), (5, 1)), ((7, 1), (8, 0)))},
    "wide 12": {"groups": 12, "types": 2, "shape": "wide"},
    "budget below all-8-bit": {"groups": 10, "types": 2, "budget_times": 0.97},
    "everything fits": {"groups": 10, "types": 2, "budget_times": 4.0},
    "one group": {"groups": 1, "types": 3, "budget_times": 3.0},
}
LONG: dict[str, dict[str, Any]] = {
    "chain 24": {"groups": 24, "budget_times": 1.75},
    "chain 24, wrong profile": {"groups": 24, "spread": 0.5, "budget_times": 1.75},
    "chain 60": {"groups": 60, "budget_times": 1.5},
}
MAIN = ("guided", "ILP", "greedy forward", "TPE", "NSGA-II")
"""Methods of the hard cases."""
UNITS = ("guided", "ILP", "greedy forward", "tails", "TPE, warm", "NSGA-II, warm", "TPE", "NSGA-II", "random")
ABLATED = ("yolov5n_2x10 x1.25", "retinaface_2x10 x1.75", "yolov5n_3x8 x1.25", "yolov5n_2x10 wrong profile")


@dataclass(frozen=True, slots=True)
class Part:
    """Worlds that the same methods are run in.

    Attributes:
        evaluations: at most so many a run; what the cheap rung costs counts among them.
    """

    title: str
    worlds: tuple[str, ...]
    methods: tuple[str, ...]
    seeds: int
    evaluations: int = 40


def worlds() -> dict[str, Make]:
    """Name -> world by seed; a recorded network keeps its errors and draws its hidden latencies."""
    found: dict[str, Make] = {}
    for path in sorted(ORACLES.glob("*.npz")):
        for times in BUDGETS if complete(path) else (1.25,):
            found[f"{path.stem} x{times}"] = lambda seed, p=path, t=times: recorded(p, t, seed=seed)
        if complete(path):
            found[f"{path.stem} wrong profile"] = lambda seed, p=path: recorded(p, 1.25, spread=0.5, seed=seed)
    for name, options in {**HARD, **LONG}.items():
        found[name] = partial(
            lambda seed, name, options: synthetic(name, seed=seed, **options), name=name, options=options
        )
    return found


def complete(path: Path) -> bool:
    """Whether a table has every assignment."""
    with np.load(path) as data:
        groups, types = data["unit_ms"].shape
        return len(data["chosen"]) == types**groups


def parts(known: Sequence[str]) -> dict[str, Part]:
    """All of it; two hours on two cores (``docs/guided-search.md`` says how long each part takes)."""
    listed = tuple(name for name in known if " x" in name and "_units" not in name)
    units = tuple(name for name in known if "_units" in name)
    wrong = tuple(name for name in known if name.endswith("wrong profile") and name not in LONG)
    plain = tuple(name for name in BASELINES if name not in ("uniform", "GP"))
    ablations = tuple(name for name in METHODS if name.startswith("guided"))
    return {
        "recorded": Part("Recorded networks, every assignment known", listed, ("guided", *plain), 20),
        "gp": Part("GP in the same worlds", listed, ("GP",), 10, 30),
        "units": Part("A network in all its units", units, UNITS, 5, 60),
        "hard": Part("Hard cases", (*wrong, *HARD), MAIN, 20),
        "long": Part("Long chains", tuple(LONG), MAIN, 5),
        "ablations": Part("The guided search less a part", tuple(w for w in ABLATED if w in known), ablations, 20),
    }
