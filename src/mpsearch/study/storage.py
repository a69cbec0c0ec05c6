"""Where studies are kept: any Optuna storage URL, a SQLite file by default."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from mpsearch.errors import ConfigError, MpsearchError, SetupError

_BUSY_TIMEOUT_S = 60
"""How long a process waits for another one that is writing to the same SQLite file."""


def default_url(folder: Path) -> str:
    """The SQLite file in a study's folder."""
    return f"sqlite:///{folder / 'study.db'}"


def open_storage(url: str | optuna.storages.BaseStorage, *, create: bool = True) -> optuna.storages.BaseStorage:
    """Connect.

    Args:
        create: make the folder and the file of a SQLite URL when they are missing.

    Raises:
        ConfigError: not a URL, no driver for it, unreachable, absent, or not writable.
    """
    if not isinstance(url, str):
        return url
    with storage_errors(url, ConfigError):
        parsed = make_url(url)
        if parsed.get_backend_name() != "sqlite":
            return optuna.storages.get_storage(url)
        if parsed.database and parsed.database != ":memory:":
            _check_file(Path(parsed.database), create=create)
        kwargs = {"connect_args": {"timeout": _BUSY_TIMEOUT_S}}
        rdb = optuna.storages.RDBStorage(url, engine_kwargs=kwargs)
        event.listen(rdb.engine, "connect", _write_ahead)
        rdb.engine.dispose()  # so that the connections made until now are made anew
        return optuna.storages.get_storage(rdb)


@contextmanager
def storage_errors(where: str, kind: type[MpsearchError] = SetupError) -> Iterator[None]:
    """Turn what storages raise into ``kind``, naming the storage (its password hidden)."""
    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError, ImportError) as error:
        cause = error.__cause__ or error
        reason = str(getattr(cause, "orig", None) or cause).splitlines()[0]
        raise kind(
            f"storage {_shown(where)} cannot be used: {reason}",
            hint="Check the address, the rights of its folder and the free space, or give another --storage.",
        ) from error


def _write_ahead(connection: Any, record: Any) -> None:
    """A trial is some thirty small writes: with a write-ahead log none of them waits for the disk, and readers do
    not wait for writers. A killed process loses nothing; a power cut can cost the last writes."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")


def _check_file(path: Path, *, create: bool) -> None:
    if not path.exists() and not create:
        raise ConfigError(f"{path}: no study is stored here", hint="Start one with: mpsearch run")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{path.parent}: the study's folder cannot be made: {error.strerror or error}",
            hint="Give a place that can be written: --storage sqlite:////path/study.db",
        ) from error
    target = path if path.exists() else path.parent
    if create and not os.access(target, os.W_OK):
        raise ConfigError(
            f"{target}: cannot be written, so no trial could be kept",
            hint="Give a place that can be written: --storage sqlite:////path/study.db",
        )


def _shown(url: str) -> str:
    try:
        return make_url(url).render_as_string(hide_password=True)
    except SQLAlchemyError:
        return repr(url)
