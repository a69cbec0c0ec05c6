"""``mpsearch profile --layers``: a quantized model layer by layer against the float model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mpsearch.cli.output import Format, emit, say
from mpsearch.errors import ConfigError

if TYPE_CHECKING:
    from mpsearch.candidate import Candidate
    from mpsearch.fed import Fed
    from mpsearch.layers.compare import Comparison
    from mpsearch.layers.sources import Layout

_SHOWN = 8
"""Names and problems told at the terminal; ``--format json`` and ``--out`` hold all."""


def chosen(fed: Fed, base: str, file: Path | None) -> Candidate:
    """A candidate's file, or a uniform candidate.

    Raises:
        ConfigError: neither; names the file and the thing.
    """
    from mpsearch.candidate import BASES, Candidate
    from mpsearch.cli.evaluate import read_candidate
    from mpsearch.toolchain.synap.metafile import MetafileIO

    if file is not None:
        return read_candidate(file, fed.graph, MetafileIO() if file.suffix == ".json" else fed.io)
    if base not in BASES:
        raise ConfigError(f"--base {base}: unknown", hint=f"One of {', '.join(BASES)}")
    return Candidate(base)


def show(
    fed: Fed,
    candidate: Candidate,
    against: str,
    layout: Layout,
    kind: str,
    shapes: Path | None,
    out: Path | None,
    form: Format,
) -> None:
    """Compare, print, and write ``out``."""
    import json
    from itertools import islice

    from mpsearch.layers import tables
    from mpsearch.layers.compare import compare
    from mpsearch.layers.opening import open_source
    from mpsearch.layers.similarity import COLUMNS

    source, count = open_source(fed, candidate, against, layout=layout, kind=kind, shapes=shapes, say=say)
    found = compare(fed.graph, islice(fed.images(), count), source)
    label = f"{candidate.base}{' mixed' if candidate.overrides else ''}"
    data = tables.to_json(found, fed.graph.path.name, label)
    if out is not None:
        write(out, json.dumps(data, indent=1) + "\n" if out.suffix == ".json" else tables.to_csv(found))
    if form is Format.JSON:
        print(json.dumps(data, indent=2))
    elif form is Format.CSV:
        print(tables.to_csv(found), end="")
    else:
        emit(tables.rows(found), form, columns=(*COLUMNS, "op"), title=f"{fed.graph.path.name}, {found.source}")
    _tell(found, label if against in ("simulator", "host") else "")


def write(path: Path, text: str) -> None:
    """Raises:
    ConfigError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error})") from error
    say(f"wrote {path}")


def _tell(found: Comparison, label: str) -> None:
    known = [row for row in found.rows if row.similarity is not None]
    said = f"{len(known)} layers of both, on {found.photographs} photograph(s)" + (f", {label}" if label else "")
    say(said)
    for note in found.notes:
        say(f"note: {note}")
    if known:
        worst = sorted(known, key=lambda row: row.similarity.cos_sim if row.similarity else 1.0)[:3]
        say("worst: " + ", ".join(f"{r.layer.name} ({r.similarity.cos_sim:.4f})" for r in worst if r.similarity))
    _list("only in the float model", [layer.name for layer in found.model_only])
    _list(f"only in {found.source}", found.source_only)
    for problem in found.problems[:_SHOWN]:
        say(f"problem: {problem}")
    if len(found.problems) > _SHOWN:
        say(f"problem: and {len(found.problems) - _SHOWN} more, see --format json")


def _list(title: str, names: list[str] | tuple[str, ...]) -> None:
    if names:
        more = f" and {len(names) - _SHOWN} more, see --format json" if len(names) > _SHOWN else ""
        say(f"{title}: {len(names)}: {', '.join(names[:_SHOWN])}{more}")
