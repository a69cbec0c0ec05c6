"""What one trial measured, or why it failed. The record in the trial's attributes is the one source of truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mpsearch.candidate import Candidate


@dataclass(frozen=True, slots=True)
class Timing:
    """Latency of one artifact.

    Attributes:
        samples_ms: never empty, all > 0. A model's prediction is one sample.
        source: ``"simulated"`` (cost model), ``"board"`` or ``"host"``; every table shows it.
        board: name of the profile or device.
        parts_ms: where a model says the time goes, by engine or operation; empty when measured.
    """

    samples_ms: tuple[float, ...]
    source: str
    board: str
    parts_ms: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.samples_ms or not all(0 < s < float("inf") for s in self.samples_ms):
            raise ValueError(f"samples_ms must be positive and finite, got {self.samples_ms[:5]}")

    @property
    def median_ms(self) -> float:
        ordered = sorted(self.samples_ms)
        middle = len(ordered) // 2
        return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


@dataclass(frozen=True, slots=True)
class Score:
    """Task error of one candidate against the float model (``docs/metric.md``).

    Attributes:
        cell_landmark_mse_px2: the objective, px^2 of the network's input; None where the decoder has no cells.
        matched_landmark_mse_px2: after threshold, NMS and matching; None when nothing matched.
        objective_px2: what the study minimises: the cell error, else the matched error with its penalty.
        faces: reference faces in scope.
        missed, extra: faces of the reference not found, faces found that the reference has not.
        matched_iou: mean IoU over matched faces, None when nothing matched.
        nme: mean point distance over the distance between the outer eye points; None when nothing matched.
        per_image_px2: mean objective error per photograph, None where the photograph has no face in scope.
        outputs: output tensor -> ``{"mse", "sqnr_db", "cosine"}``.
    """

    cell_landmark_mse_px2: float | None
    matched_landmark_mse_px2: float | None
    objective_px2: float
    faces: int
    missed: int
    extra: int
    matched_iou: float | None = None
    nme: float | None = None
    per_image_px2: tuple[float | None, ...] = ()
    outputs: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


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


@dataclass(frozen=True, slots=True)
class Record:
    """A candidate with its outcome.

    Attributes:
        stage_s: wall-clock seconds by stage.
        versions: what took part, e.g. ``{"mpsearch": "0.1.0", "onnxruntime": "1.32.0"}``.
    """

    candidate: Candidate
    outcome: Measured | Failed
    stage_s: Mapping[str, float] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data; see :meth:`from_json`."""
        data: dict[str, Any] = {
            "candidate": self.candidate.to_json(),
            "stage_s": dict(self.stage_s),
            "versions": dict(self.versions),
        }
        if isinstance(self.outcome, Failed):
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
                    "objective_px2": s.objective_px2,
                    "faces": s.faces,
                    "missed": s.missed,
                    "extra": s.extra,
                    "matched_iou": s.matched_iou,
                    "nme": s.nme,
                    "per_image_px2": list(s.per_image_px2),
                    "outputs": {name: dict(values) for name, values in s.outputs.items()},
                },
                "timing": {
                    "samples_ms": list(t.samples_ms),
                    "source": t.source,
                    "board": t.board,
                    "parts_ms": dict(t.parts_ms),
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
        outcome: Measured | Failed
        if "failed" in data:
            outcome = Failed(**data["failed"])
        else:
            measured = data["measured"]
            score = dict(measured["score"])
            score["per_image_px2"] = tuple(score["per_image_px2"])
            timing = dict(measured["timing"])
            timing["samples_ms"] = tuple(timing["samples_ms"])
            outcome = Measured(Score(**score), Timing(**timing), dict(measured["realised"]))
        return cls(Candidate.from_json(data["candidate"]), outcome, dict(data["stage_s"]), dict(data["versions"]))
