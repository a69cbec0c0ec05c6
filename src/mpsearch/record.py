"""What one trial measured, or why it failed. The record in the trial's attributes is the one source of truth."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from mpsearch.candidate import Candidate
from mpsearch.task import LANDMARKS, TASKS, Task


@dataclass(frozen=True, slots=True)
class Timing:
    """Latency of one artifact.

    Attributes:
        samples_ms: as measured; never empty, all > 0. A model's prediction is one sample.
        source: ``"simulated"`` (cost model), ``"board"`` or ``"host"``; every table shows it.
        board: name of the profile or device.
        parts_ms: where a model says the time goes, by engine or operation; empty when measured.
        interval_ms: 95 % interval of the samples' median; None where there is none.
        correction: what the median is multiplied by because the device was found slower or faster than at the start.
        conditions: how it was measured: runtime, threads, plan, why it stopped, the state of the reference.
        mean_s: how long a sample lasts where it is a mean of many runs; 0 where it is a single run.
        scale: what it is multiplied by to compare it with timings of a shelf's other boards
            (:mod:`mpsearch.board.shelf`); 1 as stored.
    """

    samples_ms: tuple[float, ...]
    source: str
    board: str
    parts_ms: Mapping[str, float] = field(default_factory=dict)
    interval_ms: tuple[float, float] | None = None
    correction: float = 1.0
    conditions: Mapping[str, str] = field(default_factory=dict)
    mean_s: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.correction < float("inf"):
            raise ValueError(f"correction must be positive and finite, got {self.correction}")
        if not self.samples_ms or not all(0 < s < float("inf") for s in self.samples_ms):
            raise ValueError(f"samples_ms must be positive and finite, got {self.samples_ms[:5]}")

    @property
    def factor(self) -> float:
        """Of a sample: its correction and its scale."""
        return self.correction * self.scale

    @property
    def median_ms(self) -> float:
        """Corrected and to scale."""
        return statistics.median(self.samples_ms) * self.factor

    def percentile_ms(self, share: float) -> float:
        """The sample that at least ``share`` (0 < share <= 1) of all do not exceed, corrected and to scale.

        Raises:
            ValueError: a share outside its range.
        """
        if not 0 < share <= 1:
            raise ValueError(f"a percentile is a share in (0, 1], got {share}")
        # A product such as 0.95 * 20 may lie a rounding error above its whole number.
        place = math.ceil(share * len(self.samples_ms) - 1e-9)
        return sorted(self.samples_ms)[max(1, place) - 1] * self.factor


@dataclass(frozen=True, slots=True)
class Score:
    """Task error of one candidate against the float model (``docs/metric.md``).

    Attributes:
        cell_landmark_mse_px2: px^2 of the network's input; None where there are no landmarks, or no lasting cells.
        matched_landmark_mse_px2: after threshold, NMS and matching; None when nothing matched.
        objective: what the study minimises, in the unit of ``task``.
        faces: reference faces (objects, where the task is boxes) in scope.
        missed, extra: faces of the reference not found, faces found that the reference has not.
        matched_iou: mean IoU over matched faces, None when nothing matched.
        nme: mean point distance over the distance between the outer eye points; None when nothing matched.
        per_image: the objective per photograph, None where the photograph has nothing in scope.
        outputs: output tensor -> ``{"mse", "sqnr_db", "cosine"}``.
        kind: name of the task, see :data:`mpsearch.task.TASKS`.
        matched_box_mse_px2: corners of matched boxes; None when nothing matched.
    """

    cell_landmark_mse_px2: float | None
    matched_landmark_mse_px2: float | None
    objective: float
    faces: int
    missed: int
    extra: int
    matched_iou: float | None = None
    nme: float | None = None
    per_image: tuple[float | None, ...] = ()
    outputs: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    kind: str = LANDMARKS.name
    matched_box_mse_px2: float | None = None

    @property
    def task(self) -> Task:
        return TASKS[self.kind]

    @property
    def unit(self) -> str:
        """Of the objective: ``"px2"``, ``"ppm"``, or ``""`` for a share."""
        return self.task.unit


@dataclass(frozen=True, slots=True)
class Measured:
    """A finished trial."""

    score: Score
    timing: Timing
    realised: Mapping[str, str] = field(default_factory=dict)
    """Unit -> type that was really built, where it differs from what was asked for."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A trial that could not be finished, and whose fault it was."""

    stage: str
    error: str
    message: str
    transient: bool = False

    @property
    def why(self) -> str:
        """For tables."""
        return f"{self.stage}: {self.message}"


