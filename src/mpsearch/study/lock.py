"""What one process at a time may do in a storage: make its tables, make a study, make a generation of it."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import sqlalchemy
from sqlalchemy.engine import URL, make_url

from mpsearch.errors import ConfigError

_KEY = 0x6D70736561726368
"""Of the advisory lock in a PostgreSQL database: ``mpsearch`` in ASCII."""


@contextmanager
def alone(where: str) -> Iterator[None]:
    """Wait until no other process is in here, for the same SQLite file or PostgreSQL database. A process that dies lets
    go. Not for use within itself.

    Args:
        where: the storage's URL. Other databases, and what is no URL, have no lock here: there the first worker of a
            new study is to be started before the others.

    Raises:
        ConfigError: the file of the lock, beside that of SQLite, cannot be written or locked.
        SQLAlchemyError: the database cannot be reached.
    """
    parsed = make_url(where) if "://" in where else None
    kind = parsed.get_backend_name() if parsed is not None else ""
    if parsed is not None and kind == "sqlite" and parsed.database and parsed.database != ":memory:":
        with _file(Path(f"{parsed.database}.lock")):
            yield
    elif parsed is not None and kind == "postgresql":
        with _advisory(parsed):
            yield
    else:
        yield


@contextmanager
def _file(path: Path) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            fcntl.flock(stack.enter_context(path.open("w")), fcntl.LOCK_EX)
        except OSError as error:
            raise ConfigError(
                f"{path}: cannot be locked: {error.strerror or error}",
                hint="Give a place that can be written: --storage sqlite:////path/study.db",
            ) from error
        yield


@contextmanager
def _advisory(url: URL) -> Iterator[None]:
    """Held by a connection of its own, so that it ends with it, however that happens."""
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("SELECT pg_advisory_lock(:key)"), {"key": _KEY})
        yield
