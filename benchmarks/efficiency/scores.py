"""What a run is worth after each evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mpsearch.pareto.front import hypervolume

if TYPE_CHECKING:
    from efficiency.worlds import World

Value = tuple[float, float]


def reference(world: World) -> Value:
    """The budget, and the error of all-8-bit: fixed before any run."""
    return world.budget_ms, world.truth.error_px2((0,) * world.groups)


def volume(world: World, points: Sequence[Value]) -> float:
    """ms x log10 px^2, cut at the budget."""
    return hypervolume(points, reference(world))


def curve(world: World, visited: Sequence[Value | None]) -> list[dict[str, float]]:
    """After each evaluation: share of the true hypervolume, and the best error within the budget over the optimum (an
    infinite one while there is none). A visited point counts by its true value."""
    best_volume, best_error = world.best
    found: list[dict[str, float]] = []
    points: list[Value] = []
    least = float("inf")
    for value in visited:
        if value is not None:
            points.append(value)
            if value[0] <= world.budget_ms:
                least = min(least, value[1])
        share = volume(world, points) / best_volume if best_volume > 0 else 1.0
        found.append({"volume": share, "regret": least / best_error - 1})
    return found
