"""What calibration sees, once a study: per tensor and photograph the smallest and the largest value, and histograms.

Kept on disk by the digests of model and photographs; a damaged file is measured again.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mpsearch import canonical
from mpsearch.errors import DataError
from mpsearch.files import publish
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.onnxio import FloatModel

FloatArray = NDArray[np.float32]
_VERSION = 1
BINS = 8192


class Photos(Protocol):
    """What the simulator needs of a :class:`mpsearch.images.PhotoSet`."""

    @property
    def digest(self) -> str: ...

    def __len__(self) -> int: ...

    def batches(self, size: int) -> Iterator[FloatArray]:
        """``[n, C, H, W]`` float32, normalised."""


@dataclass(frozen=True)
class Statistics:
    """Per tensor ``[photographs, 2]`` float32: minimum and maximum."""

    extremes: Mapping[str, FloatArray]

    def minmax(self, tensor: str) -> tuple[float, float]:
        """Over all photographs."""
        found = self.extremes[tensor]
        return float(found[:, 0].min()), float(found[:, 1].max())


@dataclass(frozen=True)
class Histograms:
    """Per tensor, how often its values fall into :data:`BINS` equal parts of its range.

    Attributes:
        counts: ``[BINS]`` int64.
        ranges: the range that was divided, by :meth:`Statistics.minmax`.
    """

    counts: Mapping[str, NDArray[np.int64]]
    ranges: Mapping[str, tuple[float, float]]


def tensors_of(graph: ModelGraph) -> tuple[str, ...]:
    """The float activations, the graph's input first."""
    made = [tensor for node in graph.nodes for tensor in node.outputs]
    return tuple(
        name for name in (*graph.inputs, *made) if name not in graph.tensors or graph.tensors[name].dtype == "float32"
    )


def measure(graph: ModelGraph, photos: Photos, *, cache: Path | None = None, threads: int = 0) -> Statistics:
    """Run the float model over ``photos`` and keep every tensor's extremes.

    Raises:
        DataError: no photographs, or values that are not finite (the first such tensor is named).
    """
    if len(photos) == 0:
        raise DataError("no calibration photographs", hint="Check the study's `data.calibration`.")
    names = tensors_of(graph)
    key = canonical.digest([_VERSION, "extremes", graph.digest, photos.digest, list(names)])
    file = cache / f"extremes-{key[:32]}.npz" if cache else None
    if file is not None and (known := _load(file, names, len(photos))) is not None:
        return Statistics(known)
    inner = [name for name in names if name not in graph.inputs]
    model = FloatModel(graph, tensors=inner, threads=threads)
    rows: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for image in each(photos):
        check_shape(graph, image)
        values = {graph.inputs[0]: image, **model.run(image)}
        for name in names:
            low, high = values[name].min(initial=np.inf), values[name].max(initial=-np.inf)
            if not np.isfinite([low, high]).all():
                raise DataError(
                    f"{graph.path.name}: tensor {name!r} is not finite on calibration photograph {len(rows[name])} "
                    f"(from {low} to {high})",
                    hint="Check means, scale and channel order; the float model itself overflows on this input.",
                )
            rows[name].append((float(low), float(high)))
    found = {name: np.array(values, np.float32) for name, values in rows.items()}
    if file is not None:
        save(file, {f"t{index}": found[name] for index, name in enumerate(names)})
    return Statistics(found)


def histograms(
    graph: ModelGraph, photos: Photos, known: Statistics, *, cache: Path | None = None, threads: int = 0
) -> Histograms:
    """A second pass over ``photos``, for what needs more than extremes."""
    names = tuple(known.extremes)
    ranges = {name: known.minmax(name) for name in names}
    key = canonical.digest([_VERSION, "histograms", BINS, graph.digest, photos.digest, list(names)])
    file = cache / f"histograms-{key[:32]}.npz" if cache else None
    stored = _read(file, names) if file is not None else None
    if stored is not None and all(rows.shape == (BINS,) and rows.sum() > 0 for rows in stored.values()):
        return Histograms(stored, ranges)
    model = FloatModel(graph, tensors=[name for name in names if name not in graph.inputs], threads=threads)
    counts = {name: np.zeros(BINS, np.int64) for name in names}
    for image in each(photos):
        check_shape(graph, image)
        for name, values in {graph.inputs[0]: image, **model.run(image)}.items():
            low, high = ranges[name]
            step = np.float32(BINS / (high - low)) if high > low else np.float32(0)
            index = np.clip((values.reshape(-1) - np.float32(low)) * step, 0, BINS - 1).astype(np.int32)
            counts[name] += np.bincount(index, minlength=BINS)
    if file is not None:
        save(file, {f"t{index}": counts[name] for index, name in enumerate(names)})
    return Histograms(counts, ranges)


def check_shape(graph: ModelGraph, images: FloatArray) -> None:
    """Raises DataError where ``images`` ``[N, C, H, W]`` are not the network's size."""
    wanted, found = list(graph.tensors[graph.inputs[0]].shape), list(images.shape)
    if found[1:] != wanted[-3:]:
        raise DataError(
            f"photographs of shape {found[1:]}, but {graph.path.name} reads {wanted[-3:]}",
            hint="Check the study's `input` and the model's input shape.",
        )


def each(photos: Photos) -> Iterator[FloatArray]:
    """One photograph at a time, ``[1, C, H, W]``."""
    yield from photos.batches(1)


def _read(file: Path, names: tuple[str, ...]) -> dict[str, NDArray[Any]] | None:
    try:
        with np.load(file) as stored:
            return {name: stored[f"t{index}"] for index, name in enumerate(names)}
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return None


def _load(file: Path, names: tuple[str, ...], count: int) -> dict[str, FloatArray] | None:
    found = _read(file, names)
    if found is None or any(rows.shape != (count, 2) or not np.isfinite(rows).all() for rows in found.values()):
        return None
    return found


def save(file: Path, arrays: Mapping[str, NDArray[np.generic]]) -> None:
    """Write an npz whole or not at all."""
    publish(file, lambda part: np.savez(part, **dict(arrays)))  # type: ignore[arg-type]
