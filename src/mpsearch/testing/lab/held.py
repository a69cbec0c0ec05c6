"""What a lab's chip keeps between requests: networks, and simulators with statistics from when the tools quantized."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mpsearch.errors import DataError
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.read import read as read_graph
from mpsearch.quant.simulator import Simulator

_simulators: dict[tuple[str, str], Simulator] = {}


class Forgotten(DataError):
    """Another lab quantized the network: its statistics are not here."""


class Remembered:
    """Calibration photographs of which only digest and number are left; their statistics are in the lab's cache.

    Args:
        photos: digest and number; None for a network that was not quantized, which one black image stands for.
    """

    def __init__(self, photos: Sequence[str | int] | None, shape: tuple[int, ...]) -> None:
        self._blank, self._shape = photos is None, shape
        self.digest, self._count = ("blank", 1) if photos is None else (str(photos[0]), int(photos[1]))

    def __len__(self) -> int:
        return self._count

    def batches(self, size: int) -> Iterator[NDArray[np.float32]]:
        if not self._blank:
            raise Forgotten("Failed to load network")
        yield np.zeros(self._shape, np.float32)


@lru_cache(maxsize=4)
def read(path: Path, shape: tuple[int, ...]) -> ModelGraph:
    """A network; ``shape`` is empty where the file's own holds."""
    return read_graph(path, input_shape=shape or None)


def simulator(graph: ModelGraph, photos: Remembered, cache: Path) -> Simulator:
    """One for each network and calibration."""
    key = (graph.digest, photos.digest)
    if key not in _simulators:
        _simulators[key] = Simulator(graph, photos, photos, cache=cache, threads=1)
    return _simulators[key]
