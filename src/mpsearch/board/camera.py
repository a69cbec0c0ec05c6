"""The camera's frames: who converts them, the NPU (nv12 ...) or the CPU, and what that does to a frame's time."""

from __future__ import annotations

from dataclasses import replace
from math import isfinite

from mpsearch.board.frames import preprocessing_ms
from mpsearch.board.measure import Lengthens
from mpsearch.errors import ConfigError
from mpsearch.evaluate import Artifact, Board
from mpsearch.record import Timing


class WithCamera:
    """A board whose candidates that leave the frames to the CPU pay for that, so that both kinds can be weighed.

    Implements :class:`~mpsearch.evaluate.Board`. Samples become times of whole frames, a correction for drift included.

    Args:
        cpu_ms: what the CPU takes for a frame.
        overlaps: it prepares the next frame while the NPU works: then the slower of the two counts.

    Raises:
        ConfigError: ``cpu_ms`` is no time.
    """

    def __init__(self, board: Board, *, cpu_ms: float, overlaps: bool) -> None:
        if not (isfinite(cpu_ms) and cpu_ms > 0):
            raise ConfigError(f"camera: cpu_ms {cpu_ms} must be positive: milliseconds that the CPU takes for a frame")
        self._board, self._cpu_ms, self._overlaps = board, cpu_ms, overlaps

    def time(self, artifact: Artifact) -> Timing:
        """See :meth:`mpsearch.evaluate.Board.time`."""
        timing = self._board.time(artifact)
        if artifact.candidate.preprocess != "cpu":
            return timing

        def whole(ms: float) -> float:
            return preprocessing_ms(ms * timing.correction, self._cpu_ms, overlaps=self._overlaps)

        parts = dict(timing.parts_ms)
        if parts:
            parts["camera (CPU)"] = whole(timing.samples_ms[0]) - timing.samples_ms[0] * timing.correction
        interval = timing.interval_ms
        how = "while the NPU works" if self._overlaps else "before the NPU works"
        return replace(
            timing,
            samples_ms=tuple(map(whole, timing.samples_ms)),
            interval_ms=None if interval is None else (whole(interval[0]), whole(interval[1])),
            parts_ms=parts,
            correction=1.0,
            conditions={**timing.conditions, "camera": f"{self._cpu_ms:g} ms on the CPU, {how}"},
        )

    def lengthened(self, runs: int) -> WithCamera:
        """See :meth:`mpsearch.board.measure.Lengthens.lengthened`; as it is where its board cannot."""
        if not isinstance(self._board, Lengthens):
            return self
        return WithCamera(self._board.lengthened(runs), cpu_ms=self._cpu_ms, overlaps=self._overlaps)

    def close(self) -> None:
        """Close the board."""
        self._board.close()
