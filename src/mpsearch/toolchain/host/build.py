"""The host as a toolchain and an executor: a real quantized ONNX, and its outputs from the very model that is timed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from mpsearch import canonical
from mpsearch.candidate import Candidate, DataType
from mpsearch.errors import CandidateError, SetupError
from mpsearch.evaluate import Artifact
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.onnxio import Tail
from mpsearch.quant.statistics import Photos
from mpsearch.toolchain.host import kernels, layout, rules
from mpsearch.toolchain.host.qdq import Writer
from mpsearch.toolchain.host.runtime import Runtime

FloatArray = NDArray[np.float32]
_VERSION = 1
_BATCH = 8


@dataclass(frozen=True, slots=True)
class OnnxArtifact(Artifact):
    """A model file that onnxruntime runs.

    Attributes:
        path: the QDQ model (or the float one, for base float16).
        kernels: 8-bit unit -> operations that really run for it.
    """

    path: Path = Path()
    kernels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        return self.path.stat().st_size


class HostToolchain:
    """Implements :class:`mpsearch.evaluate.Toolchain` with onnxruntime's QDQ form.

    ``float16`` means float32 here: CPUs compute in float32, and a candidate with base float16 is the float model.

    Args:
        folder: takes the models; they can be deleted.
        cache: folder for calibration statistics.
    """

    def __init__(
        self,
        graph: ModelGraph,
        calibration: Photos,
        folder: Path,
        *,
        runtime: Runtime | None = None,
        cache: Path | None = None,
    ) -> None:
        self._graph, self._calibration, self._folder = graph, calibration, folder
        self._runtime = runtime or Runtime()
        self._ranges = layout.Ranges(graph, calibration, cache=cache, threads=self._runtime.threads)
        self._writer: Writer | None = None

    def build(self, candidate: Candidate) -> OnnxArtifact:
        """Write the model and look at what onnxruntime makes of it.

        Raises:
            CandidateError: int16, or anything else that the host cannot do; or onnxruntime refuses the model.
            DataError: calibration photographs that cannot be used.
            SetupError: the folder cannot be written.
        """
        if reasons := rules.illegal(self._graph, candidate):
            raise CandidateError("; ".join(reasons), stage="render", hint="The search learns this and goes on.")
        types = layout.types_of(self._graph, candidate)
        path = self._folder / f"{self._key(candidate)}.onnx"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self._folder) as scratch:
                fresh, optimised = Path(scratch) / "model.onnx", Path(scratch) / "optimised.onnx"
                onnx.save(self._model(candidate, types), str(fresh))
                self._runtime.session(fresh, optimised=optimised)
                found = kernels.by_unit(self._graph, types, onnx.load(str(optimised)))
                fresh.replace(path)
        except OSError as error:
            raise SetupError(f"{self._folder}: models cannot be written here ({error})") from error
        return OnnxArtifact(candidate, types, kernels.differences(found), path, found)

    def _model(self, candidate: Candidate, types: Mapping[str, DataType]) -> onnx.ModelProto:
        self._writer = self._writer or Writer(self._graph)
        if all(kind is DataType.FLOAT16 for kind in types.values()):
            delivered = self._graph.delivered(candidate)
            return self._writer.float_model(tuple(dict.fromkeys(t for ts in delivered.values() for t in ts)))
        own = self._ranges.of(candidate)
        return self._writer.write(layout.lay_out(self._graph, own, candidate, types), own)

    def _key(self, candidate: Candidate) -> str:
        parts = [_VERSION, self._graph.digest, self._calibration.digest, candidate.to_json(), ort.__version__]
        return canonical.digest(parts)[:32]


class HostExecutor:
    """Implements :class:`mpsearch.evaluate.Executor`: the file that is timed, on the evaluation photographs."""

    def __init__(self, graph: ModelGraph, evaluation: Photos, *, runtime: Runtime | None = None) -> None:
        self._graph, self._evaluation = graph, evaluation
        self._runtime = runtime or Runtime()

    def batches(self, artifact: Artifact) -> Iterator[Mapping[str, FloatArray]]:
        """See :meth:`mpsearch.evaluate.Executor.batches`.

        Raises:
            SetupError: an artifact of another toolchain.
        """
        session = self._runtime.session(model_of(artifact).path)
        names = [output.name for output in session.get_outputs()]
        tail = Tail(self._graph, artifact.candidate)
        for batch in self._evaluation.batches(_BATCH):
            runs = [session.run(names, {self._graph.inputs[0]: image[None]}) for image in batch]
            device = {name: np.concatenate([run[index] for run in runs]) for index, name in enumerate(names)}
            yield tail.complete(device)


def model_of(artifact: Artifact) -> OnnxArtifact:
    """``artifact`` as one that onnxruntime can run.

    Raises:
        SetupError: it was not built for the host.
    """
    if not isinstance(artifact, OnnxArtifact):
        raise SetupError(
            f"{type(artifact).__name__} holds no ONNX file", hint="The host runs what its own toolchain built."
        )
    return artifact
