"""Progress of a search on stderr: a live line on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich import progress as rich_progress

from mpsearch import digits
from mpsearch.cli.output import say, stderr_console
from mpsearch.task import LANDMARKS

if TYPE_CHECKING:
    from mpsearch.pareto.front import Trial
    from mpsearch.pareto.limits import Limits
    from mpsearch.study.summary import Summary

_EVERY_S = 15.0
"""Off a terminal, at most one line in this time."""


class Doing:
    """What one candidate is at, such as ``Quantizing... 40%``: shown where a terminal looks on, else nowhere."""

    def __init__(self) -> None:
        self.show: Callable[[str], None] = lambda text: None

    def __call__(self, text: str) -> None:
        self.show(text)


class Progress:
    """Trials, best within the budget, size of the front, failures, time left, and what the running one is at."""

    def __init__(self, total: int, limits: Limits, doing: Doing | None = None) -> None:
        self._total, self._limits = total, limits
        self._doing = doing or Doing()
        self._console = stderr_console()
        self._bar = rich_progress.Progress(
            rich_progress.TextColumn("{task.fields[state]}"),
            rich_progress.BarColumn(bar_width=24),
            rich_progress.MofNCompleteColumn(),
            rich_progress.TimeRemainingColumn(),
            rich_progress.TextColumn("{task.fields[doing]}"),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("trials", total=total, state="", doing="")
        self._last = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        self._doing.show = lambda text: self._bar.update(self._task, doing=text)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._doing.show = lambda text: None
        self._bar.stop()

    def begin(self, summary: Summary) -> None:
        """Show what is stored already."""
        self._bar.update(self._task, completed=summary.evaluations, state=describe(summary))

    def on_trial(self, trial: Trial, summary: Summary) -> None:
        """After every evaluation."""
        text = describe(summary)
        self._bar.update(self._task, completed=summary.evaluations, state=text, doing="")
        now = time.monotonic()
        if not self._console.is_terminal and (now - self._last > _EVERY_S or summary.evaluations == self._total):
            self._last = now
            say(f"{trial.label} ({summary.evaluations} of {self._total}): {text}")


def describe(summary: Summary) -> str:
    """One line about a study's state."""
    best = summary.best_within_budget
    shown = "nothing within the budget yet"
    if best is not None and best.objectives is not None:
        task = best.measured.score.task if best.measured else LANDMARKS
        whose = f" ({best.model})" if best.model else ""
        shown = f"best {task.show(best.objectives[1])} at {digits.milliseconds(best.objectives[0])} ms{whose}"
    failed = f", {summary.failures} failed" if summary.failures else ""
    rejected = f", {summary.rejected} rejected" if summary.rejected else ""
    return f"{shown}, front {summary.front_size}{failed}{rejected}"
