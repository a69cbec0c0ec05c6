"""What is worth the board: cheaper looks at a candidate before it is compiled, copied, timed and scored there.

    the vendor's rules  ->  all photographs on this computer  ->  the board

A candidate stops at a rung only if it could not be on the front: if a trial that keeps the limits on faces dominates
even the most favourable forecast of its latency and error (:mod:`mpsearch.search.forecast`). What looking costs is
limited by time: the rungs together may take a share of what the trials took.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

from mpsearch.board.stats import reading_ms
from mpsearch.candidate import Candidate
from mpsearch.errors import CandidateError, TransientError
from mpsearch.evaluate import Evaluator
from mpsearch.pareto.front import ERROR_FLOOR, Objectives, Trial, dominates
from mpsearch.pareto.limits import Limits
from mpsearch.record import RULES, Record, Rejected, Rung, Score
from mpsearch.search import forecast
from mpsearch.search.guided import rungs

if TYPE_CHECKING:
    from mpsearch.study.ledger import Ledger

IN_A_ROW = 5
"""After so many candidates that the photographs rejected, the next one is evaluated whatever they say: what is forecast
stays in touch with the board, and a study comes to its end."""


@dataclass(frozen=True)
class Look:
    """A cheaper way to a candidate's error.

    Attributes:
        rung: its name in records.
        score: raises :class:`~mpsearch.errors.CandidateError` where it has none.
        exact: it is the study's own way to it, so that an evaluation takes the score over.
        latency_ms: what is expected of the board; only ratios matter.
        share: of the trials' time that the rungs may take.
        close: lets go of what it runs on.
    """

    rung: str
    score: Callable[[Candidate], Score]
    exact: bool
    latency_ms: Callable[[Candidate], float]
    share: float
    close: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Ladder:
    """Implements :class:`mpsearch.study.run.Evaluates`.

    Args:
        ledger: of the study. All that is learnt is read from it, so that a resumed study goes on as it was, and several
            processes share what they know and spend.
        illegal: the vendor's rules: reasons why a candidate cannot be, none when it can.
        look: None where a whole evaluation is no dearer, as on simulated boards: there only the rules stand before it.
    """

    evaluator: Evaluator
    ledger: Ledger
    limits: Limits
    illegal: Callable[[Candidate], Sequence[str]]
    look: Look | None = None
    clock: Callable[[], float] = perf_counter

    def evaluate(self, candidate: Candidate) -> Record:
        """Measured, failed or rejected; raises what :meth:`mpsearch.evaluate.Evaluator.evaluate` does."""
        if reasons := self.illegal(candidate):
            return Record(candidate, Rejected(RULES, "; ".join(reasons)))
        found = None if self.look is None else self._ask(self.look, candidate)
        if self.look is None or found is None:
            return self.evaluator.evaluate(candidate)
        score, seconds = found
        rung = Rung(score.objective, score.missed, score.extra, seconds)
        reason = dominated(self.look, candidate, score, self.ledger.trials, self.limits)
        if reason and self._in_a_row() < IN_A_ROW:
            return Record(candidate, Rejected(self.look.rung, reason), rungs={self.look.rung: rung})
        record = self.evaluator.evaluate(candidate, score if self.look.exact else None)
        if self.look.exact and "score" not in record.stage_s:  # it was no look, but the evaluation's own score
            rung = replace(rung, seconds=0.0)
            record = replace(record, stage_s={**record.stage_s, "score": seconds})
        return replace(record, rungs={self.look.rung: rung})

    def left_s(self) -> float:
        """Seconds that the rungs may take yet, by what trials and rungs have taken in all processes."""
        if self.look is None:
            return float("inf")
        few = rungs.read(self.ledger.study.user_attrs).few_s
        return self.look.share * _trials_s(self.ledger.trials) - few - sum(self._looks_s())

    def close(self) -> None:
        """Let go of what the look runs on; the evaluator's board is its owner's."""
        if self.look is not None:
            self.look.close()

    def _ask(self, look: Look, candidate: Candidate) -> tuple[Score, float] | None:
        """The score with the seconds that it took; None where there is none, or no time for it."""
        usual = [seconds for seconds in self._looks_s() if seconds]
        if self.left_s() < (median(usual) if usual else 0.0):
            return None
        begin = self.clock()
        try:
            score = look.score(candidate)
        except (CandidateError, TransientError):  # the board will say why, or does not mind
            return None
        return score, round(self.clock() - begin, 4)

    def _looks_s(self) -> list[float]:
        known = (*self.ledger.trials, *self.ledger.rejected)
        return [rung.seconds for trial in known for rung in trial.record.rungs.values()]

    def _in_a_row(self) -> int:
        """Candidates that a look has rejected since the last evaluation."""
        last = max((trial.number for trial in self.ledger.trials), default=-1)
        return sum(trial.number > last and bool(trial.record.rungs) for trial in self.ledger.rejected)


def dominated(look: Look, candidate: Candidate, score: Score, trials: Sequence[Trial], limits: Limits) -> str:
    """By what, in words, ``candidate`` is dominated whatever the board says; empty where it may be on the front.

    Args:
        score: of the look.
        trials: of the study.
    """
    times = [(look.latency_ms(t.record.candidate), t.objectives[0]) for t in trials if t.objectives is not None]
    latency_ms = forecast.lowest(look.latency_ms(candidate), times)
    error = max(score.objective, ERROR_FLOOR)
    if not look.exact:
        error = forecast.lowest(error, forecast.errors((t.record for t in trials), look.rung))
    by = dominator(trials, limits, (latency_ms, error))
    if by is None or by.objectives is None:
        return ""
    show = score.task.show
    return (
        f"{show(score.objective)} here, on the board at best {show(error)} and {latency_ms:.4g} ms; "
        f"trial {by.number} has {show(by.objectives[1])} and {by.objectives[0]:.4g} ms"
    )


def dominator(trials: Iterable[Trial], limits: Limits, point: Objectives) -> Trial | None:
    """A trial that keeps the limits on faces and dominates ``point`` by its median latency, and by what of it is held
    against the budget."""
    for trial in trials:
        if trial.measured is None:
            continue
        latency_ms = max(trial.measured.timing.median_ms, reading_ms(trial.measured.timing, limits.at))
        mine = latency_ms, max(trial.measured.score.objective, ERROR_FLOOR)
        over = limits.violations(trial.record)
        if over["missed"] <= 0 and over["extra"] <= 0 and dominates(mine, point):
            return trial
    return None


def _trials_s(trials: Iterable[Trial]) -> float:
    """What evaluations took."""
    return sum(sum(trial.record.stage_s.values()) for trial in trials)
