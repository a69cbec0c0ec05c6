"""No faces: the output tensors themselves are the task (any model)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpsearch.graph.model import ModelGraph
from mpsearch.scoring.decoders import base
from mpsearch.scoring.decoders.base import Decoder, Float64, Head, Index, Outputs

NAME = "tensors"


class Tensors:
    """Has no heads, so the scorer minimises the mean over outputs of their mean squared error (``docs/metric.md``)."""

    name = NAME
    threshold = 1.0
    points = 0
    eyes: tuple[int, int] | None = None
    anchored = True
    heads: tuple[Head, ...] = ()
    options: Mapping[str, Any] = {}

    def scores(self, outputs: Outputs) -> NDArray[np.float32]:
        return np.zeros((base.batch_of(outputs), 0), np.float32)

    def decode(self, outputs: Outputs, images: Index, cells: Index) -> tuple[Float64, Float64]:
        return np.zeros((len(cells), 4)), np.zeros((len(cells), 0, 2))


def create(graph: ModelGraph, options: Mapping[str, Any]) -> Decoder:
    """Fits every model and takes no options.

    Raises:
        ConfigError: an option is given.
    """
    base.check_names(NAME, options, ())
    return Tensors()
