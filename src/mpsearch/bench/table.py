"""A row a model, variant and target, and the table that keeps them over runs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from mpsearch.errors import ConfigError
from mpsearch.record import Score, Timing

COLUMNS = (
    "model", "variant", "target", "latency_ms", "fps", "error", "error_is", "missed", "extra", "sqnr_db", "size_mb",
    "source", "note",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """What is known of one model in one form on one target; None where it is not.

    Attributes:
        variant: ``float32``, ``as it is``, a base, or a candidate's name.
        p95_ms: of the samples; None for a model's prediction.
        source: who says the latency: ``host``, ``board`` or ``simulated``.
        error, error_is: against the float model, in the task's own column (``landmark_mse_px2`` ...).
        counted: objects of the float model that ``missed`` and ``extra`` are to be compared with.
        sqnr_db: of the worst output.
        note: why something is missing, or what the device did otherwise than asked.
        conditions: of the timing.
        digest: of the model and what was built of it: the same digest, variant and target are the same row.
    """

    model: str
    variant: str
    target: str
    digest: str
    latency_ms: float | None = None
    p95_ms: float | None = None
    source: str = ""
    error: float | None = None
    error_is: str = ""
    missed: int | None = None
    extra: int | None = None
    counted: int | None = None
    sqnr_db: float | None = None
    size_bytes: int | None = None
    note: str = ""
    photographs: int | None = None
    conditions: Mapping[str, str] = field(default_factory=dict)

    @property
    def fps(self) -> float | None:
        return 1e3 / self.latency_ms if self.latency_ms else None

    def shown(self) -> dict[str, Any]:
        """:data:`COLUMNS` first, then the rest but the conditions."""
        data = asdict(self)
        data.pop("conditions")
        size = data.pop("size_bytes")
        found = {**data, "fps": self.fps, "size_mb": None if size is None else size / 1e6}
        return {name: found[name] for name in (*COLUMNS, *(key for key in found if key not in COLUMNS))}


def measured(timing: Timing) -> dict[str, Any]:
    """A timing as fields of a :class:`Row`."""
    several = len(timing.samples_ms) > 1
    return {
        "latency_ms": timing.median_ms,
        "p95_ms": timing.percentile_ms(0.95) if several else None,
        "source": timing.source,
        "conditions": dict(timing.conditions),
    }


def scored(score: Score, photographs: int) -> dict[str, Any]:
    """A score as fields of a :class:`Row`."""
    found: dict[str, Any] = {"error": score.objective, "error_is": score.task.column, "photographs": photographs}
    if score.task.counts:
        found |= {"missed": score.missed, "extra": score.extra, "counted": score.faces}
    worst = [values["sqnr_db"] for values in score.outputs.values()]
    return {**found, "sqnr_db": min(worst) if worst else None}


def to_json(rows: Iterable[Row]) -> str:
    """See :func:`read`."""
    return json.dumps([asdict(row) for row in rows], indent=1) + "\n"


def to_csv(rows: Sequence[Row]) -> str:
    """:meth:`Row.shown` of each; empty cells where nothing is known."""
    text = io.StringIO()
    listed = [row.shown() for row in rows]
    writer = csv.DictWriter(text, list(listed[0]) if listed else list(COLUMNS), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: "" if value is None else value for name, value in row.items()} for row in listed)
    return text.getvalue()


def read(path: Path) -> tuple[Row, ...]:
    """The rows of an earlier run; none where there is no such file.

    Raises:
        ConfigError: it has another form.
    """
    if not path.is_file():
        return ()
    known = {item.name for item in fields(Row)}
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return tuple(Row(**{key: value for key, value in row.items() if key in known}) for row in data)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{path}: no table of mpsearch bench ({error})", hint="Move it, or name another --out."
        ) from error


def merged(old: Sequence[Row], new: Sequence[Row]) -> tuple[Row, ...]:
    """``old`` in its order, each row replaced by a new one of the same digest, variant and target; then what is new."""

    def key(row: Row) -> tuple[str, str, str]:
        return row.digest, row.variant, row.target

    fresh = {key(row): row for row in new}
    return (*(fresh.pop(key(row), row) for row in old), *fresh.values())
