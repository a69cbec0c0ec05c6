"""What the trials say, as arrays: made anew from the study before every proposal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mpsearch.board.shelf import scale
from mpsearch.candidate import RANKS, Candidate
from mpsearch.pareto.limits import Limits
from mpsearch.record import ACUITY, PHOTOGRAPHS, Measured, Record, Rejected
from mpsearch.search import forecast
from mpsearch.search.guided.arrays import Floats, Ints
from mpsearch.search.guided.features import Columns, Features
from mpsearch.search.guided.frames import Frame, Frames

_FRAME_WEIGHT = 0.15
"""How far apart another cut, dropped output or base puts two candidates; all groups at another rank are 1 apart."""


@dataclass(frozen=True)
class Known:
    """One candidate as the models see it.

    Attributes:
        at: frame and assignment; None where groups and frame cannot say it (a tail that ends within a group).
        error_px2, latency_ms: None for a failed one, and the latency for one that only ran on few photographs.
        ok: built, ran, and kept the limits on faces.
        cheap: ran on few photographs only.
        board: that measured it, where a study has several and it is not the slowest; the latency is as on the slowest.
        elsewhere: ran on all photographs, but not on the board; what was seen is what the board is expected to say.
    """

    candidate: Candidate
    at: tuple[Frame, Ints] | None
    latency: Floats
    shares: Floats
    place: Floats
    error_px2: float | None = None
    latency_ms: float | None = None
    ok: bool = True
    cheap: bool = False
    elsewhere: bool = False
    board: str = ""


class Encoder:
    """Candidates to :class:`Known`; the slow part once for each."""

    def __init__(self, frames: Frames, features: Features) -> None:
        self.frames, self.features = frames, features
        self._places = Columns()
        self._made: dict[str, Known] = {}

    def encode(self, candidate: Candidate) -> Known:
        """Without results."""
        if candidate.digest not in self._made:
            shares = self.features.shares(candidate)
            self._made[candidate.digest] = Known(
                candidate, self.frames.of(candidate), self.features.latency_row(candidate), shares,
                self._place(candidate, shares[None])[0],
            )  # fmt: skip
        return self._made[candidate.digest]

    def places(self, frame: Frame, shares: Floats) -> Floats:
        """[n, coordinates] for shares [n, groups, ranks]."""
        return self._place(frame.plain, shares)

    def padded(self, place: Floats) -> Floats:
        """With zeros for coordinates that were not known when ``place`` was made."""
        missing = self.width - place.shape[-1]
        return np.concatenate([place, np.zeros((*place.shape[:-1], missing))], axis=-1) if missing else place

    @property
    def width(self) -> int:
        return (RANKS - 1) * len(self.features.groups) + len(self._places)

    def _place(self, candidate: Candidate, shares: Floats) -> Floats:
        terms = [("base", candidate.base), ("algorithm", str(candidate.algorithm)), ("pre", candidate.preprocess)]
        marks = [("cut", output, *tensors) for output, tensors in candidate.cuts]
        marks += [("drop", output) for output in candidate.dropped]
        marks += [("option", *option) for option in candidate.options]
        columns = {self._places.at(term): _FRAME_WEIGHT for term in (*terms, *marks)}
        groups = max(len(self.features.groups), 1)
        by_rank = shares[:, :, 1:].transpose(0, 2, 1).reshape(len(shares), -1) / groups
        rest = np.broadcast_to(self._places.row(columns), (len(shares), len(self._places)))
        found: Floats = np.concatenate([by_rank, rest], axis=1)
        return found


def gather(
    records: Sequence[Record],
    cheap: Mapping[str, tuple[Candidate, float]],
    encoder: Encoder,
    limits: Limits,
    shelf: Sequence[str] = (),
) -> list[Known]:
    """Everything that was observed, full evaluations first. What the rules refuse is no observation: it is known."""
    found: list[Known] = []
    pace = scale(records, shelf)
    factors = {rung: forecast.typical(forecast.errors(records, rung)) for rung in (PHOTOGRAPHS, ACUITY)}
    for record in records:
        blank = encoder.encode(record.candidate)
        if isinstance(record.outcome, Rejected):
            found += [
                replace(blank, error_px2=rung.error * factors[name], elsewhere=True)
                for name, rung in record.rungs.items()
            ]
            continue
        if isinstance(record.outcome, Measured):
            over = limits.violations(record)
            ok = over["missed"] <= 0 and over["extra"] <= 0
            timing = pace.timing(record.outcome.timing)
            error, latency, board = record.outcome.score.objective, timing.median_ms, pace.other(timing.board)
        else:
            ok, error, latency, board = False, None, None, ""
        found.append(
            Known(
                record.candidate, blank.at, blank.latency, blank.shares, blank.place, error, latency, ok,
                board=board,
            )
        )  # fmt: skip
    for candidate, error in cheap.values():
        blank = encoder.encode(candidate)
        found.append(Known(candidate, blank.at, blank.latency, blank.shares, blank.place, error, cheap=True))
    return found
