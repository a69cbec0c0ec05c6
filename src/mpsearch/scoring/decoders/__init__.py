"""Decoders by name: the built-in ones, and those of the entry point group ``mpsearch.decoders``.

A plug-in's entry point is a factory ``(graph: ModelGraph, options: Mapping[str, Any]) -> Decoder``, which raises
``ConfigError`` for a model that does not fit. See ``docs/decoders.md``.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any

from mpsearch.errors import ConfigError, SetupError
from mpsearch.graph.model import ModelGraph
from mpsearch.scoring.decoders import nanodet, retinaface, segmentation, tensors, yolo, yolov5_face, yunet
from mpsearch.scoring.decoders.base import Classifies, Decoder, Head, Segments

__all__ = ["GROUP", "Classifies", "Decoder", "Factory", "Head", "Segments", "create", "names"]

GROUP = "mpsearch.decoders"
Factory = Callable[[ModelGraph, Mapping[str, Any]], Decoder]

_BUILT_IN: Mapping[str, Factory] = {
    yolov5_face.NAME: yolov5_face.create,
    retinaface.NAME: retinaface.create,
    yunet.NAME: yunet.create,
    yolo.NAME: yolo.create,
    nanodet.NAME: nanodet.create,
    segmentation.NAME: segmentation.create,
    tensors.NAME: tensors.create,
}


def names() -> tuple[str, ...]:
    """All decoders, built-in ones first."""
    plugged = sorted({entry.name for entry in entry_points(group=GROUP)} - set(_BUILT_IN))
    return (*_BUILT_IN, *plugged)


def create(name: str, graph: ModelGraph, options: Mapping[str, Any] | None = None) -> Decoder:
    """The decoder ``name`` for ``graph``; a built-in name cannot be taken over by a plug-in.

    Raises:
        ConfigError: unknown name or option, or a model that does not fit (says what was expected and what is there).
        SetupError: a plug-in that does not load.
    """
    return _factory(name)(graph, dict(options or {}))


def _factory(name: str) -> Factory:
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    for entry in entry_points(group=GROUP):
        if entry.name == name:
            try:
                loaded: Factory = entry.load()
            except (ImportError, AttributeError) as error:
                raise SetupError(
                    f"decoder {name!r}: its plug-in {entry.value} does not load: {error}",
                    hint="Install or remove the package that brings it.",
                ) from error
            return loaded
    known = names()
    near = difflib.get_close_matches(name, known, 1)
    raise ConfigError(
        f"no decoder {name!r}" + (f"; nearest: {near[0]!r}" if near else ""), hint=f"Decoders: {', '.join(known)}"
    )
