"""What each unit took on a board, kept beside the study as what a search expects before it has measured anything.

``mpsearch profile --time`` writes the file, :func:`prior` reads it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from mpsearch import canonical
from mpsearch.board.cost import Edge, Plan
from mpsearch.board.work import Work
from mpsearch.candidate import Candidate, DataType
from mpsearch.device.profiling import Layer
from mpsearch.errors import ConfigError
from mpsearch.files import publish
from mpsearch.graph.model import ModelGraph

if TYPE_CHECKING:
    from mpsearch.search.guided.context import Prior

_FARTHEST = 10.0
"""A unit's time is believed up to so many times more or less than what the model says of it, against the others: a
profiled layer never takes less than some 50 us, which says nothing about its work."""


@dataclass(frozen=True, slots=True)
class UnitTimes:
    """Attributes:
    model: the network's digest.
    board: whose times these are.
    candidate: what was built and profiled.
    unit_ms: unit -> ms, only where the driver's table could be joined.
    rest_ms: rows of no unit.
    """

    model: str
    board: str
    candidate: Candidate
    unit_ms: Mapping[str, float]
    rest_ms: float

    def to_json(self) -> dict[str, Any]:
        """Plain data; see :func:`load`."""
        return {
            "model": self.model,
            "board": self.board,
            "candidate": self.candidate.to_json(),
            "unit_ms": dict(self.unit_ms),
            "rest_ms": self.rest_ms,
        }


def unit_times_ms(layers: Sequence[Layer], graph: ModelGraph, candidate: Candidate, board: str) -> UnitTimes:
    """Joined rows of a profile (:func:`mpsearch.device.profiling.join`) added up by unit."""
    found: dict[str, float] = {}
    rest = 0.0
    for layer in layers:
        if layer.unit:
            found[layer.unit] = found.get(layer.unit, 0.0) + layer.time_us / 1000
        else:
            rest += layer.time_us / 1000
    return UnitTimes(graph.digest, board, candidate, found, rest)


def file(cache: Path, graph: ModelGraph, board: str) -> Path:
    """Where a study keeps them: one file for each network and board."""
    return cache / f"unit-times-{canonical.digest([graph.digest, board])[:32]}.json"


def save(times: UnitTimes, path: Path) -> None:
    """Write the file, whole or not at all.

    Raises:
        ConfigError: it cannot be written.
    """
    text = json.dumps(times.to_json(), indent=2, sort_keys=True) + "\n"
    try:
        publish(path, lambda part: part.write_text(text, encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror or error}") from error


def load(path: Path) -> UnitTimes:
    """Read the file.

    Raises:
        ConfigError: it has another form.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        times = {str(unit): float(ms) for unit, ms in data["unit_ms"].items()}
        candidate = Candidate.from_json(data["candidate"])
        return UnitTimes(str(data["model"]), str(data["board"]), candidate, times, float(data["rest_ms"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path}: no times of units ({error})", hint="Remove it, and profile again.") from error


def prior(cache: Path, graph: ModelGraph, board: str, model: Prior) -> Prior:
    """``model``, corrected by what a board said of the units, where it was asked (``mpsearch profile --time``)."""
    path = file(cache, graph, board)
    if not path.is_file():
        return model
    times = load(path)
    return ProfiledPrior(model, graph, times) if times.model == graph.digest and times.unit_ms else model


class ProfiledPrior:
    """Implements :class:`mpsearch.search.guided.context.Prior`.

    A unit's measured time over the model's, in the type that it was profiled in, corrects the model in every type;
    units that the table does not tell are corrected by the middle of the others, and so is everything else.
    """

    def __init__(self, model: Prior, graph: ModelGraph, times: UnitTimes) -> None:
        self._model = model
        types = graph.assign(times.candidate)
        ratios = {}
        for unit, ms in times.unit_ms.items():
            expected = model.work(unit, types[unit]).total_ms if unit in types else 0.0
            if expected > 0 and ms > 0:
                ratios[unit] = ms / expected
        self._middle = median(ratios.values()) if ratios else 1.0
        low, high = self._middle / _FARTHEST, self._middle * _FARTHEST
        self._ratios = {unit: min(max(ratio, low), high) for unit, ratio in ratios.items()}

    def plan(self, candidate: Candidate) -> Plan:
        return self._model.plan(candidate)

    def work(self, unit: str, kind: DataType) -> Work:
        ratio = self._ratios.get(unit, self._middle)
        return Work({part: ms * ratio for part, ms in self._model.work(unit, kind).parts_ms.items()})

    def conversion_ms(self, edge: Edge, made: DataType, wanted: DataType) -> float:
        return self._model.conversion_ms(edge, made, wanted) * self._middle

    def base_ms(self, candidate: Candidate) -> float:
        return self._model.base_ms(candidate) * self._middle
