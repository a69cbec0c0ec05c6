"""Where a study keeps its things: ``mpsearch-runs/<name>/`` beside the study file."""

from __future__ import annotations

from pathlib import Path

from mpsearch.config import Study
from mpsearch.study.storage import default_url


def stored_name(study: Study, target: str | None = None, toolchain: str = "simulator") -> str:
    """The study's name in a storage, with that of its model where it is one of several; another target than the file's
    is another study, and so is another toolchain. All boards of a shelf share one."""
    chosen = study.at(target)
    name = study.title if chosen in (study.target, *study.shelf) else f"{study.title}.{Path(chosen).stem}"
    return name if toolchain == "simulator" else f"{name}.{toolchain}"


def study_folder(study: Study) -> Path:
    """Folder of the default storage and of the caches; the models of one study share it."""
    return study.path.parent / "mpsearch-runs" / study.name


def cache_folder(study: Study) -> Path:
    """What may be deleted at any time, at the price of time only."""
    return study_folder(study) / "cache"


def storage_url(study: Study, storage: str | None) -> str:
    """The user's ``--storage``, or the SQLite file in the study's folder."""
    return storage or default_url(study_folder(study))
