"""No faces: the output tensors themselves are the task (any model)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mpsearch.graph.model import ModelGraph
from mpsearch.scoring.decoders import base
from mpsearch.scoring.decoders.base import Decoder

NAME = "tensors"


class Tensors(base.NoCells):
    """Has no heads, so the scorer minimises the outputs' noise over their signal (``docs/metric.md``)."""

    name = NAME
    options: Mapping[str, Any] = {}


def create(graph: ModelGraph, options: Mapping[str, Any]) -> Decoder:
    """Fits every model and takes no options.

    Raises:
        ConfigError: an option is given.
    """
    base.check_names(NAME, options, ())
    return Tensors()
