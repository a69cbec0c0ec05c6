"""The stored study: records in the attributes of Optuna trials, and nothing beside them.

One mpsearch study is one Optuna study at a time, its *generation*. A finished Optuna trial cannot be changed, and its
constraints are those of the budget it was told with; so another budget, when trials are to follow, makes a new
generation out of the same records (``docs/adr/0002-study-storage.md``).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from mpsearch import canonical
from mpsearch.errors import ConfigError, StudyChangedError
from mpsearch.pareto.front import Trial, log_error
from mpsearch.pareto.limits import Limits
from mpsearch.record import Measured, Record
from mpsearch.space.yamlfile import nearest
from mpsearch.study import owner
from mpsearch.study.storage import open_storage, storage_errors

RECORD, DIGEST, TWIN, CANDIDATE, ORIGIN = "record", "digest", "twin", "candidate", "origin"
DUPLICATE_OF, OWNER, ENDED = "duplicate_of", "owner", "ended"
FINGERPRINT, LIMITS, TOLD_FOR, READY = "fingerprint", "limits", "told_for", "ready"
METRIC_NAMES = ["log10 error", "latency (ms)"]
"""What a dashboard shows; the error's unit is that of the study's task (``docs/metric.md``)."""


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
        duplicates: proposals that were answered from a record.
    """

    def __init__(self, storage: optuna.storages.BaseStorage, name: str, study: optuna.Study, *, where: str) -> None:
        self.storage, self.name, self.study, self.where = storage, name, study, where
        self.trials: tuple[Trial, ...] = ()
        self.duplicates = 0
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
            study = _newest(storage, name)
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
        cls, url: str | optuna.storages.BaseStorage, name: str, fingerprint: Mapping[str, Any], limits: Limits
    ) -> Ledger:
        """The study, made when it is missing.

        Args:
            fingerprint: name of a part -> its digest or value; everything that decides results. Budget and limits
                do not belong in it: they only change how records are read.

        Raises:
            StudyChangedError: the stored fingerprint differs.
            ConfigError: the storage cannot be used.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        storage, where = open_storage(url), _where(url)
        with storage_errors(where, ConfigError):
            study = _newest(storage, name)
            if study is None:
                study = _new_generation(storage, name)
                study.set_user_attr(FINGERPRINT, dict(fingerprint))
                study.set_user_attr(TOLD_FOR, limits.to_json())
                study.set_user_attr(READY, True)
            _compare(name, study.user_attrs[FINGERPRINT], fingerprint)
            study.set_user_attr(LIMITS, limits.to_json())
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
        """The evaluated trial of a candidate, by its digest, by that of a twin that was answered from it, or by what
        identifies them (:attr:`TWIN`)."""
        return self._known.get(name) or self._names.get(name)

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
        self.trials = tuple(sorted(self._known.values(), key=lambda trial: trial.number))

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
        for trial in self._running():
            if owner.is_stale(trial.user_attrs.get(OWNER), trial.datetime_start):
                if RECORD in trial.user_attrs:
                    limits = Limits.from_json(self.study.user_attrs[TOLD_FOR])
                    self.study.add_trial(_told(trial, Record.from_json(trial.user_attrs[RECORD]), limits))
                self.study.tell(trial.number, state=TrialState.FAIL)
                swept += 1
        self.refresh()
        return swept

    def tell_for(self, limits: Limits) -> None:
        """Make the constraints that samplers see those of ``limits``: a new generation where they are others.

        Raises:
            ConfigError: another process is running trials for other limits.
        """
        if self.study.user_attrs[TOLD_FOR] == limits.to_json():
            return
        running = self._running()
        if running:
            raise ConfigError(
                f"study {self.name!r} is being run by another process, for other limits (trial {running[0].number})",
                hint="Wait for it or stop it, or use its budget and limits.",
            )
        old, new = self.study, _new_generation(self.storage, self.name)
        for trial in old.get_trials(deepcopy=False):
            new.add_trial(self._retold(trial, limits))
        for key, value in {**old.user_attrs, LIMITS: limits.to_json(), TOLD_FOR: limits.to_json()}.items():
            if key != READY:
                new.set_user_attr(key, value)
        new.set_user_attr(READY, True)
        optuna.delete_study(study_name=old.study_name, storage=self.storage)
        self.study = new
        self.refresh()

    def _retold(self, trial: FrozenTrial, limits: Limits) -> FrozenTrial:
        """The same trial under the same number with other constraints."""
        number = trial.user_attrs.get(DUPLICATE_OF, trial.number)
        if trial.state in (TrialState.COMPLETE, TrialState.PRUNED) and number in self._parsed:
            return _told(trial, self._parsed[number].record, limits)
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


def _generations(storage: optuna.storages.BaseStorage, name: str) -> dict[int, str]:
    pattern = re.compile(re.escape(name) + r"(?:@(\d+))?")
    matches = ((pattern.fullmatch(known), known) for known in optuna.get_all_study_names(storage))
    return {int(match[1] or 1): known for match, known in matches if match}


def _newest(storage: optuna.storages.BaseStorage, name: str) -> optuna.Study | None:
    """The newest complete generation; None when there is none."""
    for _, known in sorted(_generations(storage, name).items(), reverse=True):
        study = optuna.load_study(study_name=known, storage=storage)
        if study.user_attrs.get(READY):
            return study
        if FINGERPRINT not in study.user_attrs and study.get_trials(deepcopy=False) and known == name:
            raise ConfigError(
                f"the storage holds a study {name!r} that mpsearch did not make",
                hint="Give another name to the study, or another --storage.",
            )
    return None


def _new_generation(storage: optuna.storages.BaseStorage, name: str) -> optuna.Study:
    """An empty one after the newest complete one; what an interrupted change of budget left there is replaced."""
    known = _generations(storage, name)
    newest = _newest(storage, name)
    number = 1 + max((n for n, other in known.items() if newest and other == newest.study_name), default=0)
    study_name = name if number == 1 else f"{name}@{number}"
    if number > 1 and known.get(number) == study_name:
        optuna.delete_study(study_name=study_name, storage=storage)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(
            storage=storage, study_name=study_name, directions=["minimize", "minimize"], load_if_exists=True
        )
        study.set_metric_names(METRIC_NAMES)
    return study


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
