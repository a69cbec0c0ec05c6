"""The cheap rung: errors on few photographs, asked for before anything is worth a whole evaluation."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np

from mpsearch.candidate import Candidate
from mpsearch.record import Measured, Record
from mpsearch.search.guided.context import Context
from mpsearch.search.guided.frames import Frames


class CheapRung:
    """Sensitivities: one group low in a network that is high elsewhere, for each base, as far as the limit allows;
    those groups first that are expected to be hard.

    Attributes:
        asked: digest -> error (None: it cannot be scored), and the seconds that it took here; 0 for what was known.
        limit: how many calls may be made; the study's own, where there is one (:func:`.rungs.limit`).
    """

    def __init__(self, context: Context, frames: Frames) -> None:
        self._context, self._frames = context, frames
        self._known = context.cheap_known
        self.asked: dict[str, tuple[float | None, float]] = {}
        self.limit = context.cheap_calls
        self._list: tuple[Candidate, ...] | None = None

    def known(self, records: Sequence[Record]) -> dict[str, tuple[Candidate, float]]:
        """Digest -> candidate and its error on few photographs."""
        if self._context.cheap_error is None:
            return {}
        if self._list is None:
            self._list = tuple(self._wanted(records))
        found: dict[str, tuple[Candidate, float]] = {}
        left_s = self._context.cheap_left_s()
        for candidate in self._list:
            if left_s <= 0 and candidate.digest not in self._known:
                continue  # until the board has been busy for longer
            asked = candidate.digest in self.asked
            error = self._ask(candidate)
            left_s -= 0.0 if asked else self.asked[candidate.digest][1]
            if error is not None:
                found[candidate.digest] = (candidate, error)
        return found

    def _ask(self, candidate: Candidate) -> float | None:
        digest = candidate.digest
        if digest not in self.asked:
            start = time.perf_counter()
            fresh = digest not in self._known
            if fresh and self._context.cheap_error is not None:
                self._known[digest] = self._context.cheap_error(candidate)
            self.asked[digest] = (self._known[digest], time.perf_counter() - start if fresh else 0.0)
        return self.asked[digest][0]

    def _wanted(self, records: Sequence[Record]) -> list[Candidate]:
        """At most as many as the limit allows, the base with the least error first."""
        found: dict[str, Candidate] = {}
        for base in self._bases(records):
            for candidate in self._flips(base):
                if len(found) >= self.limit:
                    return list(found.values())
                found.setdefault(candidate.digest, candidate)
        return list(found.values())

    def _bases(self, records: Sequence[Record]) -> list[str]:
        bases = self._context.space.bases
        least = dict.fromkeys(bases, float("inf"))
        for record in records:
            own = record.candidate
            if own.base in least and own.is_uniform and isinstance(record.outcome, Measured):
                least[own.base] = min(least[own.base], record.outcome.score.objective)
        return sorted(bases, key=lambda base: (least[base], bases.index(base)))

    def _flips(self, base: str) -> Iterator[Candidate]:
        space, hints = self._context.space, self._context.hints
        frame = self._frames.deepest(base)
        highest = np.array(frame.counts) - 1
        yield space.at(frame.point(highest))
        places = range(len(frame.counts))
        for group in sorted(places, key=lambda place: -hints.get(frame.names[place], 0.0)):
            for option in range(frame.counts[group] - 1):
                chosen = highest.copy()
                chosen[group] = option
                yield space.at(frame.point(chosen))
