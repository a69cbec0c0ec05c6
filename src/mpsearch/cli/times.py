"""``mpsearch profile --time``: what each layer costs on a target, or by a tool's recorded profile."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mpsearch.cli.layers import write
from mpsearch.cli.output import Format, emit, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mpsearch.candidate import Candidate
    from mpsearch.fed import Fed
    from mpsearch.layers.times import LayerTime

_TARGET = "vs680"


def show(fed: Fed, candidate: Candidate, target: str | None, out: Path | None, form: Format) -> None:
    """Time every layer of ``candidate`` on the target."""
    from mpsearch.layers.opening import times_on

    name = target or (fed.study.target if fed.study else _TARGET)
    found, source = times_on(fed, candidate, name, say=say)
    _print(found, out, form, f"{fed.graph.path.name} on {source}")
    say(f"{source}; {candidate.base}{' mixed' if candidate.overrides else ''}")


def show_log(path: Path, out: Path | None, form: Format) -> None:
    """A recorded profile: of snpe-diagview (text or CSV), a SyNAP driver's table, or onnxruntime's trace."""
    from mpsearch.layers.opening import read_log

    found, totals = read_log(path)
    _print(found, out, form, path.name)
    for what, amount in totals.items():
        say(f"{what}: {amount.value:g} {amount.unit}".rstrip())


def _print(found: Sequence[LayerTime], out: Path | None, form: Format, title: str) -> None:
    import json

    from mpsearch.layers import times

    rows = times.rows(found)
    if out is not None:
        write(out, json.dumps(rows, indent=1) + "\n" if out.suffix == ".json" else times.to_csv(found))
    if form is Format.CSV:
        print(times.to_csv(found), end="")
        return
    emit(rows, form, columns=times.COLUMNS, title=title)
    total, unit = sum(layer.mean for layer in found), found[0].unit
    slow = sorted(found, key=lambda layer: -layer.mean)[:3]
    said = ", ".join(f"{layer.name} ({layer.mean / total:.1%})" for layer in slow) if total else "nothing took any time"
    say(f"{len(found)} layers, {total:.0f} {unit}; most: {said}")
