"""``mpsearch profile --across FILE...``: which kinds of layers are bad in several models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import combinations
from pathlib import Path

from mpsearch.cli.output import Format, emit, say
from mpsearch.errors import ConfigError

COLUMNS = ("by", "kind", "verdict", "factor", "low", "high", "worse", "layers", "models", "worse_in", "median_cosine")


def show(files: Sequence[str], form: Format) -> None:
    """Rank the kinds of layers of these tables."""
    from mpsearch.layers.across import across, agreement
    from mpsearch.layers.tables import read

    if not files:
        raise ConfigError(
            "--across needs tables", hint="Make one for each model: mpsearch profile MODEL --layers --out FILE"
        )
    tables = [read(Path(name)) for name in files]
    for table in tables:
        for note in table.notes:
            say(f"note: {note}")
    found = across(tables)
    rows = [{**asdict(kind), "verdict": kind.verdict} for kind in found]
    emit(rows, form, columns=COLUMNS, title=f"{len(tables)} runs")
    say(
        "factor: error (1 - cosine) over what is usual at that depth of that model; low and high: 95 % of it over\n"
        "models and layers drawn anew; worse: share of the draws in which it is worse; worse_in: of how many models"
    )
    if len(tables) == 1:
        say("note: one model; how sure this is for other models cannot be said")
    bad = [kind for kind in found if kind.verdict == "worse"]
    for kind in bad[:5]:
        say(f"worse than usual: {kind.kind}, {kind.factor:.2g} times; worst {kind.worst}")
    if not bad:
        say("no kind of layer is surely worse than usual")
    for first, second in combinations(tables, 2):
        both = agreement(first, second)
        if both is not None:
            say(f"{first.name}, {second.name}: rank correlation of {both[0]} common layers' cosines {both[1]:.2f}")
