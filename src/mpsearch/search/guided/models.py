"""What the trials say: both models, fitted to everything that was observed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from mpsearch.candidate import BASES, QUANTIZER_OPTIONS, Candidate, DataType
from mpsearch.record import Record
from mpsearch.search.guided import error as errors
from mpsearch.search.guided import failures
from mpsearch.search.guided import latency as latencies
from mpsearch.search.guided.acquire import Beliefs
from mpsearch.search.guided.arrays import Floats
from mpsearch.search.guided.context import Context, PlainPrior
from mpsearch.search.guided.error import ErrorModel, Observations
from mpsearch.search.guided.features import Features
from mpsearch.search.guided.frames import Frames
from mpsearch.search.guided.knowledge import Encoder, Known, gather
from mpsearch.search.guided.latency import LatencyModel
from mpsearch.search.guided.pool import Batch

_SETTINGS = 64
"""Of more settings than this, the error model has unknowns of those that were met, and one of each base for all others:
of which it knows the same, and that is what the bases have in common."""


@dataclass(frozen=True)
class Models:
    """Fitted to the same trials.

    Attributes:
        padded: [known, coordinates] places of ``known``.
    """

    latency: LatencyModel
    error: ErrorModel
    known: list[Known]
    padded: Floats


class Learner:
    """Candidates to numbers, numbers to models. Holds what costs time to make again and nothing that decides
    anything."""

    def __init__(self, context: Context) -> None:
        self._context = context
        space = context.space
        self.features = Features(space, context.prior or PlainPrior(space.graph))
        self.frames = Frames(space)
        self.encoder = Encoder(self.frames, self.features)
        bases = dict.fromkeys((*space.bases, *space.uniform_bases))
        quantizers = {name: values for name, values in space.options.items() if name in QUANTIZER_OPTIONS}
        self._rest = [(base,) for base in bases]
        keys: list[tuple[str, ...]] = list(product(bases, map(str, space.algorithms), *quantizers.values()))
        self._many = len(keys) > _SETTINGS
        self._quantizers = tuple(quantizers)
        self._wider = {DataType(kind).rank for kind in space.types}
        self._index(self._rest if self._many else keys)
        self._hints = np.array([context.hints.get(name, 0.0) for name in self.features.groups])

    def uses(self, part: str) -> bool:
        """Whether a part of the method is in use."""
        return part in self._context.parts

    def base_of(self, candidate: Candidate) -> int:
        """Index of everything that quantizes a whole model: base, algorithm, the quantizer's options."""
        return self._base_index.get(self._setting(candidate), self._base_index.get((candidate.base,), 0))

    def _setting(self, candidate: Candidate) -> tuple[str, ...]:
        return (candidate.base, str(candidate.algorithm), *map(candidate.option, self._quantizers))

    def _index(self, keys: Sequence[tuple[str, ...]]) -> None:
        self._base_index = {key: index for index, key in enumerate(keys)}
        self._ranks = [{BASES[base].type.rank} | self._wider for base, *_ in keys]

    def gather(self, records: Sequence[Record], cheap: Mapping[str, tuple[Candidate, float]]) -> list[Known]:
        """Everything observed; see :func:`mpsearch.search.guided.knowledge.gather`."""
        return gather(records, cheap, self.encoder, self._context.limits, self._context.shelf)

    def fit(self, known: list[Known]) -> Models:
        """Both models after what is known."""
        measured = [item for item in known if item.latency_ms is not None]
        with_error = [item for item in known if item.error_px2 is not None]
        padded = np.array([self.encoder.padded(item.place) for item in known])
        places = {id(item): place for item, place in zip(known, padded, strict=True)}
        remainder = self.uses("remainder")
        latency = latencies.fit(
            self.features, [item.latency for item in measured], np.array([places[id(i)] for i in measured]),
            np.array([item.latency_ms for item in measured]), remainder=remainder,
            boards=[item.board for item in measured],
        )  # fmt: skip
        if self._many:
            met = dict.fromkeys(self._setting(item.candidate) for item in with_error)
            self._index([*(key for key in met if key[:1] in self._rest), *self._rest])
        observed = Observations(
            np.array([self.base_of(item.candidate) for item in with_error]),
            np.array([item.shares for item in with_error]),
            np.array([places[id(item)] for item in with_error]),
            np.array([item.cheap for item in with_error]),
            np.array([item.error_px2 for item in with_error]),
        )
        error = errors.fit(observed, self._ranks, hints=self._hints, remainder=remainder)
        return Models(latency, error, known, padded)

    def beliefs(self, models: Models, batch: Batch) -> Beliefs:
        """What the models expect of a batch."""
        shares = self.features.many_shares(batch.frame, batch.chosen)
        places = self.encoder.padded(self.encoder.places(batch.frame, shares))
        latency = models.latency.predict(models.latency.rows(batch.frame, batch.chosen), places)
        error = models.error.predict(self.base_of(batch.frame.plain), shares, places)
        if not self.uses("draws"):
            latency, error = (latency[0], 0 * latency[1]), (error[0], 0 * error[1])
        return Beliefs(latency, error, failures.probability(places, models.known, models.padded))
