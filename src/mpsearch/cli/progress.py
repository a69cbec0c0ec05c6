"""Progress of a search on stderr: a live line on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich import progress as rich_progress

from mpsearch.cli.output import say, stderr_console

if TYPE_CHECKING:
    from mpsearch.pareto.limits import Limits
    from mpsearch.record import Record
    from mpsearch.study.summary import Summary

_EVERY_S = 15.0
"""Off a terminal, at most one line in this time."""


class Progress:
    """Trials, best within the budget, size of the front, failures, time left."""

    def __init__(self, total: int, limits: Limits) -> None:
        self._total, self._limits = total, limits
        self._console = stderr_console()
        self._bar = rich_progress.Progress(
            rich_progress.TextColumn("{task.fields[state]}"),
            rich_progress.BarColumn(bar_width=24),
            rich_progress.MofNCompleteColumn(),
            rich_progress.TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("trials", total=total, state="")
        self._last = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def begin(self, summary: Summary) -> None:
        """Show what is stored already."""
        self._bar.update(self._task, completed=summary.evaluations, state=describe(summary))

    def on_trial(self, number: int, record: Record, summary: Summary) -> None:
        """After every evaluation."""
        text = describe(summary)
        self._bar.update(self._task, completed=summary.evaluations, state=text)
        now = time.monotonic()
        if not self._console.is_terminal and (now - self._last > _EVERY_S or summary.evaluations == self._total):
            self._last = now
            say(f"trial {number} ({summary.evaluations} of {self._total}): {text}")


def describe(summary: Summary) -> str:
    """One line about a study's state."""
    best = summary.best_within_budget
    shown = "nothing within the budget yet"
    if best is not None and best.objectives is not None:
        shown = f"best {best.objectives[1]:.3g} px2 at {best.objectives[0]:.2f} ms"
    failed = f", {summary.failures} failed" if summary.failures else ""
    return f"{shown}, front {summary.front_size}{failed}"
