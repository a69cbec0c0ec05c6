"""The stored study: records in the attributes of Optuna trials, and nothing beside them.

One mpsearch study is one Optuna study at a time, its *generation*. A finished Optuna trial cannot be changed, and its
constraints are those of the budget it was told with; so another budget, when trials are to follow, makes a new
generation out of the same records (``docs/adr/0002-study-storage.md``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from mpsearch import canonical
from mpsearch.board import shelf as shelves
from mpsearch.errors import ConfigError, StudyChangedError
from mpsearch.pareto.front import Trial, log_error
from mpsearch.pareto.limits import Limits
from mpsearch.record import Measured, Record, Rejected
from mpsearch.space.yamlfile import nearest
from mpsearch.study import generations, owner
from mpsearch.study.generations import FINGERPRINT, READY
from mpsearch.study.lock import alone
from mpsearch.study.storage import open_storage, storage_errors

RECORD, DIGEST, TWIN, CANDIDATE, ORIGIN = "record", "digest", "twin", "candidate", "origin"
DUPLICATE_OF, OWNER, ENDED = "duplicate_of", "owner", "ended"
LIMITS, TOLD_FOR, SHELF = "limits", "told_for", "shelf"


def values(record: Record) -> tuple[float, float] | None:
    """What Optuna minimises; None for a failed trial. The error as a logarithm: it spans decades, and the
    hypervolumes inside the samplers would see nothing but the worst candidates otherwise."""
    if not isinstance(record.outcome, Measured):
        return None
    return log_error(record.outcome.score.objective), record.outcome.timing.median_ms


class Ledger:
    """Open with :meth:`open` or :meth:`create`; :meth:`refresh` reads what other processes have added.

    Attributes:
        study: the newest generation.
        trials: evaluated candidates in order of their numbers, one for each digest.
        rejected: in the same way, those that a cheaper rung kept from an evaluation; they are no trials of the study.
        duplicates: proposals that were answered from a record.
        scale: what all timings are brought to, where several boards have measured.
        shelf: names of the boards that the study has, where it has several.
    """

    def __init__(self, storage: optuna.storages.BaseStorage, name: str, study: optuna.Study, *, where: str) -> None:
        self.storage, self.name, self.study, self.where = storage, name, study, where
        self.trials: tuple[Trial, ...] = ()
        self.rejected: tuple[Trial, ...] = ()
        self.duplicates = 0
        self.shelf: tuple[str, ...] = tuple(study.user_attrs.get(SHELF, ()))
        self.scale = shelves.AS_MEASURED
        self._parsed: dict[int, Trial] = {}
        self._known: dict[str, Trial] = {}
        self._names: dict[str, Trial] = {}

    @classmethod
    def open(cls, url: str | optuna.storages.BaseStorage, name: str) -> Ledger:
        """An existing study, for reading.

        Raises:
            ConfigError: no such study, or the storage cannot be used.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        storage, where = open_storage(url, create=False), _where(url)
        with storage_errors(where, ConfigError):
            study = generations.newest(storage, name)
            if study is None:
                known = sorted({re.sub(r"@\d+$", "", n) for n in optuna.get_all_study_names(storage)})
                raise ConfigError(
                    f"{where}: no study {name!r}{nearest(name, known)}",
                    hint=f"Stored here: {', '.join(known) or 'none'}. Start one with: mpsearch run",
                )
            ledger = cls(storage, name, study, where=where)
            ledger.refresh()
        return ledger

    @classmethod
    def create(
        cls,
        url: str | optuna.storages.BaseStorage,
        name: str,
        fingerprint: Mapping[str, Any],
        limits: Limits,
        *,
        shelf: Sequence[str] = (),
    ) -> Ledger:
        """The study, made when it is missing.

        Args:
            fingerprint: name of a part -> its digest or value; everything that decides results. Budget and limits
                do not belong in it: they only change how records are read.
            shelf: names of the boards, where there are several.

        Raises:
            StudyChangedError: the stored fingerprint differs.
            ConfigError: the storage cannot be used.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        storage, where = open_storage(url), _where(url)
        with storage_errors(where, ConfigError), alone(where):
            study = generations.newest(storage, name)
            if study is None:
                study = generations.new_generation(storage, name)
                study.set_user_attr(FINGERPRINT, dict(fingerprint))
                study.set_user_attr(TOLD_FOR, limits.to_json())
                study.set_user_attr(READY, True)
            _compare(name, study.user_attrs[FINGERPRINT], fingerprint)
            study.set_user_attr(LIMITS, limits.to_json())
            if list(shelf) != study.user_attrs.get(SHELF, []):
                study.set_user_attr(SHELF, list(shelf))
            ledger = cls(storage, name, study, where=where)
            ledger.refresh()
        return ledger

    @property
    def limits(self) -> Limits:
        """Those last asked for."""
        return Limits.from_json(self.study.user_attrs[LIMITS])

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        return dict(self.study.user_attrs[FINGERPRINT])

    def find(self, name: str) -> Trial | None:
        """The evaluated or rejected trial of a candidate, by its digest, by that of a twin that was answered from it,
        or by what identifies them (:attr:`TWIN`)."""
        found = self._known.get(name) or self._names.get(name)
        return None if found is None else self._scaled(found)

    def evaluated(self, name: str) -> Trial | None:
        """As :meth:`find`, but for trials of the study alone."""
        found = self.find(name)
        return None if found is None or isinstance(found.record.outcome, Rejected) else found

    def refresh(self) -> None:
        """Read what was finished since."""
        finished = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        for trial in finished:
            if trial.number not in self._parsed and RECORD in trial.user_attrs:
                record = Record.from_json(trial.user_attrs[RECORD])
                parsed = Trial(trial.number, record, trial.user_attrs.get(ORIGIN, "sampler"))
                self._parsed[trial.number] = parsed
                self._known.setdefault(record.candidate.digest, parsed)
                self._names.setdefault(trial.user_attrs.get(TWIN, record.candidate.digest), parsed)
            elif DUPLICATE_OF in trial.user_attrs and DIGEST in trial.user_attrs:
                original = self._parsed.get(trial.user_attrs[DUPLICATE_OF])
                if original is not None:
                    self._names.setdefault(trial.user_attrs[DIGEST], original)
        self.duplicates = len(finished) - len(self._known)
        self.scale = shelves.scale((trial.record for trial in self._parsed.values()), self.shelf)
        known = sorted(map(self._scaled, self._known.values()), key=lambda trial: trial.number)
        self.trials = tuple(trial for trial in known if not isinstance(trial.record.outcome, Rejected))
        self.rejected = tuple(trial for trial in known if isinstance(trial.record.outcome, Rejected))

    def to_scale(self, record: Record) -> Record:
        """A fresh record as it will be read, see :attr:`scale`."""
        known = (trial.record for trial in self._parsed.values())
        return shelves.scale((*known, record), self.shelf).record(record)

    def _scaled(self, trial: Trial) -> Trial:
        record = self.scale.record(trial.record)
        return trial if record is trial.record else replace(trial, record=record)

    def in_flight(self) -> frozenset[str]:
        """Digests of candidates that are being measured, and what identifies their twins."""
        return frozenset(name for trial in self._running() for name in _claims(trial))

    def claimants(self, names: frozenset[str]) -> frozenset[int]:
        """Numbers of the running trials that measure one of ``names``."""
        return frozenset(trial.number for trial in self._running() if names & _claims(trial))

    def _running(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))

    def has_waiting(self) -> bool:
        """Whether a trial waits for a process to take it, as one does whose process was killed before it took it."""
        return bool(self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)))

    def sweep(self) -> int:
        """End the trials of processes that are gone; a record that was still told to nobody is kept as a trial of
        its own. Returns how many were ended."""
        swept = 0
        with alone(self.where):
            self._follow()
            for trial in self._running():
                if owner.is_stale(trial.user_attrs.get(OWNER), trial.datetime_start):
                    if RECORD in trial.user_attrs:
                        limits = Limits.from_json(self.study.user_attrs[TOLD_FOR])
                        record = self.to_scale(Record.from_json(trial.user_attrs[RECORD]))
                        self.study.add_trial(_told(trial, record, limits))
                    self.study.tell(trial.number, state=TrialState.FAIL)
                    swept += 1
        self.refresh()
        return swept

    def tell_for(self, limits: Limits) -> None:
        """Make the constraints that samplers see those of ``limits``: a new generation where they are others.

        Raises:
            ConfigError: another process is running trials for other limits.
        """
        with alone(self.where):
            self._follow()
            if self.study.user_attrs[TOLD_FOR] != limits.to_json():
                self.study = self._regenerated(limits)
        self.refresh()

    def _follow(self) -> None:
        """Go on with the newest generation: another process may have made it since, for the same new budget."""
        newest = generations.newest(self.storage, self.name)
        if newest is not None and newest.study_name != self.study.study_name:
            self.study = newest
            self.refresh()

    def _regenerated(self, limits: Limits) -> optuna.Study:
        """The next generation; the old one is gone."""
        running = self._running()
        if running:
            raise ConfigError(
                f"study {self.name!r} is being run by another process, for other limits (trial {running[0].number})",
                hint="Wait for it or stop it, or use its budget and limits.",
            )
        old, new = self.study, generations.new_generation(self.storage, self.name)
        for trial in old.get_trials(deepcopy=False):
            new.add_trial(self._retold(trial, limits))
        for key, value in {**old.user_attrs, LIMITS: limits.to_json(), TOLD_FOR: limits.to_json()}.items():
            if key != READY:
                new.set_user_attr(key, value)
        new.set_user_attr(READY, True)
        optuna.delete_study(study_name=old.study_name, storage=self.storage)
        return new

    def _retold(self, trial: FrozenTrial, limits: Limits) -> FrozenTrial:
        """The same trial under the same number with other constraints."""
        number = trial.user_attrs.get(DUPLICATE_OF, trial.number)
        if trial.state in (TrialState.COMPLETE, TrialState.PRUNED) and number in self._parsed:
            return _told(trial, self._scaled(self._parsed[number]).record, limits)
        blank = create_trial(state=TrialState.FAIL, params=trial.params, distributions=trial.distributions)
        blank.user_attrs = dict(trial.user_attrs)
        return blank


def _claims(trial: FrozenTrial) -> frozenset[str]:
    return frozenset(trial.user_attrs[key] for key in (DIGEST, TWIN) if key in trial.user_attrs)


def _told(trial: FrozenTrial, record: Record, limits: Limits) -> FrozenTrial:
    found = values(record)
    told = create_trial(
        state=TrialState.PRUNED if found is None else TrialState.COMPLETE,
        values=found,
        params=trial.params,
        distributions=trial.distributions,
        user_attrs=dict(trial.user_attrs),
        constraints=limits.violations(record),
    )
    if trial.datetime_start is not None:
        told.datetime_start = trial.datetime_start
        told.datetime_complete = trial.datetime_complete or trial.datetime_start
    return told


def _compare(name: str, stored: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    def plain(value: Any) -> Any:
        return canonical.dumps(value)

    differs = sorted(k for k in {*stored, *asked} if plain(stored.get(k)) != plain(asked.get(k)))
    if differs:
        parts = (f"{key} ({_brief(stored.get(key))} stored, {_brief(asked.get(key))} now)" for key in differs)
        raise StudyChangedError(
            f"study {name!r} was made with something else: {', '.join(parts)}",
            hint="Its trials do not compare with new ones. Restore what changed, or start another study: give it "
            "another name or another --storage.",
        )


def _brief(value: Any) -> str:
    text = "nothing" if value is None else value if isinstance(value, str) else canonical.dumps(value)
    return text if len(text) <= 16 else f"{text[:12]}..."


def _where(url: str | optuna.storages.BaseStorage) -> str:
    return url if isinstance(url, str) else type(url).__name__
