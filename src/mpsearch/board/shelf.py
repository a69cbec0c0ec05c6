"""Several boards of one kind in one study: how fast each is, and all timings to one scale, that of the slowest.

Every board times the same reference model now and then (:mod:`mpsearch.board.drift`), and each record says what it
took. The ratio of these medians is the ratio of the boards. A timing times that ratio is what the slowest board would
take, so a candidate that keeps the budget by it keeps it on every board of the shelf (``docs/adr/0013-shelf.md``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp, hypot, log, sqrt
from statistics import fmean, stdev

from mpsearch.board import drift
from mpsearch.record import Measured, Record, Timing

REFERENCE = "reference"
"""Key of the conditions that hold the latest look at the reference, in words."""
_LOOK = 0.005
"""One look is at least so uncertain, as a share: it ends when the 95 % interval of its median is 2 % wide."""
_ROUNDED_MS = 0.01 / sqrt(12)
"""And all looks together: ``synap_cli`` prints hundredths of a millisecond."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a board is.

    Attributes:
        trials: measured on it.
        looks: at the reference.
        reference_ms: mean of the looks; None where there is none.
        factor: its times over those of the slowest board, by the reference; 1 where nothing says so.
        sd: standard deviation of ``factor``.
    """

    board: str
    trials: int
    looks: int
    reference_ms: float | None
    factor: float
    sd: float


@dataclass(frozen=True, slots=True)
class Scale:
    """What timings of several boards are compared by.

    Attributes:
        paces: board -> how fast it is, in the shelf's order; boards that have left it last.
        slowest: the board that all are compared on; "" where there is only one.
    """

    paces: Mapping[str, Pace]
    slowest: str

    def of(self, board: str) -> float:
        """What its timings are multiplied by."""
        pace = self.paces.get(board)
        return 1.0 if pace is None else 1 / pace.factor

    def __str__(self) -> str:
        others = [pace for pace in self.paces.values() if pace.board != self.slowest]
        shares = ", ".join(f"{pace.board} takes {pace.factor:.3f} +- {pace.sd:.3f} of them" for pace in others)
        return f"latencies are as on {self.slowest}, the slowest board of the shelf; {shares}"

    def other(self, board: str) -> str:
        """The board; "" for the slowest, and where there is only one."""
        return board if board in self.paces and board != self.slowest else ""

    def timing(self, timing: Timing) -> Timing:
        """To scale; the same again where it is already."""
        return replace(timing, scale=self.of(timing.board))

    def record(self, record: Record) -> Record:
        """With its timing to scale."""
        outcome = record.outcome
        if not isinstance(outcome, Measured) or outcome.timing.scale == self.of(outcome.timing.board):
            return record
        return replace(record, outcome=replace(outcome, timing=self.timing(outcome.timing)))


AS_MEASURED = Scale({}, "")
"""Of a study with one board."""


def scale(measured: Iterable[Record | Timing], shelf: Sequence[str] = ()) -> Scale:
    """From what timings tell of the reference; :data:`AS_MEASURED` where all are of one board.

    Args:
        shelf: names of the boards that the study still has, where it says so: none of the others is the slowest.
    """
    timings: dict[str, list[Timing]] = {}
    for item in measured:
        timing = item if isinstance(item, Timing) else _timing(item)
        if timing is not None:
            timings.setdefault(timing.board, []).append(timing)
    if len(timings) < 2:
        return AS_MEASURED
    boards = [board for board in dict.fromkeys((*shelf, *timings)) if board in timings]
    # A look serves several trials, whose words are then the same.
    said = {board: {timing.conditions.get(REFERENCE, "") for timing in timings[board]} for board in boards}
    looks = {board: sorted(ms for text in said[board] if (ms := drift.reading_ms(text))) for board in boards}
    logs = {board: fmean(map(log, found)) for board, found in looks.items() if found}
    mine = [board for board in boards if board in shelf] or boards
    slowest = max(mine, key=lambda board: logs.get(board, float("-inf")), default="")
    paces = {}
    for board in boards:
        known = board in logs and slowest in logs
        factor = exp(logs[board] - logs[slowest]) if known else 1.0
        sd = factor * hypot(_error(looks[board]), _error(looks[slowest])) if known and board != slowest else 0.0
        ms = exp(logs[board]) if board in logs else None
        paces[board] = Pace(board, len(timings[board]), len(looks[board]), ms, factor, sd)
    return Scale(paces, slowest)


def _timing(record: Record) -> Timing | None:
    return record.outcome.timing if isinstance(record.outcome, Measured) else None


def _error(looks: Sequence[float]) -> float:
    """Standard deviation of the mean of their logarithms."""
    spread = stdev(map(log, looks)) if len(looks) > 1 else 0.0
    return hypot(max(spread, _LOOK) / sqrt(len(looks)), _ROUNDED_MS / fmean(looks))
