"""Frame arithmetic: a camera's frames against a latency."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, isfinite

from mpsearch import digits


@dataclass(frozen=True, slots=True)
class Frames:
    """What a latency means for a stream.

    Attributes:
        fps: inferences a second when one follows the other.
        every: the network can run on each ``every``-th frame of the camera (1: on all).
        spare_ms: time left until the next of these frames.
    """

    fps: float
    every: int
    spare_ms: float


def budget_fps(budget_ms: float) -> float:
    """A budget as frames a second.

    Raises:
        ValueError: not positive and finite.
    """
    return 1000 / _positive(budget_ms, "budget")


def budget_ms(fps: float, *, every: int = 1) -> float:
    """The time that a network has which runs on each ``every``-th frame of ``fps``.

    Raises:
        ValueError: not positive and finite.
    """
    if every < 1:
        raise ValueError(f"every {every}: must be at least 1")
    return 1000 * every / _positive(fps, "frames a second")


def arithmetic(latency_ms: float, camera_fps: float) -> Frames:
    """``latency_ms`` against a camera of ``camera_fps``.

    Raises:
        ValueError: not positive and finite.
    """
    _positive(latency_ms, "latency")
    frame_ms = budget_ms(camera_fps)
    every = max(1, ceil(latency_ms / frame_ms * (1 - 1e-12)))
    return Frames(1000 / latency_ms, every, max(0.0, every * frame_ms - latency_ms))


def sentence(latency_ms: float, limit_ms: float) -> str:
    """One line for a summary: what the budget and the latency mean in frames."""
    shown = digits.milliseconds(latency_ms)
    text = f"budget {limit_ms:.4g} ms = {budget_fps(limit_ms):.1f} fps; {shown} ms = {1000 / latency_ms:.1f} fps"
    if latency_ms > limit_ms:
        found = arithmetic(latency_ms, budget_fps(limit_ms))
        return f"{text}; fits one frame in {found.every}"
    return f"{text}; on every other frame {2 * limit_ms:.4g} ms would be allowed"


def preprocessing_ms(npu_ms: float, cpu_ms: float, *, overlaps: bool) -> float:
    """The time of a frame whose preprocessing the CPU does: one after the other, or the longer of the two.

    With overlap the CPU prepares the next frame while the NPU works, so the rate follows the slower; the delay of a
    single frame is still the sum.
    """
    return max(npu_ms, cpu_ms) if overlaps else npu_ms + cpu_ms


def _positive(value: float, what: str) -> float:
    if not (isfinite(value) and value > 0):
        raise ValueError(f"{what} {value}: must be positive and finite")
    return value
