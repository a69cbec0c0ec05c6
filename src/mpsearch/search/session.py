"""A search made ready: for each model its workbench, ledger, sampler and loop, and the loop over all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from mpsearch.config import Study
from mpsearch.errors import MpsearchError
from mpsearch.pareto.front import Trial
from mpsearch.pareto.limits import Limits
from mpsearch.record import Record
from mpsearch.search import final, reach, twins
from mpsearch.search.guided import Rivals
from mpsearch.search.ladder import Ladder
from mpsearch.search.opening import open_ladder, open_sampler
from mpsearch.study.folder import cache_folder, storage_url, stored_name
from mpsearch.study.ledger import Ledger
from mpsearch.study.run import StudyRun
from mpsearch.study.stored import ASKED_TOGETHER, Part, Stored
from mpsearch.study.summary import Summary
from mpsearch.study.together import Member, Together
from mpsearch.workbench import Workbench, open_workbench

Say = Callable[[str], None]
OnTrial = Callable[[Trial, Summary], None]


class Search(Protocol):
    """:class:`~mpsearch.study.run.StudyRun` or :class:`~mpsearch.study.together.Together`."""

    def summary(self) -> Summary:
        """Of what is stored now."""

    def run(self, total: int, *, timeout_s: float | None = None) -> Summary:
        """Evaluate until the study holds ``total`` candidates."""


@dataclass(frozen=True)
class How:
    """What the command line says of a search; None takes what the study says.

    Attributes:
        more: complete what was asked for before, and do not ask for less.
        strict: see :func:`mpsearch.workbench.open_workbench`.
    """

    total: int
    more: bool = False
    target: str | None = None
    toolchain: str = "simulator"
    budget_ms: float | None = None
    sampler: str | None = None
    storage: str | None = None
    seed: int | None = None
    strict: bool = False


class Session:
    """Made by :func:`open_session`.

    Attributes:
        benches: one a model.
        stored: what the ledgers hold.
        search: the loop.
        warnings: for each model that is not expected to meet the budget, lines for the user. Where that is sure, it
            gets no trials as long as another model can.
    """

    def __init__(self, benches: Sequence[Workbench], stored: Stored, how: How, on_trial: OnTrial, say: Say) -> None:
        self.benches, self.stored, self._say = tuple(benches), stored, say
        self._beyond: set[str] = set()
        self._ladders: list[Ladder] = []
        study = benches[0].bench.study
        self._seed = study.seed if how.seed is None else how.seed
        self._sampler = how.sampler or study.sampler
        self._on_trial = on_trial
        pairs = list(zip(benches, stored.parts, strict=True))
        watches = [reach.Watch(bench, self.limits, cache=cache_folder(part.study)) for bench, part in pairs]
        self.warnings = self._beyond_budget(watches)
        members = [self._member(*pair, watch, how) for pair, watch in zip(pairs, watches, strict=True)]
        self.search: Search = members[0].run
        if stored.several:
            self.search = Together(members, stored.limits, seed=self._seed, stopped=lambda name: name in self._beyond)

    @property
    def limits(self) -> Limits:
        return self.stored.limits

    def _beyond_budget(self, watches: Sequence[reach.Watch]) -> tuple[tuple[str, ...], ...]:
        found = []
        for bench, part, watch in zip(self.benches, self.stored.parts, watches, strict=True):
            lines = watch.before([known.record for known in part.ledger.trials])
            if lines:
                found.append(_named(bench, lines))
            if lines and watch.sure:
                self._beyond.add(part.study.member)
        return tuple(found)

    def conclude(self) -> final.Final | None:
        """See :func:`mpsearch.search.final.conclude`; among several models, for that of the best."""
        best = self.search.summary().best_within_budget
        if best is None:
            return None
        part = self.stored.part_of(best)
        bench = self.benches[self.stored.parts.index(part)]
        found = final.conclude(bench, part.trials, self.limits, part.ledger.evaluated, cache=cache_folder(part.study))
        if found is not None:
            lines = list(found.lines(self.limits))
            part.ledger.study.set_user_attr("final", {"trial": found.winner.number, "lines": lines})
        return found

    def close(self) -> None:
        """Let go of the boards, and of what looks before them."""
        for ladder in self._ladders:
            ladder.close()
        for bench in self.benches:
            bench.board.close()

    def _member(self, bench: Workbench, part: Part, watch: reach.Watch, how: How) -> Member:
        study, ledger, limits = part.study, part.ledger, self.limits
        twin = twins.of(bench)
        rivals = Rivals() if self.stored.several else None
        count = len(self.stored.parts)
        ladder = open_ladder(bench, ledger, limits, cache=cache_folder(study))
        self._ladders.append(ladder)
        make_sampler, seeds = open_sampler(
            self._sampler, bench, limits, seed=self._seed, total=-(-how.total // count), cache=cache_folder(study),
            twin=twin, rivals=rivals, left_s=ladder.left_s,
        )  # fmt: skip

        def on_trial(number: int, record: Record, summary: Summary) -> None:
            self._on_trial(Trial(number, record, model=study.member), self.search.summary())
            lines = watch.after([known.record for known in ledger.trials])
            if lines:
                self._beyond.add(study.member)
                self._say("warning: " + "\n  ".join(_named(bench, lines)))

        run = StudyRun(
            ledger, bench.space, ladder, limits=limits, sampler=make_sampler, seeds=seeds, seed=self._seed,
            on_trial=on_trial, twin=twin,
        )  # fmt: skip
        return Member(study.member, run, ledger, rivals)


def _named(bench: Workbench, lines: Sequence[str]) -> tuple[str, ...]:
    member = bench.bench.study.member
    return (f"{member}: {lines[0]}", *lines[1:]) if member else tuple(lines)


def open_session(
    studies: Sequence[Study], how: How, *, on_trial: OnTrial, say: Say, progress: Say = lambda text: None
) -> Session:
    """Open everything that the studies need, and their ledgers.

    Args:
        studies: of one model, or of several of one file.
        on_trial: called after every evaluation.
        say, progress: see :func:`mpsearch.workbench.open_workbench`.

    Raises:
        ConfigError, DataError, ModelError, SetupError: with the file, the model, the thing and the next step.
    """
    benches = _open_benches(studies, how, say, progress)
    try:
        return _session(studies, benches, how, on_trial, say)
    except BaseException:
        for bench in benches:
            bench.board.close()
        raise


def _session(studies: Sequence[Study], benches: Sequence[Workbench], how: How, on_trial: OnTrial, say: Say) -> Session:
    first = studies[0]
    limits = Limits(benches[0].budget_ms, first.limits.missed, first.limits.extra, first.budget.at)
    parts = []
    for study, bench in zip(studies, benches, strict=True):
        url, name = storage_url(study, how.storage), stored_name(study, how.target, how.toolchain)
        parts.append(Part(study, Ledger.create(url, name, bench.fingerprint, limits, shelf=bench.bench.shelf)))
    key = ASKED_TOGETHER if len(parts) > 1 else "asked"
    for part in parts:
        if not how.more or how.total > int(part.ledger.study.user_attrs.get(key, 0)):
            part.ledger.study.set_user_attr(key, how.total)
    name = first.name if len(parts) > 1 else parts[0].ledger.name
    return Session(benches, Stored(name, tuple(parts), (), limits), how, on_trial, say)


def _open_benches(studies: Sequence[Study], how: How, say: Say, progress: Say) -> list[Workbench]:
    """In the order of the studies; the one that the budget is a multiple of is opened first."""
    budget_ms = how.budget_ms
    found: dict[str, Workbench] = {}
    try:
        for study in sorted(studies, key=lambda study: study.kin is not None and study.kin.budget is not None):
            with named(study):
                found[study.member] = open_workbench(
                    study, cache=cache_folder(study), target=how.target, budget_ms=budget_ms,
                    toolchain=how.toolchain, strict=how.strict, say=say, progress=progress,
                )  # fmt: skip
            budget_ms = found[study.member].budget_ms if len(studies) > 1 else budget_ms
    except BaseException:
        for bench in found.values():
            bench.board.close()
        raise
    return [found[study.member] for study in studies]


@contextmanager
def named(study: Study) -> Iterator[None]:
    """Errors say which of several models they are about."""
    try:
        yield
    except MpsearchError as error:
        if study.member and not error.message.startswith(f"{study.title}:"):
            error.message = f"{study.title}: {error.message}"
        raise
