"""stdout is data in the format asked for; stderr is talk."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table


class Format(StrEnum):
    """What a listing command prints."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


FormatOption = Annotated[Format, typer.Option("--format", help="table for people, json or csv for programs.")]


def say(text: str = "") -> None:
    """One line for the person at the terminal."""
    print(text, file=sys.stderr)


def passing(text: str = "") -> None:
    """What the next call overwrites; on a terminal only. Without a text the line is cleared."""
    if sys.stderr.isatty():
        print(f"{text:<40}"[:40], end="\r", file=sys.stderr, flush=True)


def stderr_console() -> Console:
    """Where progress goes: rich on a terminal, plain elsewhere; honours NO_COLOR."""
    return Console(stderr=True, highlight=False)


def emit(rows: Sequence[Mapping[str, Any]], form: Format, *, columns: Sequence[str] = (), title: str = "") -> None:
    """Print ``rows``.

    Args:
        columns: which fields a table shows, in order; json and csv hold all.
    """
    if form is Format.JSON:
        print(json.dumps(list(rows), indent=2, ensure_ascii=False))
        return
    names = list(columns) or list(dict.fromkeys(name for row in rows for name in row))
    if form is Format.CSV:
        fields = list(dict.fromkeys([*names, *(name for row in rows for name in row)]))
        writer = csv.DictWriter(sys.stdout, fields, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({name: _cell(row.get(name), plain=True) for name in fields})
        return
    table = Table(title=title or None, title_justify="left", header_style="bold")
    for name in names:
        number = any(isinstance(row.get(name), int | float) and not isinstance(row.get(name), bool) for row in rows)
        table.add_column(name, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row.get(name)) for name in names))
    width = None if sys.stdout.isatty() else int(os.environ.get("COLUMNS", "140"))
    Console(highlight=False, width=width).print(table)


def _cell(value: Any, *, plain: bool = False) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return repr(value) if plain else f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