RULES, PHOTOGRAPHS, ACUITY = "rules", "photographs", "acuity"
"""Rungs below a whole evaluation: the vendor's rules, all photographs on this computer by the simulator, or by the
vendor's engine."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A candidate that was not worth a whole evaluation (:mod:`mpsearch.search.ladder`): no trial of the study.

    Attributes:
        rung: who says so.
        reason: in words, with what dominates it.
    """

    rung: str
    reason: str

    @property
    def why(self) -> str:
        """For tables."""
        return f"rejected by {self.rung}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Rung:
    """What a cheaper evaluation said of a candidate before its board was asked.

    Attributes:
        error: in the unit of the task.
        missed, extra: as in :class:`Score`.
        seconds: that it took; 0 where the evaluation took its score over.
    """

    error: float
    missed: int
    extra: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Record:
    """A candidate with its outcome.

    Attributes:
        stage_s: wall-clock seconds by stage.
        versions: what took part, e.g. ``{"mpsearch": "0.1.0", "onnxruntime": "1.32.0"}``.
        rungs: name of a cheaper evaluation -> what it said, where one was asked.
    """

    candidate: Candidate
    outcome: Measured | Failed | Rejected
    stage_s: Mapping[str, float] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    rungs: Mapping[str, Rung] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data; see :meth:`from_json`."""
        data: dict[str, Any] = {
            "candidate": self.candidate.to_json(),
            "stage_s": dict(self.stage_s),
            "versions": dict(self.versions),
        }
        if self.rungs:
            data["rungs"] = {name: asdict(rung) for name, rung in self.rungs.items()}
        if isinstance(self.outcome, Rejected):
            data["rejected"] = asdict(self.outcome)
        elif isinstance(self.outcome, Failed):
            f = self.outcome
            data["failed"] = {
                "stage": f.stage, "error": f.error, "message": f.message, "transient": f.transient,
            }  # fmt: skip
        else:
            s, t = self.outcome.score, self.outcome.timing
            data["measured"] = {
                "score": {
                    "cell_landmark_mse_px2": s.cell_landmark_mse_px2,
                    "matched_landmark_mse_px2": s.matched_landmark_mse_px2,
                    "objective": s.objective,
                    "faces": s.faces,
                    "missed": s.missed,
                    "extra": s.extra,
                    "matched_iou": s.matched_iou,
                    "nme": s.nme,
                    "per_image": list(s.per_image),
                    "outputs": {name: dict(values) for name, values in s.outputs.items()},
                    "kind": s.kind,
                    "matched_box_mse_px2": s.matched_box_mse_px2,
                },
                "timing": {
                    "samples_ms": list(t.samples_ms),
                    "source": t.source,
                    "board": t.board,
                    "parts_ms": dict(t.parts_ms),
                    **_measuring(t),
                },
                "realised": dict(self.outcome.realised),
            }
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Record:
        """The inverse of :meth:`to_json`.

        Raises:
            ValueError, KeyError, TypeError: not a record.
        """
        outcome: Measured | Failed | Rejected
        if "failed" in data:
            outcome = Failed(**data["failed"])
        elif "rejected" in data:
            outcome = Rejected(**data["rejected"])
        else:
            measured = data["measured"]
            score = _renamed(measured["score"])
            score["per_image"] = tuple(score["per_image"])
            timing = dict(measured["timing"])
            timing["samples_ms"] = tuple(timing["samples_ms"])
            if "interval_ms" in timing:
                low, high = timing["interval_ms"]
                timing["interval_ms"] = (low, high)
            outcome = Measured(Score(**score), Timing(**timing), dict(measured["realised"]))
        rungs = {name: Rung(**rung) for name, rung in data.get("rungs", {}).items()}
        candidate = Candidate.from_json(data["candidate"])
        return cls(candidate, outcome, dict(data["stage_s"]), dict(data["versions"]), rungs)


def _renamed(score: Mapping[str, Any]) -> dict[str, Any]:
    """A stored score under today's names: before the error had a task, it was always in px^2."""
    old = {"objective_px2": "objective", "per_image_px2": "per_image"}
    return {old.get(key, key): value for key, value in score.items()}


def _measuring(timing: Timing) -> dict[str, Any]:
    """What a cost model's timing has not; fields at their default are left out."""
    data: dict[str, Any] = {}
    if timing.interval_ms is not None:
        data["interval_ms"] = list(timing.interval_ms)
    if timing.correction != 1.0:
        data["correction"] = timing.correction
    if timing.conditions:
        data["conditions"] = dict(timing.conditions)
    if timing.mean_s:
        data["mean_s"] = timing.mean_s
    if timing.scale != 1.0:
        data["scale"] = timing.scale
    return data
