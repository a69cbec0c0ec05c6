"""What a study minimises: four tasks, each with its error, the unit, and the words for it (``docs/metric.md``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Task:
    """One kind of objective.

    Attributes:
        name: what a study file says: ``objective: landmarks``.
        column: the error's name in tables, JSON and CSV; ends in its unit where it has one.
        unit: ``"px2"``, ``"ppm"``, or ``""`` for a share.
        error: the error in words.
        things: what is counted as missed or extra.
        counts: whether anything is.
    """

    name: str
    column: str
    unit: str
    error: str
    things: str = "objects"
    counts: bool = True

    @property
    def label(self) -> str:
        """Error and unit, for axes and reports."""
        return f"{self.error} ({self.unit.replace('2', '²')})" if self.unit else self.error

    def show(self, value: float) -> str:
        """``value`` to three digits with its unit."""
        return f"{value:.3g} {self.unit or f'({self.error})'}"


TASKS: Mapping[str, Task] = {
    task.name: task
    for task in (
        Task("landmarks", "landmark_mse_px2", "px2", "landmark error", "faces"),
        Task("boxes", "box_mse_px2", "px2", "box error"),
        Task("segmentation", "miou_loss", "", "1 - mIoU", counts=False),
        Task("tensors", "output_noise_ppm", "ppm", "output noise over signal", counts=False),
    )
}
LANDMARKS = TASKS["landmarks"]
