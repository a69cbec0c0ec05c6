"""A model together with the photographs it is fed: from a study file, or an ONNX file and a few options."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mpsearch.config import Study
from mpsearch.errors import ConfigError
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.read import read
from mpsearch.images import PhotoSet, Preprocess, find
from mpsearch.photographs import preprocess_of
from mpsearch.study.folder import cache_folder
from mpsearch.toolchain.synap.metafile import MetafileIO
from mpsearch.vendor import metafile_io


@dataclass(frozen=True, slots=True)
class Feed:
    """How an ONNX file is fed.

    Attributes:
        calibration: None calibrates on ``photos`` itself.
    """

    photos: str
    calibration: str | None = None
    means: tuple[float, ...] = (0.0,)
    scale: tuple[float, ...] = (255.0,)
    order: Literal["rgb", "bgr"] = "rgb"


@dataclass(frozen=True, slots=True)
class Fed:
    """Attributes:
    decoder: name and options, as in a study; None where the outputs are all there is.
    cache: for what can be computed again.
    study: None for an ONNX file.
    """

    graph: ModelGraph
    calibration: PhotoSet
    evaluation: PhotoSet
    decoder: Mapping[str, Any] | None
    cache: Path
    study: Study | None = None

    @property
    def same_photographs(self) -> bool:
        """Calibrated on what it is judged by: errors look smaller than they are."""
        return self.calibration.paths == self.evaluation.paths

    @property
    def io(self) -> MetafileIO:
        """What a SyNAP metafile says of the input.

        Raises:
            ConfigError: a scale for each channel, which a metafile cannot say.
        """
        if self.study is not None:
            return metafile_io(self.study)
        fed = self.evaluation.preprocess
        if len(set(fed.scale)) > 1:
            raise ConfigError(
                f"{self.graph.path.name}: a SyNAP metafile has one scale for all channels, got {list(fed.scale)}",
                hint="Fold the channels' scales into the first convolution.",
            )
        return MetafileIO(means=fed.means, scale=fed.scale[0], input_format="bgr" if fed.order == "bgr" else "")

    def images(self) -> Iterator[NDArray[np.float32]]:
        """The evaluation photographs, ``[C, H, W]`` each."""
        for batch in self.evaluation.batches(1):
            yield batch[0]


def from_study(study: Study, *, limit: int) -> Fed:
    """The study's model, calibrated as the study says, on the first ``limit`` evaluation photographs.

    Raises:
        ConfigError, DataError, ModelError: with the file, the thing and the next step.
    """
    graph = read(study.model, input_shape=study.input.shape)
    preprocess = preprocess_of(study, graph)
    calibration = PhotoSet(find(study.data_spec("calibration")), preprocess, limit=study.data.calibration_limit)
    evaluation = PhotoSet(
        find(study.data_spec("evaluation")), preprocess, limit=min(limit, study.data.evaluation_limit or limit)
    )
    return Fed(graph, calibration, evaluation, study.decoder, cache_folder(study), study)


def from_model(
    path: Path,
    feed: Feed | None,
    *,
    limit: int | None,
    cache: Path,
    shape: tuple[int, ...] | None = None,
    decoder: Mapping[str, Any] | None = None,
) -> Fed:
    """An ONNX file.

    Raises:
        ConfigError: no photographs, or an input that they do not fit.
        DataError, ModelError: from reading either.
    """
    if feed is None:
        raise ConfigError(f"{path}: an ONNX file needs photographs", hint="Add --photos DIR, or name a study instead.")
    graph = read(path, input_shape=shape)
    size = graph.tensors[graph.inputs[0]].shape
    if len(size) != 4 or size[1] != 3:
        raise ConfigError(f"{path}: its input is {list(size)}; photographs need [1, 3, height, width]")
    preprocess = Preprocess(size[2], size[3], feed.means, feed.scale, feed.order)
    evaluation = PhotoSet(find(feed.photos), preprocess, limit=limit)
    calibration = PhotoSet(find(feed.calibration), preprocess) if feed.calibration else evaluation
    return Fed(graph, calibration, evaluation, decoder, cache)
