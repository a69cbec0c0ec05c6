"""Recorded tables. One of a network in all its units is never complete: what it has not is measured, and kept."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from efficiency import lines
from efficiency.networks import Network, Recipe
from mpsearch.errors import DataError

Chosen = tuple[int, ...]


@dataclass(frozen=True)
class Parts:
    """Times of a network in groups: [groups, types], edges (a, b) with -1 for the input, [edges, types, types]."""

    unit_ms: np.ndarray
    fixed_ms: float
    edges: tuple[tuple[int, int], ...]
    edge_ms: np.ndarray


class Table:
    """Assignment -> latency ms, error px^2, error on few photographs px^2.

    Attributes:
        cheap_cost: of one call on few photographs, in evaluations.
    """

    def __init__(self, path: Path) -> None:
        data = np.load(path)
        self._path = path
        self.made_of: dict[str, Any] = json.loads(str(data["made_of"]))
        edges = tuple((int(a), int(b)) for a, b in data["edges"])
        self.parts = Parts(data["unit_ms"], float(data["fixed_ms"]), edges, data["edge_ms"])
        self.cheap_cost = int(data["few"]) / int(data["photographs"])
        columns = [data[name].tolist() for name in ("latency_ms", "error_px2", "few_px2")]
        self.known = {tuple(c): row for c, *row in zip(data["chosen"].tolist(), *columns, strict=True)}
        groups, types = self.parts.unit_ms.shape
        self.complete = len(self.known) == types**groups
        if not self.complete:
            self.known.update(lines.read(self._lines, self.made_of))

    def __getitem__(self, chosen: Chosen) -> list[float]:
        """Raises:
        DataError: neither recorded nor to be measured here.
        """
        if chosen not in self.known:
            row = self._network.measure(chosen)
            self._store.add(chosen, row)
            self.known[chosen] = row
        return self.known[chosen]

    @property
    def _lines(self) -> Path:
        return self._path.with_suffix(".jsonl")

    @cached_property
    def _store(self) -> lines.Store:
        return lines.Store(self._lines, self.made_of)

    @cached_property
    def _network(self) -> Network:
        made_of, path = self.made_of, self._path
        fields = {name: made_of[name] for name in Recipe.__dataclass_fields__ if name in made_of}
        if self.complete or "MPSEARCH_SHARED" not in os.environ:
            raise DataError(
                f"{path.name} has no such assignment, and without the model it cannot be measured",
                hint="Set MPSEARCH_SHARED to the folder with data/models and data/images.",
            )
        network = Network(
            Recipe(**{**fields, "types": tuple(fields["types"])}), path.parent / ".cache" / fields["network"]
        )
        other = sorted(key for key, value in network.made_of.items() if made_of.get(key) != value)
        if other:
            raise DataError(
                f"{path.name} was recorded with other {', '.join(other)}",
                hint="Record it anew: oracles/record.py --units.",
            )
        return network


@lru_cache
def opened(path: Path) -> Table:
    """One table a file and process: what one run measured is there for the next."""
    return Table(path)
