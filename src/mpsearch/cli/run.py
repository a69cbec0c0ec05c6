"""``mpsearch run`` and ``mpsearch resume``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mpsearch.cli.options import BudgetOption, StorageOption, StudyArgument, TargetOption, ToolchainOption
from mpsearch.cli.output import Format, FormatOption, emit, say
from mpsearch.errors import ConfigError

if TYPE_CHECKING:
    from mpsearch.config import Study
    from mpsearch.pareto.limits import Limits
    from mpsearch.record import Record
    from mpsearch.study.ledger import Ledger
    from mpsearch.study.summary import Summary
    from mpsearch.workbench import Workbench

SamplerOption = Annotated[str | None, typer.Option("--sampler", help="guided, tpe, nsga2, random or gp.")]
TimeoutOption = Annotated[float | None, typer.Option("--timeout", min=0.1, help="Stop after this many seconds.")]
SeedOption = Annotated[int | None, typer.Option("--seed", help="Of everything random.")]
FinalOption = Annotated[
    bool, typer.Option("--final/--no-final", help="At the end, measure the best again and compare it with tails.")
]
StrictOption = Annotated[bool, typer.Option("--strict", help="Warnings about the photographs become errors.")]


def register(app: typer.Typer) -> None:
    app.command("run")(run)
    app.command("resume")(resume)


def run(
    study: StudyArgument = None,
    budget_ms: BudgetOption = None,
    target: TargetOption = None,
    toolchain: ToolchainOption = "simulator",
    trials: Annotated[int | None, typer.Option("--trials", min=1, help="Evaluated candidates in all.")] = None,
    timeout: TimeoutOption = None,
    sampler: SamplerOption = None,
    storage: StorageOption = None,
    seed: SeedOption = None,
    strict: StrictOption = False,
    final: FinalOption = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Measure nothing; show what would be tried.")] = False,
    form: FormatOption = Format.TABLE,
) -> None:
    """Search, or go on with a stored search. A larger --trials extends it; another --budget-ms reads it anew."""
    from mpsearch import config
    from mpsearch.search import samplers

    loaded = config.load(config.find(study))
    samplers.check(sampler or loaded.sampler)
    if dry_run:
        _dry_run(loaded, target, budget_ms, form)
        return
    _search(
        loaded, trials or loaded.trials, more=False, target=target, toolchain=toolchain, budget_ms=budget_ms,
        timeout=timeout, sampler=sampler, storage=storage, seed=seed, strict=strict, final=final, form=form,
    )  # fmt: skip


def resume(
    study: StudyArgument = None,
    budget_ms: BudgetOption = None,
    target: TargetOption = None,
    toolchain: ToolchainOption = "simulator",
    trials: Annotated[int | None, typer.Option("--trials", min=1, help="So many more; else what was asked.")] = None,
    timeout: TimeoutOption = None,
    sampler: SamplerOption = None,
    storage: StorageOption = None,
    seed: SeedOption = None,
    strict: StrictOption = False,
    final: FinalOption = True,
    form: FormatOption = Format.TABLE,
) -> None:
    """Complete a stored study: the trials it was asked for, or --trials N more."""
    from mpsearch import config
    from mpsearch.study.folder import storage_url, stored_name
    from mpsearch.study.ledger import Ledger

    loaded = config.load(config.find(study))
    ledger = Ledger.open(storage_url(loaded, storage), stored_name(loaded, target, toolchain))
    asked = ledger.study.user_attrs.get("asked", loaded.trials)
    total = len(ledger.trials) + trials if trials else int(asked)
    budget = ledger.limits.budget_ms if budget_ms is None else budget_ms
    _search(
        loaded, total, more=True, target=target, toolchain=toolchain, budget_ms=budget, timeout=timeout,
        sampler=sampler, storage=storage, seed=seed, strict=strict, final=final, form=form,
    )  # fmt: skip


def _search(
    loaded: Study,
    total: int,
    *,
    more: bool,
    target: str | None,
    toolchain: str,
    budget_ms: float | None,
    timeout: float | None,
    sampler: str | None,
    storage: str | None,
    seed: int | None,
    strict: bool,
    final: bool,
    form: Format,
) -> None:
    from mpsearch.cli.interrupt import Interrupt
    from mpsearch.cli.progress import Doing, Progress
    from mpsearch.pareto.limits import Limits
    from mpsearch.search import reach, samplers, twins
    from mpsearch.search.opening import open_sampler
    from mpsearch.study.folder import cache_folder, storage_url, stored_name
    from mpsearch.study.ledger import Ledger
    from mpsearch.study.run import StudyRun
    from mpsearch.workbench import open_workbench

    name = sampler or loaded.sampler
    number = loaded.seed if seed is None else seed
    samplers.check(name)  # a wrong name or a missing package is said before anything is computed
    doing = Doing()
    bench = open_workbench(
        loaded,
        cache=cache_folder(loaded),
        target=target,
        budget_ms=budget_ms,
        toolchain=toolchain,
        strict=strict,
        say=say,
        progress=doing,
    )
    limits = Limits(bench.budget_ms, loaded.limits.missed, loaded.limits.extra, loaded.budget.at)
    ledger = Ledger.create(
        storage_url(loaded, storage), stored_name(loaded, target, toolchain), bench.fingerprint, limits
    )
    if not more or total > int(ledger.study.user_attrs.get("asked", 0)):
        ledger.study.set_user_attr("asked", total)
    _say_beginning(bench, ledger, total)
    twin, watch = twins.of(bench), reach.Watch(bench, limits)
    make_sampler, seeds = open_sampler(
        name, bench, limits, seed=number, total=total, cache=cache_folder(loaded), twin=twin
    )  # fmt: skip

    def on_trial(trial: int, record: Record, summary: Summary) -> None:
        interrupt.check()
        progress.on_trial(trial, record, summary)
        _warn(watch.after([known.record for known in ledger.trials]))

    try:
        with Interrupt() as interrupt, Progress(total, limits, doing) as progress:
            search = StudyRun(
                ledger,
                bench.space,
                bench.evaluator,
                limits=limits,
                sampler=make_sampler,
                seeds=seeds,
                seed=number,
                on_trial=on_trial,
                twin=twin,
            )
            progress.begin(search.summary())
            summary = search.run(total, timeout_s=timeout)
        _say_end(bench, ledger, summary, limits, form)
        if final:
            _say_final(bench, ledger, limits)
    finally:
        bench.board.close()
    if summary.exit_code:
        raise typer.Exit(summary.exit_code)


def _say_beginning(bench: Workbench, ledger: Ledger, total: int) -> None:
    from mpsearch.board.simulated import SimulatedBoard
    from mpsearch.search import reach

    say(
        f"{bench.bench.study.name}: {bench.graph.path.name}, {len(bench.graph.compute_units)} units, "
        f"{len(bench.space.dimensions)} dimensions; target {bench.bench.target}"
        f"{' (simulated)' if isinstance(bench.target.board, SimulatedBoard) else ''}, "
        f"budget {bench.budget_ms:.2f} ms, {total} trials, {len(ledger.trials)} done"
    )
    _warn(reach.before(bench))


def _warn(lines: tuple[str, ...]) -> None:
    if lines:
        say("warning: " + "\n  ".join(lines))


def _say_final(bench: Workbench, ledger: Ledger, limits: Limits) -> None:
    from mpsearch.search import final

    found = final.conclude(bench, ledger.trials, limits, ledger.find)
    if found is not None:
        lines = found.lines(limits)
        ledger.study.set_user_attr("final", {"trial": found.winner.number, "lines": list(lines)})
        say("in the end: " + "\n  ".join(lines))


def _say_end(bench: Workbench, ledger: Ledger, summary: Summary, limits: Limits, form: Format) -> None:
    from mpsearch.board.frames import sentence
    from mpsearch.pareto.front import front, task_of
    from mpsearch.pareto.table import rows, shown

    task = task_of(ledger.trials)
    listed = rows(front(ledger.trials), limits)
    emit(listed, form, columns=shown(task, listed), title="Pareto front")
    if summary.exhausted:
        say("every candidate of the space has been evaluated")
    best = summary.best_within_budget
    if best is None:
        say(f"no candidate within {bench.budget_ms:.2f} ms and the limits{f' on {task.things}' if task.counts else ''}")
        if summary.nearest is not None:
            say(f"  nearest: trial {summary.nearest.number}: {summary.gap}")
        return
    objectives = best.objectives
    if objectives is not None:
        source = best.measured.timing.source if best.measured else ""
        say(
            f"best within {bench.budget_ms:.2f} ms: trial {best.number}, {objectives[0]:.2f} ms ({source}), "
            f"{task.show(objectives[1])}"
        )
        say(sentence(objectives[0], bench.budget_ms))
        if bench.bench.profile is not None:
            chosen = bench.bench.target
            other = f" --target {chosen}" if chosen != bench.bench.study.target else ""
            say(f"Export it: mpsearch export {bench.bench.study.path}{other} --pick budget --out DIR")


def _dry_run(loaded: Study, target: str | None, budget_ms: float | None, form: Format) -> None:
    """What would be tried first, with the simulated latency and the metafile of the first one; measures nothing."""
    from pathlib import PurePath

    from mpsearch.pareto.export import shell_line
    from mpsearch.pareto.table import short
    from mpsearch.workbench import open_bench

    bench = open_bench(loaded, target=target, budget_ms=budget_ms, say=say)
    for part in bench.space.describe():
        say("  ".join(f"{key}: {value}" for key, value in part.items()))
    seeds = bench.space.seeds(loaded.seeds)
    if not seeds:
        raise ConfigError(f"{loaded.path}: the search space has no seeds")
    vendor = bench.profile is not None
    listed = [
        {
            "seed": index,
            "latency_ms": bench.latency_ms(candidate),
            "candidate": short(candidate),
            **({PurePath(name).stem: text for name, text in bench.render(candidate).texts.items()} if vendor else {}),
        }
        for index, candidate in enumerate(seeds)
    ]
    emit(listed, form, columns=("seed", "latency_ms", "candidate"), title="Seeds (simulated latency)")
    budget = "a multiple of a latency to be measured" if bench.budget_ms is None else f"{bench.budget_ms:.2f} ms"
    say(f"budget {budget}; nothing was measured")
    if not vendor:
        return
    rendered = bench.render(seeds[0])
    lines = [*map(shell_line, rendered.commands), *rendered.texts.values()]
    say("Seed 0 would be built with:\n" + "\n".join(lines))
