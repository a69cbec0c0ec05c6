"""A study's photographs, ready for its network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from mpsearch.config import Study
from mpsearch.errors import ConfigError, DataError
from mpsearch.graph.model import ModelGraph
from mpsearch.images import PhotoSet, Preprocess, find, overlap

Say = Callable[[str], None]


def photo_set(study: Study, graph: ModelGraph, which: Literal["calibration", "evaluation"]) -> PhotoSet:
    """One of the study's two sets.

    Raises:
        ConfigError, DataError: see :func:`preprocess_of` and :func:`mpsearch.images.find`.
    """
    limit = study.data.calibration_limit if which == "calibration" else study.data.evaluation_limit
    return PhotoSet(find(study.data_spec(which)), preprocess_of(study, graph), limit=limit)


def preprocess_of(study: Study, graph: ModelGraph) -> Preprocess:
    """How a photograph becomes the network's input.

    Raises:
        ConfigError: the model takes no photographs.
    """
    shape = graph.tensors[graph.inputs[0]].shape
    if len(shape) != 4 or shape[1] != 3:
        raise ConfigError(
            f"{graph.path}: input {graph.inputs[0]!r} has shape {list(shape)}; photographs need [1, 3, height, width]",
            hint="Export the model with an NCHW input of three channels.",
        )
    scale = study.input.scale
    scales = scale if isinstance(scale, tuple) else (scale,) * 3
    return Preprocess(shape[2], shape[3], study.input.means, scales, study.input.order)


def check_disjoint(calibration: PhotoSet, evaluation: PhotoSet, *, strict: bool, say: Say) -> None:
    """Warn of photographs that are in both sets.

    Raises:
        DataError: there are some, and ``strict``.
    """
    common = overlap(calibration, evaluation)
    if not common:
        return
    pairs = ", ".join(a if a == b else f"{a} = {b}" for a, b in common[:5]) + (" ..." if len(common) > 5 else "")
    message = f"{len(common)} photograph(s) are in both the calibration and the evaluation set: {pairs}"
    hint = "Scores on photographs that were calibrated on look better than they are: use disjoint sets."
    if strict:
        raise DataError(message, hint=hint)
    say(f"warning: {message}\n  {hint}")
