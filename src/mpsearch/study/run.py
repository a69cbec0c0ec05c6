"""The loop: propose, evaluate, store, tell. Everything it knows is in the ledger, so it can stop at any point."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import optuna
from optuna.trial import TrialState

from mpsearch.candidate import Candidate
from mpsearch.errors import ConfigError
from mpsearch.pareto.front import Trial
from mpsearch.pareto.limits import Limits
from mpsearch.record import RULES, Record, Rejected
from mpsearch.space.space import SearchSpace
from mpsearch.study import owner, points
from mpsearch.study.ledger import (
    CANDIDATE,
    DIGEST,
    DUPLICATE_OF,
    ENDED,
    ORIGIN,
    OWNER,
    RECORD,
    TWIN,
    Ledger,
    values,
)
from mpsearch.study.storage import storage_errors
from mpsearch.study.summary import Summary, summarise

MAX_DUPLICATES_IN_A_ROW = 2
"""After so many proposals that were known already, an unknown neighbour of the last one is evaluated."""
CLAIM_WAITS_S = (0.0, 0.1, 0.3)
"""How long an older trial waits for a younger one that claimed the same candidate to step back."""

Twin = Callable[[Candidate], str | None]
"""What identifies a candidate's outcome: equal ones measure the same. None where nobody can tell beforehand."""
MakeSampler = Callable[[int], optuna.samplers.BaseSampler]
"""Number of trials in the study -> sampler."""
OnTrial = Callable[[int, Record, Summary], None]
"""Called after every evaluation with the trial's number; not for rejected candidates."""


class Evaluates(Protocol):
    """:class:`mpsearch.evaluate.Evaluator`."""

    def evaluate(self, candidate: Candidate) -> Record:
        """Measured, failed or rejected; raises only what no other candidate could survive either."""


def ending(clock: Callable[[], float], total: int, timeout_s: float | None) -> float:
    """When by ``clock`` a run of ``total`` trials has to stop.

    Raises:
        ConfigError: a number or a time that is not positive.
    """
    if total < 1:
        raise ConfigError(f"the number of trials must be positive, got {total}")
    if timeout_s is not None and not timeout_s > 0:
        raise ConfigError(f"the time limit must be positive, got {timeout_s} s")
    return float("inf") if timeout_s is None else clock() + timeout_s


