"""The Optuna studies that a stored study is made of: one at a time, its *generation*
(``docs/adr/0002-study-storage.md``)."""

from __future__ import annotations

import re
import warnings

import optuna

from mpsearch.errors import ConfigError

FINGERPRINT, READY = "fingerprint", "ready"
METRIC_NAMES = ["log10 error", "latency (ms)"]
"""What a dashboard shows; the error's unit is that of the study's task (``docs/metric.md``)."""


def newest(storage: optuna.storages.BaseStorage, name: str) -> optuna.Study | None:
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


def new_generation(storage: optuna.storages.BaseStorage, name: str) -> optuna.Study:
    """An empty one after the newest complete one; what an interrupted change of budget left there is replaced."""
    known = _generations(storage, name)
    latest = newest(storage, name)
    number = 1 + max((n for n, other in known.items() if latest and other == latest.study_name), default=0)
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


def _generations(storage: optuna.storages.BaseStorage, name: str) -> dict[int, str]:
    pattern = re.compile(re.escape(name) + r"(?:@(\d+))?")
    matches = ((pattern.fullmatch(known), known) for known in optuna.get_all_study_names(storage))
    return {int(match[1] or 1): known for match, known in matches if match}
