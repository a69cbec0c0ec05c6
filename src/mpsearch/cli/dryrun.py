"""``mpsearch run --dry-run``: what would be tried first; measures nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from mpsearch import digits
from mpsearch.cli.output import Format, emit, say
from mpsearch.config import Study
from mpsearch.errors import ConfigError
from mpsearch.pareto.export import shell_line
from mpsearch.pareto.table import short
from mpsearch.search.session import named
from mpsearch.workbench import Bench, open_bench


def show(studies: Sequence[Study], target: str | None, budget_ms: float | None, form: Format) -> None:
    """The seeds with their simulated latencies, and how the first of each model would be built."""
    benches = []
    for study in studies:
        with named(study):
            benches.append(open_bench(study, target=target, budget_ms=budget_ms, say=say))
        for part in benches[-1].space.describe():
            say("  ".join(f"{key}: {value}" for key, value in part.items()))
    listed = [row for bench in benches for row in _seeds(bench)]
    columns = (*(("model",) if studies[0].member else ()), "seed", "latency_ms", "candidate")
    emit(listed, form, columns=columns, title="Seeds (simulated latency)")
    budget = benches[0].budget_ms
    shown = "a multiple of a latency to be measured" if budget is None else f"{digits.milliseconds(budget)} ms"
    say(f"budget {shown}; nothing was measured")
    for bench in benches:
        if bench.profile is not None:
            rendered = bench.render(bench.space.seeds(bench.study.seeds)[0])
            lines = [*map(shell_line, rendered.commands), *rendered.texts.values()]
            whose = f" of {bench.study.member}" if bench.study.member else ""
            say(f"Seed 0{whose} would be built with:\n" + "\n".join(lines))


def _seeds(bench: Bench) -> list[dict[str, Any]]:
    seeds = bench.space.seeds(bench.study.seeds)
    if not seeds:
        raise ConfigError(f"{bench.study.address}: the search space has no seeds")
    found = []
    for index, candidate in enumerate(seeds):
        row: dict[str, Any] = {"model": bench.study.member} if bench.study.member else {}
        row |= {"seed": index, "latency_ms": bench.latency_ms(candidate), "candidate": short(candidate)}
        if bench.profile is not None:
            row |= {PurePath(name).stem: text for name, text in bench.render(candidate).texts.items()}
        found.append(row)
    return found
