"""The end of a search: the winner and its neighbours measured again, and the winner against the best tail split.

The winner of many noisy timings is also the luckiest of them, so its first timing is too good. It is timed again, in
turns with its neighbours on the front, so that heat and other programs meet all of them alike; what is said at the end
rests on the new samples alone. A simulated latency has no noise, and so neither an interval nor a second measurement.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from mpsearch import digits
from mpsearch.board import shelf
from mpsearch.board.measure import Lengthens
from mpsearch.board.stats import median_interval, reading_ms
from mpsearch.candidate import Candidate
from mpsearch.errors import CandidateError, TransientError
from mpsearch.evaluate import Artifact, Board
from mpsearch.pareto.front import Trial, front
from mpsearch.pareto.limits import Limits
from mpsearch.pareto.pick import best
from mpsearch.record import Measured, Record, Timing
from mpsearch.scoring.compare import SIGNIFICANT, paired
from mpsearch.search import twins
from mpsearch.search.guided.context import PlainPrior, Prior
from mpsearch.search.prior import prior_of
from mpsearch.space.groups import cost
from mpsearch.space.space import SearchSpace
from mpsearch.study.run import Evaluates
from mpsearch.workbench import Workbench

RUNS = 1000
LIMIT_S = 60.0
"""For each that is measured again."""
ROUNDS = 5
"""Turns that the runs of each are spread over: starting a runtime takes longer than a run."""
_TAILS = 3
_NEAR = 1.03
"""A neighbour so little over the budget may be within it when it is measured again."""
SIMULATED = "simulated"

Find = Callable[[str], Trial | None]


@dataclass(frozen=True)
class Final:
    """What the search found.

    Attributes:
        winner: with its new timing, where there is one.
        before: the winner after the first timings; another one may have taken its place.
        again: trial -> the new timing of all that were measured again.
        tail: the best tail split that takes no longer than the winner; None where there is none.
    """

    winner: Trial
    before: Trial
    again: Mapping[int, Timing]
    tail: Record | None

    def lines(self, limits: Limits) -> tuple[str, ...]:
        """For the user; the first one is the result."""
        found = [self._result(limits)]
        for number, timing in self.again.items():
            if number != self.winner.number:
                found.append(f"neighbour: trial {number}, {_latency(timing, limits)}")
        if self.winner.number != self.before.number:
            kept = self.before.number in self.again and _within(self.again[self.before.number], limits)
            why = f"{self.winner.label} is within the budget now" if kept else "it is not within the budget any more"
            found.append(f"{self.before.label} was the best before that; {why}")
        return tuple(found)

    def _result(self, limits: Limits) -> str:
        measured = self.winner.measured
        if measured is None:
            raise ValueError(f"trial {self.winner.number} was not measured")
        timing = self.again.get(self.winner.number, measured.timing)
        task = measured.score.task
        text = f"{self.winner.label}: {_latency(timing, limits)}; "
        text += f"{task.error} {task.show(measured.score.objective)}"
        if self.tail is None or not isinstance(self.tail.outcome, Measured):
            return f"{text}; no tail split is as fast"
        rival = self.tail.outcome.score
        shown = f"the best tail at that latency ({task.show(rival.objective)})"
        if self.tail.candidate.digest == self.winner.record.candidate.digest:
            return f"{text}; it is a tail split itself"
        verdict = paired(measured.score, rival)
        test = f"p = {verdict.p_value:.2g} over {verdict.images} photographs (Wilcoxon signed-rank test of pairs)"
        if verdict.p_value >= SIGNIFICANT:
            return f"{text}, not clearly different from {shown}, {test}"
        return f"{text}, {'better' if verdict.ratio < 1 else 'worse'} than {shown}, {test}"


def conclude(bench: Workbench, trials: Sequence[Trial], limits: Limits, find: Find, *, cache: Path) -> Final | None:
    """Measure again and compare; None where nothing is within the limits.

    Args:
        find: a stored trial by its candidate's digest, or by what identifies its outcome.
        cache: of the study.

    Raises:
        SetupError: the board is gone.
    """
    winner = best(trials, limits)
    if winner is None or winner.measured is None:
        return None
    again: Mapping[int, Timing] = {}
    scale = shelf.AS_MEASURED
    if winner.measured.timing.source != SIMULATED:
        chosen = [winner, *neighbours(trials, winner, limits)]
        built = {trial.number: bench.target.toolchain.build(trial.record.candidate) for trial in chosen}
        board = bench.board
        again = remeasure(board.lengthened(RUNS // ROUNDS) if isinstance(board, Lengthens) else board, built)
        scale = shelf.scale([*(trial.record for trial in trials), *again.values()], bench.bench.shelf)
        again = {number: scale.timing(timing) for number, timing in again.items()}
        winner = _winner(chosen, again, limits) or winner
    if winner.measured is None:
        return None
    timing = again.get(winner.number, winner.measured.timing)
    prior = prior_of(bench.bench, cache) or PlainPrior(bench.graph)
    asked = tails_within(bench.space, prior, winner.record.candidate)
    records = [scale.record(record) for record in outcomes(asked, find, twins.of(bench), bench.evaluator)]
    records += [trial.record for trial in trials if trial.origin == "tail"]
    return Final(winner, best(trials, limits) or winner, again, best_tail(records, timing.median_ms, limits))


def neighbours(trials: Iterable[Trial], winner: Trial, limits: Limits) -> list[Trial]:
    """The next faster and the next slower on the front, if the latter is not far over the budget."""
    points = list(front(trials))
    place = next((i for i, trial in enumerate(points) if trial.number == winner.number), None)
    if place is None:
        return []
    found = [points[i] for i in (place - 1, place + 1) if 0 <= i < len(points)]
    end_ms = float("inf") if limits.budget_ms is None else limits.budget_ms * _NEAR
    return [trial for trial in found if trial.objectives is not None and trial.objectives[0] <= end_ms]


def remeasure(
    board: Board,
    artifacts: Mapping[int, Artifact],
    *,
    runs: int = RUNS,
    limit_s: float = LIMIT_S,
    clock: Callable[[], float] = time.monotonic,
) -> dict[int, Timing]:
    """Time all in turns, every other round backwards, until each has its samples, or another round would take longer
    than ``limit_s`` for each. All are timed at least once; what fails now is left out.

    Args:
        runs: samples that are enough; means are enough when they last ``limit_s`` together.
    """
    begin, rounds = clock(), 0
    samples: dict[int, list[float]] = {number: [] for number in artifacts}
    last: dict[int, Timing] = {}

    def enough(number: int) -> bool:
        mean_s = last[number].mean_s
        return len(samples[number]) >= (min(runs, ceil(limit_s / mean_s)) if mean_s else runs)

    def fits() -> bool:
        return (clock() - begin) * (rounds + 1) / rounds <= limit_s * len(samples)

    while samples and (rounds == 0 or (not all(map(enough, samples)) and fits())):
        for number in sorted(samples, reverse=bool(rounds % 2)):
            try:
                last[number] = board.time(artifacts[number])
            except (CandidateError, TransientError):
                del samples[number]
                continue
            samples[number] += [sample * last[number].correction for sample in last[number].samples_ms]
        rounds += 1
    return {
        number: Timing(
            tuple(own), last[number].source, last[number].board, interval_ms=median_interval(own),
            conditions={**last[number].conditions, "rounds": f"{rounds}, in turns with {len(samples) - 1} others"},
            mean_s=last[number].mean_s,
        )
        for number, own in samples.items()
    }  # fmt: skip


def outcomes(candidates: Iterable[Candidate], find: Find, twin: twins.Twin, evaluator: Evaluates) -> list[Record]:
    """Of candidates, one of those that are twins; what is known, or has a known twin, is not evaluated."""
    found = []
    for name, candidate in {twin(candidate) or candidate.digest: candidate for candidate in candidates}.items():
        known = find(candidate.digest) or find(name)
        found.append(known.record if known else evaluator.evaluate(candidate))
    return found


def tails_within(space: SearchSpace, prior: Prior, winner: Candidate) -> list[Candidate]:
    """The tail splits expected to take no longer than ``winner``: of each, those with the most work in wide types."""
    end = expected_ms(prior, space, winner)
    fast = [tail for tail in space.tails() if expected_ms(prior, space, tail) <= end * (1 + 1e-9)]
    return sorted(fast, key=lambda tail: -_lifted(space, tail))[:_TAILS]


def best_tail(records: Iterable[Record], latency_ms: float, limits: Limits) -> Record | None:
    """The least error among those that really take no longer and keep the limits on faces."""
    fast = [
        (record.outcome.score.objective, record)
        for record in records
        if isinstance(record.outcome, Measured)
        and record.outcome.timing.median_ms <= latency_ms * (1 + 1e-9)
        and all(over <= 0 for name, over in limits.violations(record).items() if name != "latency")
    ]
    return min(fast, key=lambda pair: pair[0])[1] if fast else None


def expected_ms(prior: Prior, space: SearchSpace, candidate: Candidate) -> float:
    """The prior's sum for one candidate."""
    types, plan = space.graph.assign(candidate), prior.plan(candidate)
    total = prior.base_ms(candidate) + sum(prior.work(unit.name, types[unit.name]).total_ms for unit in plan.units)
    for edge in plan.edges:
        made = candidate.base_type if edge.producer is None else types[edge.producer]
        if made is not types[edge.consumer]:
            total += prior.conversion_ms(edge, made, types[edge.consumer])
    return total


