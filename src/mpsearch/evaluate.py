"""One candidate, all stages: build, run on the photographs, score, time.

The only place where an error becomes a :class:`~mpsearch.record.Failed`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mpsearch.candidate import Candidate, DataType
from mpsearch.errors import CandidateError, TransientError
from mpsearch.record import Failed, Measured, Record, Score, Timing

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Artifact:
    """What a toolchain built.

    Attributes:
        types: live unit -> type really built.
        differs: unit -> type built, only where it is not the one asked for.
    """

    candidate: Candidate
    types: Mapping[str, DataType]
    differs: Mapping[str, str] = field(default_factory=dict)


class Toolchain(Protocol):
    """Turns a candidate into an artifact."""

    def build(self, candidate: Candidate) -> Artifact:
        """Raises:
        CandidateError: the vendor's rules or compiler refuse it.
        SetupError: nothing can be built.
        TransientError: worth one more try.
        """


class Executor(Protocol):
    """Runs an artifact on the study's evaluation photographs."""

    def batches(self, artifact: Artifact) -> Iterator[Mapping[str, FloatArray]]:
        """Model output -> ``[images, ...]`` float32, dequantized and completed behind its cuts; dropped outputs are
        absent. Photographs in the study's order, split into batches as the executor likes."""


class Board(Protocol):
    """Times an artifact."""

    def time(self, artifact: Artifact) -> Timing:
        """Raises:
        CandidateError: it does not load or run.
        SetupError: the board cannot be used.
        """

    def close(self) -> None:
        """Let go of the board; safe to call twice."""


class Scorer(Protocol):
    """Task error against the float model."""

    def score(self, batches: Iterator[Mapping[str, FloatArray]]) -> Score:
        """``batches`` as :meth:`Executor.batches` gives them."""


class Evaluator:
    """The stages of one trial.

    Args:
        clock: seconds, for the record's stage times.
        versions: stored with every record.
    """

    def __init__(
        self,
        toolchain: Toolchain,
        executor: Executor,
        board: Board,
        scorer: Scorer,
        *,
        versions: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._toolchain, self._executor, self._board, self._scorer = toolchain, executor, board, scorer
        self._versions = dict(versions or {})
        self._clock = clock

    def evaluate(self, candidate: Candidate, score: Score | None = None) -> Record:
        """Measure ``candidate``.

        A transient failure is tried once more. Candidate faults and lasting transient ones become ``Failed``.

        Args:
            score: by this executor, of the candidate as it is asked for; it holds if that is what is built.

        Raises:
            SetupError: no further trial can succeed.
        """
        stage_s: dict[str, float] = {}
        outcome: Measured | Failed
        try:
            outcome = self._measure(candidate, score, stage_s)
        except TransientError:
            try:
                outcome = self._measure(candidate, score, stage_s)
            except TransientError as error:
                stage = list(stage_s)[-1]  # stages are entered in order, the failed one last
                outcome = Failed(stage, type(error).__name__, str(error), transient=True)
            except CandidateError as error:
                outcome = Failed(error.stage, type(error).__name__, str(error))
        except CandidateError as error:
            outcome = Failed(error.stage, type(error).__name__, str(error))
        return Record(candidate, outcome, stage_s, self._versions)

    def outputs(self, candidate: Candidate) -> Iterator[Mapping[str, FloatArray]]:
        """Build ``candidate`` and run it on the photographs, see :meth:`Executor.batches`.

        Raises:
            CandidateError, SetupError, TransientError: as the stages raise them.
        """
        return self._executor.batches(self._toolchain.build(candidate))

    def time(self, candidate: Candidate) -> Timing:
        """Build ``candidate`` and time it; raises likewise."""
        return self._board.time(self._toolchain.build(candidate))

    def _measure(self, candidate: Candidate, score: Score | None, stage_s: dict[str, float]) -> Measured:
        artifact = self._timed("build", stage_s, lambda: self._toolchain.build(candidate))
        if score is None or artifact.differs:
            score = self._timed("score", stage_s, lambda: self._scorer.score(self._executor.batches(artifact)))
        timing = self._timed("time", stage_s, lambda: self._board.time(artifact))
        return Measured(score, timing, artifact.differs)

    def _timed(self, stage: str, stage_s: dict[str, float], call: Callable[[], Any]) -> Any:
        start = self._clock()
        before = stage_s.pop(stage, 0.0)
        try:
            return call()
        finally:
            stage_s[stage] = round(before + self._clock() - start, 4)
