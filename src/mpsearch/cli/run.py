"""``mpsearch run`` and ``mpsearch resume``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mpsearch import digits
from mpsearch.cli.options import BudgetOption, StorageOption, StudyArgument, TargetOption, ToolchainOption
from mpsearch.cli.output import Format, FormatOption, emit, say

if TYPE_CHECKING:
    from mpsearch.config import Study
    from mpsearch.pareto.front import Trial
    from mpsearch.search.session import How, Session
    from mpsearch.study.summary import Summary

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
    from mpsearch import members
    from mpsearch.search import samplers
    from mpsearch.search.session import How

    studies = members.every(study)
    loaded = studies[0]
    samplers.check(sampler or loaded.sampler)  # a wrong name or a missing package is said before anything is computed
    if dry_run:
        from mpsearch.cli import dryrun

        dryrun.show(studies, target, budget_ms, form)
        return
    how = How(trials or loaded.trials, False, target, toolchain, budget_ms, sampler, storage, seed, strict)
    _search(studies, how, timeout, final, form)


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
    from mpsearch import members
    from mpsearch.search import samplers
    from mpsearch.search.session import How
    from mpsearch.study.stored import open_all

    studies = members.every(study)
    samplers.check(sampler or studies[0].sampler)
    stored = open_all(studies, storage, target, toolchain, budget_ms)
    total = len(stored.trials) + trials if trials else stored.asked
    how = How(total, True, target, toolchain, stored.limits.budget_ms, sampler, storage, seed, strict)
    _search(studies, how, timeout, final, form)


def _search(studies: tuple[Study, ...], how: How, timeout: float | None, final: bool, form: Format) -> None:
    from mpsearch.cli.interrupt import Interrupt
    from mpsearch.cli.progress import Doing, Progress
    from mpsearch.search.session import open_session

    doing = Doing()

    def on_trial(trial: Trial, summary: Summary) -> None:
        interrupt.check()
        progress.on_trial(trial, summary)

    session = open_session(studies, how, on_trial=on_trial, say=say, progress=doing)
    try:
        _say_beginning(session, how)
        with Interrupt() as interrupt, Progress(how.total, session.limits, doing) as progress:
            progress.begin(session.search.summary())
            summary = session.search.run(how.total, timeout_s=timeout)
        _say_end(session, summary, form)
        if final and (found := session.conclude()) is not None:
            say("in the end: " + "\n  ".join(found.lines(session.limits)))
    finally:
        session.close()
    if summary.exit_code:
        raise typer.Exit(summary.exit_code)


def _say_beginning(session: Session, how: How) -> None:
    from mpsearch.board.simulated import SimulatedBoard

    asked = f"{how.total} trials, {len(session.stored.trials)} done"
    for bench, part in zip(session.benches, session.stored.parts, strict=True):
        say(
            f"{part.study.title}: {bench.graph.path.name}, {len(bench.graph.compute_units)} units, "
            f"{len(bench.space.dimensions)} dimensions; target {bench.bench.target}"
            f"{' (simulated)' if isinstance(bench.target.board, SimulatedBoard) else ''}, "
            f"budget {digits.milliseconds(bench.budget_ms)} ms, "
            f"{f'{len(part.trials)} trials done' if session.stored.several else asked}"
        )
    if session.stored.several:
        say(f"{len(session.benches)} models, {asked}")
    for lines in session.warnings:
        say("warning: " + "\n  ".join(lines))


def _say_end(session: Session, summary: Summary, form: Format) -> None:
    from mpsearch.board.frames import sentence
    from mpsearch.pareto.front import front, task_of
    from mpsearch.pareto.table import rows, shown

    stored, limits = session.stored, session.limits
    trials, budget_ms = stored.trials, session.benches[0].budget_ms
    task, budget = task_of(trials), digits.milliseconds(budget_ms)
    listed = rows(front(trials), limits)
    emit(listed, form, columns=shown(task, listed), title="Pareto front")
    for line in stored.scales:
        say(line)
    if summary.exhausted:
        say("every candidate of the space has been evaluated")
    best = summary.best_within_budget
    if best is None:
        say(f"no candidate within {budget} ms and the limits{f' on {task.things}' if task.counts else ''}")
        if summary.nearest is not None:
            say(f"  nearest: {summary.nearest.label}: {summary.gap}")
        return
    objectives = best.objectives
    if objectives is not None:
        source = best.measured.timing.source if best.measured else ""
        say(
            f"best within {budget} ms: {best.label}, {digits.milliseconds(objectives[0])} ms ({source}), "
            f"{task.show(objectives[1])}"
        )
        say(sentence(objectives[0], budget_ms))
        bench = session.benches[0].bench
        if bench.profile is not None:
            other = f" --target {bench.target}" if bench.target != bench.study.target else ""
            address = bench.study.path if stored.several else bench.study.address
            say(f"Export it: mpsearch export {address}{other} --pick budget --out DIR")
