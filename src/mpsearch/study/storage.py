"""Where studies are kept: any Optuna storage URL, a SQLite file by default."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from optuna.trial import TrialState
from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from mpsearch.errors import ConfigError, MpsearchError, SetupError
from mpsearch.study.lock import alone

_BUSY_TIMEOUT_S = 60
"""How long a process waits for another one that is writing to the same SQLite file."""
_CLAIM = sqlalchemy.text(
    "UPDATE trials SET state = 'RUNNING', datetime_start = :now WHERE trial_id = :trial AND state = 'WAITING'"
).bindparams(sqlalchemy.bindparam("now", type_=sqlalchemy.DateTime))
_COPIES = 20
"""How often a study that is being written to is copied until both of its files belong together."""


def default_url(folder: Path) -> str:
    """The SQLite file in a study's folder."""
    return f"sqlite:///{folder / 'study.db'}"


class SqliteStorage(optuna.storages.RDBStorage):
    """Optuna's, with waiting trials handed out to one process each.

    Optuna 5.0 reads a trial's state, and then writes it: other databases lock the row in between, SQLite has no such
    lock, so two processes could take the same waiting trial, and the slower one's result was lost.
    """

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """See :meth:`optuna.storages.BaseStorage.set_trial_state_values`; taking a trial is one statement."""
        if state is not TrialState.RUNNING or values is not None:
            return super().set_trial_state_values(trial_id, state, values)
        with self.engine.begin() as connection:
            taken = connection.execute(_CLAIM, {"now": datetime.now(), "trial": trial_id})
            return bool(taken.rowcount == 1)


def open_storage(url: str | optuna.storages.BaseStorage, *, create: bool = True) -> optuna.storages.BaseStorage:
    """Connect.

    Args:
        create: to write; makes the folder and the file of a SQLite URL when they are missing. Without it, a study
            that may only be read is read from a copy.

    Raises:
        ConfigError: not a URL, no driver for it, unreachable, absent, or not writable.
    """
    if not isinstance(url, str):
        return url
    with storage_errors(url, ConfigError):
        parsed = make_url(url)
        if parsed.get_backend_name() != "sqlite":
            with alone(url):  # two that make the tables of an empty database at once get in each other's way
                return optuna.storages.get_storage(url)
        if parsed.database and parsed.database != ":memory:":
            path = Path(parsed.database)
            _check_file(path, create=create)
            if not create and not (_writable(path) and _writable(path.parent)):
                parsed = parsed.set(database=str(_copy(path)))
        with alone(str(parsed)):
            return optuna.storages.get_storage(_connect(parsed))


def _connect(url: URL) -> SqliteStorage:
    kwargs = {"connect_args": {"timeout": _BUSY_TIMEOUT_S}}
    rdb = SqliteStorage(url.render_as_string(hide_password=False), engine_kwargs=kwargs)
    event.listen(rdb.engine, "connect", _write_ahead)
    rdb.engine.dispose()  # so that the connections made until now are made anew
    return rdb


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
    if not create:
        if not path.exists():
            raise ConfigError(f"{path}: no study is stored here", hint="Start one with: mpsearch run")
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{path.parent}: the study's folder cannot be made: {error.strerror or error}",
            hint="Give a place that can be written: --storage sqlite:////path/study.db",
        ) from error
    target = path if path.exists() else path.parent
    if not _writable(target):
        raise ConfigError(
            f"{target}: cannot be written, so no trial could be kept",
            hint="Give a place that can be written: --storage sqlite:////path/study.db",
        )


def _writable(path: Path) -> bool:
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def _copy(path: Path) -> Path:
    """The study beside its write-ahead log, where SQLite may put its index: even readers of such a log write one.

    Raises:
        ConfigError: it cannot even be read, or somebody writes to it all the time.
    """
    folder = tempfile.mkdtemp(prefix="mpsearch-read-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    files = [path, path.with_name(f"{path.name}-wal")]
    try:
        for _ in range(_COPIES):
            before = [_state(file) for file in files]
            for file in files:
                if file.exists():
                    shutil.copyfile(file, Path(folder) / file.name)
            if before == [_state(file) for file in files]:
                return Path(folder) / path.name
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    raise ConfigError(f"{path}: changed whenever it was read", hint="Try again when fewer trials end at a time.")


def _state(path: Path) -> tuple[int, int] | None:
    return (path.stat().st_mtime_ns, path.stat().st_size) if path.exists() else None


def _shown(url: str) -> str:
    try:
        return make_url(url).render_as_string(hide_password=True)
    except SQLAlchemyError:
        return repr(url)
