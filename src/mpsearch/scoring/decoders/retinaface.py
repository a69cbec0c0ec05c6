"""RetinaFace: ``loc 1 x n x 4``, ``conf 1 x n x 2``, ``landmarks 1 x n x 2*points`` over SSD priors.

Formulas: Pytorch_Retinaface, ``layers/functions/prior_box.py`` and ``utils/box_utils.py`` (decode, decode_landm).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpsearch.errors import ConfigError
from mpsearch.graph.model import ModelGraph
from mpsearch.scoring.decoders import base
from mpsearch.scoring.decoders.base import Decoder, Float64, Head, Index, Outputs

NAME = "retinaface"
DEFAULT_SIZES = {8: (16.0, 32.0), 16: (64.0, 128.0), 32: (256.0, 512.0)}
"""Stride -> sizes of the square priors, px."""
VARIANCES = (0.1, 0.2)
ROLES = {"loc": ("loc", "bbox", "box"), "conf": ("conf", "cls", "score", "prob"), "landmarks": ("landm", "kps", "lmk")}
"""Role of an output -> what its name contains, where shapes alone do not decide."""


def priors(height: int, width: int, sizes: Mapping[int, tuple[float, ...]]) -> Float64:
    """``[n, 3]`` centre x, centre y, size in px: strides, rows, columns, then sizes, as the network is trained."""
    parts = []
    for stride, values in sizes.items():
        rows, columns = -(-height // stride), -(-width // stride)
        y, x, size = np.meshgrid(np.arange(rows), np.arange(columns), np.asarray(values), indexing="ij")
        parts.append(np.stack([(x + 0.5) * stride, (y + 0.5) * stride, size], axis=-1).reshape(-1, 3))
    return np.concatenate(parts)


class RetinaFace:
    """See the module. All cells are one head: each output covers all strides."""

    name = NAME
    anchored = True

    def __init__(
        self,
        outputs: Mapping[str, str],
        priors: Float64,
        points: int,
        *,
        logits: bool,
        threshold: float,
        variances: tuple[float, ...],
        options: Mapping[str, Any],
    ) -> None:
        self.threshold = threshold
        self.points = points
        self.eyes = (0, 1) if points == 5 else None
        self.options = options
        self.heads = (Head((outputs["loc"], outputs["conf"], outputs["landmarks"]), 0, len(priors)),)
        self._outputs, self._priors, self._logits, self._variances = outputs, priors, logits, variances

    def scores(self, outputs: Outputs) -> NDArray[np.float32]:
        if not self.heads[0].present(outputs):
            return np.zeros((base.batch_of(outputs), len(self._priors)), np.float32)
        conf = outputs[self._outputs["conf"]]
        if self._logits:  # a softmax over two classes
            score: NDArray[np.float32] = base.sigmoid(conf[..., 1] - conf[..., 0])
            return score
        return conf[..., 1]

    def decode(self, outputs: Outputs, images: Index, cells: Index) -> tuple[Float64, Float64]:
        prior, size = self._priors[cells, :2], self._priors[cells, 2:]
        loc = outputs[self._outputs["loc"]][images, cells].astype(np.float64)
        offsets = outputs[self._outputs["landmarks"]][images, cells].astype(np.float64)
        centre = prior + loc[:, :2] * self._variances[0] * size
        grow = np.exp(np.clip(loc[:, 2:] * self._variances[1], None, base.EXPONENT_LIMIT))
        points = offsets.reshape(-1, self.points, 2) * self._variances[0] * size[:, None] + prior[:, None]
        return base.corners(centre, grow * size), points


def create(graph: ModelGraph, options: Mapping[str, Any]) -> Decoder:
    """Options: ``threshold`` (0.6), ``min_sizes`` (stride -> prior sizes, px), ``variances`` ([0.1, 0.2]), ``conf``
    (``auto``, ``probabilities`` or ``logits``; ``auto`` looks for a Softmax before the output), ``outputs``
    (``loc``, ``conf``, ``landmarks`` -> model output, where shapes and names do not tell).

    Raises:
        ConfigError: outputs or the number of priors do not fit, or wrong options.
    """
    base.check_names(NAME, options, ("threshold", "min_sizes", "variances", "conf", "outputs"))
    sizes = base.read_per_stride(NAME, "min_sizes", options.get("min_sizes", DEFAULT_SIZES))
    variances = base.read_numbers(NAME, "variances", options.get("variances", VARIANCES), count=2)
    conf = options.get("conf", "auto")
    if conf not in ("auto", "probabilities", "logits"):
        raise ConfigError(f"decoder {NAME}: conf {conf!r} is none of auto, probabilities, logits")
    boxes = priors(*base.input_size(graph), sizes)
    found = _outputs(graph, options.get("outputs", {}), len(boxes))
    if found is None:
        raise base.misfit(
            NAME, graph, f"loc 1x{len(boxes)}x4, conf 1x{len(boxes)}x2 and landmarks 1x{len(boxes)}x(2*points)"
        )
    logits = conf == "logits" or (conf == "auto" and not base.activated(graph, found["conf"], ("Softmax", "Sigmoid")))
    threshold = base.read_threshold(NAME, options, 0.6)
    stated = {
        "threshold": threshold,
        "min_sizes": {str(k): list(v) for k, v in sizes.items()},
        "variances": list(variances),
        "conf": "logits" if logits else "probabilities",
        "outputs": found,
    }
    points = graph.tensors[found["landmarks"]].shape[-1] // 2
    return RetinaFace(found, boxes, points, logits=logits, threshold=threshold, variances=variances, options=stated)


def _outputs(graph: ModelGraph, given: Any, cells: int) -> dict[str, str] | None:
    """Role -> model output: as given, else the one of the right shape, else among those the one of a telling name."""
    if not isinstance(given, Mapping):
        raise ConfigError(f"decoder {NAME}: outputs must map {', '.join(ROLES)} to model outputs, got {given!r}")
    base.check_names(f"{NAME}: outputs", given, ROLES)
    found: dict[str, str] = {}
    for role, hints in ROLES.items():
        fits = [name for name, shape in base.shapes(graph).items() if _fits(role, shape, cells)]
        fits = [name for name in fits if name == given[role]] if role in given else fits
        told = [name for name in fits if any(hint in name.lower() for hint in hints)]
        chosen = fits if len(fits) == 1 else told
        if len(chosen) != 1:
            return None
        found[role] = chosen[0]
    return found if len(set(found.values())) == len(ROLES) else None


def _fits(role: str, shape: tuple[int, ...], cells: int) -> bool:
    if len(shape) != 3 or shape[1] != cells:
        return False
    return shape[2] == {"loc": 4, "conf": 2}[role] if role != "landmarks" else shape[2] >= 6 and shape[2] % 2 == 0