def _lifted(space: SearchSpace, tail: Candidate) -> int:
    units = (space.graph.unit[name] for name, _ in tail.overrides)
    return sum(cost(unit, space.graph) for unit in units if unit.nodes)


def _winner(chosen: Sequence[Trial], again: Mapping[int, Timing], limits: Limits) -> Trial | None:
    """The least error among those that are within the budget by their new timing."""
    kept = []
    for trial in chosen:
        if trial.measured is None or trial.number not in again:
            continue
        others = {name: over for name, over in limits.violations(trial.record).items() if name != "latency"}
        if _within(again[trial.number], limits) and all(over <= 0 for over in others.values()):
            kept.append(trial)
    return min(kept, key=lambda trial: trial.measured.score.objective if trial.measured else 0.0, default=None)


def _within(timing: Timing, limits: Limits) -> bool:
    return limits.budget_ms is None or reading_ms(timing, limits.at) <= limits.budget_ms


def _latency(timing: Timing, limits: Limits) -> str:
    text = f"{digits.milliseconds(timing.median_ms)} ms"
    if timing.source == SIMULATED:
        return f"{text} (simulated by a cost model, so without an interval)"
    if timing.interval_ms is not None:
        least, most = (end * timing.factor for end in timing.interval_ms)
        median, low, high = digits.between(timing.median_ms, least, most)
        text = f"{median} ms, 95 % interval {low} to {high}"
    count = len(timing.samples_ms)
    many = f"{count} means over {timing.mean_s:.2g} s" if timing.mean_s else f"{count} runs"
    scaled = f" ({timing.board}'s times {timing.scale:.3f}, as on the slowest board)" if timing.scale != 1 else ""
    if limits.budget_ms is None:
        return f"{text}, {many}{scaled}"
    over = sum(sample * timing.factor > limits.budget_ms for sample in timing.samples_ms)
    budget = f"over {limits.budget_ms:.4g} ms"
    counted = f"{many}, {over or 'none'}" if timing.mean_s else f"{over} of {many}"
    return f"{text}, {counted} {budget}{scaled}"
