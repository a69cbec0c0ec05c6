"""The float model's outputs on the study's photographs: run once, kept in a cache that may be deleted at any time."""

from __future__ import annotations

import logging
import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mpsearch import canonical
from mpsearch.errors import ConfigError
from mpsearch.files import publish
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.onnxio import FloatModel
from mpsearch.images import PhotoSet

FloatArray = NDArray[np.float32]

METRIC_VERSION = {"landmarks": 1, "boxes": 1, "segmentation": 1, "tensors": 2}
"""By task; goes up when the page ``docs/metric.md`` changes the meaning of a number."""
CACHE_VERSION = 1
"""Of the float model's stored outputs."""
BATCH = 8

_log = logging.getLogger(__name__)


def float_outputs(
    graph: ModelGraph, photos: PhotoSet, *, cache: Path | None = None, threads: int = 0
) -> dict[str, FloatArray]:
    """Model output -> ``[N, ...]`` float32 of the uncut model.

    Args:
        cache: folder; a file in it that is broken or of another model or photographs is made anew, and one that
            cannot be written is done without.

    Raises:
        ConfigError: the photographs' input size or channels are not the model's.
    """
    shape = graph.tensors[graph.inputs[0]].shape
    wanted = (1, 3, photos.preprocess.height, photos.preprocess.width)
    if shape != wanted:
        raise ConfigError(
            f"{graph.path.name}: its input is {'x'.join(map(str, shape))}, "
            f"the photographs are prepared as {'x'.join(map(str, wanted))}",
            hint="Set the preprocessing's height and width to the model's.",
        )
    if cache is None:
        return _run(graph, photos, threads)
    key = canonical.digest({"model": graph.digest, "photos": photos.digest, "metric": CACHE_VERSION})
    file = cache / f"float-{key[:32]}.npz"
    outputs = _read(file, graph, len(photos))
    if outputs is None:
        outputs = _run(graph, photos, threads)
        _write(file, list(outputs.values()))
    return outputs


def _run(graph: ModelGraph, photos: PhotoSet, threads: int) -> dict[str, FloatArray]:
    model = FloatModel(graph, threads=threads)
    parts = [model.run(batch) for batch in photos.batches(BATCH)]
    return {name: np.concatenate([part[name] for part in parts]) for name in graph.outputs}


def _read(file: Path, graph: ModelGraph, count: int) -> dict[str, FloatArray] | None:
    try:
        with np.load(file, allow_pickle=False) as stored:  # zip members carry a checksum: damage is noticed
            outputs = {name: stored[f"arr_{index}"] for index, name in enumerate(graph.outputs)}
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        _log.warning("%s is broken (%s): the float model runs again", file, error)
        return None
    fits = all(
        values.dtype == np.float32 and values.shape == (count, *graph.tensors[name].shape[1:])
        for name, values in outputs.items()
    )
    return outputs if fits else None


def _write(file: Path, arrays: list[FloatArray]) -> None:
    try:
        publish(file, lambda part: np.savez(part, *arrays))
    except OSError as error:
        _log.warning("%s cannot be written (%s): the float model will run again next time", file, error)
