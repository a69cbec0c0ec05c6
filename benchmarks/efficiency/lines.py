"""Rows of measured assignments: as lines while they are being recorded, packed when that is done."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Chosen = tuple[int, ...]


class Store:
    """Rows in a file of lines; the first line says what they are made of.

    Raises:
        SystemExit: the file holds rows of something else.
    """

    def __init__(self, path: Path, made_of: dict[str, Any]) -> None:
        self._path = path
        self.rows = read(path, made_of)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(made_of) + "\n")

    def add(self, chosen: Chosen, row: list[float]) -> None:
        """One line, whole or not at all: several processes may write."""
        self.rows[chosen] = row
        with self._path.open("a") as out:
            out.write(json.dumps([list(chosen), row]) + "\n")


def complete(
    store: Store, wanted: Sequence[Chosen], measure: Callable[[Chosen], list[float]], *, limit: int, every: int
) -> bool:
    """Measure what the store has not; False when that stopped after ``limit`` rows (0: no limit).

    Args:
        every: rows between two words on how far it is.
    """
    start, fresh = time.monotonic(), 0
    for chosen in wanted:
        if chosen in store.rows:
            continue
        if limit and fresh == limit:
            return False
        store.add(chosen, measure(chosen))
        fresh += 1
        if fresh % every == 0:
            pace = (time.monotonic() - start) / fresh
            print(f"{len(store.rows)}/{len(wanted)}, {pace:.2f} s each", file=sys.stderr, flush=True)
    return True


def read(path: Path, made_of: dict[str, Any]) -> dict[Chosen, list[float]]:
    """Rows of a file of lines, none where there is no file; a line that a kill cut off is left out."""
    if not path.exists():
        return {}
    first, *rest = [json.loads(line) for line in path.read_text().splitlines() if line.endswith(("]", "}"))]
    _same(path, first, made_of)
    return {tuple(chosen): row for chosen, row in rest}


_COLUMNS = {
    "latency_ms": np.float64, "error_px2": np.float64, "few_px2": np.float64, "missed": np.int16, "extra": np.int16,
}  # fmt: skip


def pack(path: Path, rows: dict[Chosen, Any], made_of: dict[str, Any], **arrays: Any) -> None:
    """Rows (the first five numbers of each), with what they are made of and ``arrays`` beside them."""
    table = np.array([row[: len(_COLUMNS)] for row in rows.values()])
    columns = {name: table[:, index].astype(kind) for index, (name, kind) in enumerate(_COLUMNS.items())}
    chosen = np.array(list(rows), dtype=np.int8)
    np.savez_compressed(path, chosen=chosen, **columns, made_of=json.dumps(made_of), **arrays)
    print(f"{path}: {len(table)} rows, {path.stat().st_size} bytes", file=sys.stderr)


def unpack(path: Path, made_of: dict[str, Any]) -> dict[Chosen, list[float]]:
    """Rows of a packed table, none where there is no file."""
    if not path.exists():
        return {}
    data = np.load(path)
    _same(path, json.loads(str(data["made_of"])), made_of)
    columns = [data[name].tolist() for name in _COLUMNS]
    return {tuple(chosen): list(row) for chosen, *row in zip(data["chosen"].tolist(), *columns, strict=True)}


def _same(path: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    other = sorted(key for key in wanted if found.get(key) != wanted[key])
    if other:
        raise SystemExit(f"{path} was recorded with other {', '.join(other)}: move it away, or restore {found}")