class StudyRun:
    """A study with what it takes to go on.

    Args:
        ledger: from :meth:`Ledger.create`, with the same limits.
        seeds: candidates to evaluate first, in this order; those outside the space are told to the sampler as the
            nearest parameters inside.
        seed: of the random draws.
        twin: a candidate whose twin was measured is answered from that record, as a duplicate is.
    """

    def __init__(
        self,
        ledger: Ledger,
        space: SearchSpace,
        evaluator: Evaluates,
        *,
        limits: Limits,
        sampler: MakeSampler,
        seeds: Sequence[Candidate] = (),
        seed: int = 0,
        on_trial: OnTrial = lambda number, record, summary: None,
        twin: Twin = lambda candidate: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger, self._space, self._evaluator = ledger, space, evaluator
        self._limits, self._make_sampler, self._seed = limits, sampler, seed
        self._seeds = {candidate.digest: candidate for candidate in map(space.canonical, seeds)}
        self._on_trial, self._twin, self._clock = on_trial, twin, clock
        self._exhausted = False
        self._streak = 0
        self._last: Mapping[str, str] = {}
        self._total = 0
        self._natures: Mapping[str, str] | None = None

    def summary(self) -> Summary:
        """Of what is stored now."""
        return summarise(
            self._ledger.trials,
            self._limits,
            total=self._total,
            duplicates=self._ledger.duplicates,
            rejected=len(self._ledger.rejected),
            exhausted=self._exhausted,
        )

    def run(self, total: int, *, timeout_s: float | None = None) -> Summary:
        """Evaluate until the study holds ``total`` candidates, the time is over, or nothing is left to try.

        Raises:
            ConfigError: ``total`` is not positive, or another process runs the study for other limits.
            SetupError: no further trial can succeed, or the storage failed; everything finished is stored.
            KeyboardInterrupt: as it came; the running trial is marked, everything finished is stored.
        """
        end = ending(self._clock, total, timeout_s)
        self.begin(total)
        with storage_errors(self._ledger.where):
            if len(self._ledger.trials) < total:
                self.prepare()
            while len(self._ledger.trials) < total and self._clock() < end and self.step():
                pass
        return self.summary()

    def begin(self, total: int) -> None:
        """Count from here, and end the stored trials of processes that are gone."""
        self._total, self._exhausted, self._streak = total, False, 0
        with storage_errors(self._ledger.where):
            self._ledger.sweep()

    def prepare(self) -> None:
        """Before the first :meth:`step`: samplers see the constraints of these limits. Raises as :meth:`run` does."""
        self._ledger.tell_for(self._limits)
        self._ledger.study.sampler = self._make_sampler(len(self._ledger.study.get_trials(deepcopy=False)))

    def step(self) -> bool:
        """One proposal, answered or evaluated; False when nothing is left to try. Raises as :meth:`run` does."""
        trial = self._ask()
        if trial is None:
            self._exhausted = True
            return False
        self._one(trial)
        self._ledger.refresh()
        return True

    @property
    def opening(self) -> bool:
        """Whether some of the candidates that come first is still to be evaluated."""
        return any(self._ledger.find(digest) is None for digest in self._seeds)

    def _ask(self) -> optuna.Trial | None:
        study = self._ledger.study
        if self._ledger.has_waiting():  # of a process that was killed before it took its own
            return self._take()
        seed = self._next_seed()
        if seed is not None:
            attributes = {CANDIDATE: seed.to_json(), ORIGIN: "seed"}
            study.enqueue_trial(self._space.nearest(seed), user_attrs=attributes)
        elif self._streak >= MAX_DUPLICATES_IN_A_ROW:
            params = self._unknown()
            if params is None:
                return None
            study.enqueue_trial(dict(params))
        return self._take()

    def _take(self) -> optuna.Trial:
        trial = self._ledger.study.ask()
        trial.set_user_attr(OWNER, owner.me())
        return trial

    def _next_seed(self) -> Candidate | None:
        waiting = [digest for digest in self._seeds if self._ledger.find(digest) is None]
        if not waiting:
            return None
        running = self._ledger.in_flight()
        return next((seed for digest in waiting if not running & self._names(seed := self._seeds[digest])), None)

    def _names(self, candidate: Candidate) -> frozenset[str]:
        """What a candidate and its twins are claimed by."""
        return frozenset((candidate.digest, self._twin(candidate) or candidate.digest))

    def _unknown(self) -> Mapping[str, str] | None:
        """Parameters of a candidate that was never evaluated, None when there seems to be none."""
        running = self._ledger.in_flight()
        draw = random.Random(f"{self._seed}:{len(self._ledger.trials)}")
        for point in points.around(self._space, self._last, draw):
            candidate = self._space.at(point)
            if self._ledger.find(candidate.digest) is not None or candidate.digest in running:
                continue
            if self._space.illegal(self._space.graph, candidate):
                continue
            if not running & (names := self._names(candidate)) and not any(map(self._ledger.find, names)):
                return point
        return None

    def _one(self, trial: optuna.Trial) -> None:
        record: Record | None = None
        try:
            candidate = self._space.sample(trial)
            if CANDIDATE in trial.user_attrs:
                candidate = self._space.canonical(Candidate.from_json(trial.user_attrs[CANDIDATE]))
            claimed = self._claim(trial, candidate)
            self._ledger.refresh()  # after the claim: who let go of the candidate before it has stored its record
            known = next((t for name in self._names(candidate) if (t := self._ledger.find(name)) is not None), None)
            if known is not None:
                self._streak += 1
                self._last = dict(trial.params)
                self._answer(trial, known)
                return
            if not claimed:
                self._streak += 1
                self._end(trial, "another process is measuring this candidate or its twin")
                return
            streak, self._streak = self._streak, 0
            trial.set_user_attr(ORIGIN, self._origin(candidate, trial))
            record = self._evaluator.evaluate(candidate)
            self._settle(trial, record)
        except BaseException as error:
            if record is not None:
                self._settle(trial, record)
            else:
                self._end(trial, type(error).__name__)
            raise
        self._ledger.refresh()
        if not isinstance(record.outcome, Rejected):
            self._on_trial(trial.number, self._ledger.to_scale(record), self.summary())
        elif record.outcome.rung == RULES:  # where most of a space is ruled out, a sampler may propose nothing else
            self._streak, self._last = streak + 1, dict(trial.params)

    def _claim(self, trial: optuna.Trial, candidate: Candidate) -> bool:
        """Say first what this trial measures, then look who else says so: of two that do, at least one sees the
        other, and never do both go on. The younger steps back at once; the older waits for that, then does too."""
        trial.set_user_attr(DIGEST, candidate.digest)
        names = self._names(candidate)
        for name in names - {candidate.digest}:
            trial.set_user_attr(TWIN, name)
        for wait_s in CLAIM_WAITS_S:
            time.sleep(wait_s)
            rivals = self._ledger.claimants(names) - {trial.number}
            if not rivals:
                return True
            if min(rivals) < trial.number:
                return False
        return False

    def _settle(self, trial: optuna.Trial, record: Record) -> None:
        """Store the record, then tell; harmless when an interrupt lets it begin twice."""
        try:
            if RECORD not in trial.user_attrs:
                trial.set_user_attr(RECORD, record.to_json())
            self._tell(trial, record)
        except optuna.exceptions.UpdateFinishedTrialError:
            # Another process took this one for dead and ended its trial, as after a computer's sleep of half a day.
            return

    def _answer(self, trial: optuna.Trial, known: Trial) -> None:
        trial.set_user_attr(DUPLICATE_OF, known.number)
        self._tell(trial, known.record)

    def _tell(self, trial: optuna.Trial, record: Record) -> None:
        record, present = self._ledger.to_scale(record), trial.constraints
        for name, value in self._limits.violations(record).items():
            if name not in present:
                trial.set_constraint(name, value)
        found = values(record)
        # The candidate's own fault is PRUNED, never FAIL: samplers leave FAIL out and would propose it again.
        state = TrialState.PRUNED if found is None else TrialState.COMPLETE
        self._ledger.study.tell(trial, found, state=state, skip_if_finished=True)

    def _end(self, trial: optuna.Trial, why: str) -> None:
        trial.set_user_attr(ENDED, why)
        self._ledger.study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)

    def _origin(self, candidate: Candidate, trial: optuna.Trial) -> str:
        if self._natures is None:
            tails = {tail.digest: "tail" for tail in self._space.tails()}
            self._natures = {**tails, **{uniform.digest: "uniform" for uniform in self._space.uniforms()}}
        return self._natures.get(candidate.digest, str(trial.user_attrs.get(ORIGIN, "sampler")))
