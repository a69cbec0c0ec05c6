"""The vendor's engine as toolchain and executor: the metafile that SyNAP's toolkit would get, on a PC."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from PIL import Image

from mpsearch import canonical
from mpsearch.board.simulated import SimulatedBoard
from mpsearch.candidate import Candidate, DataType
from mpsearch.errors import CandidateError, ConfigError, SetupError
from mpsearch.evaluate import Artifact
from mpsearch.files import made, publish, publish_folder
from mpsearch.graph import onnxio
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.onnxio import Tail
from mpsearch.images import PhotoSet
from mpsearch.record import Timing
from mpsearch.toolchain.acuity.engine import Engine, Result
from mpsearch.toolchain.acuity.layers import EngineMap, map_layers
from mpsearch.toolchain.synap import realised
from mpsearch.toolchain.synap.driver import BuiltDifferently
from mpsearch.toolchain.synap.metafile import MetafileIO, Rendered, delegate_of, render

FloatArray = NDArray[np.float32]
CYCLES = "engine_cycles"
"""Condition of a timing: what the vendor's performance model says, beside a latency that comes from elsewhere."""
_BATCH = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class AcuityArtifact(Artifact):
    """Attributes:
    result: of the engine.
    tensors: output layer's id -> the tensor that it delivers.
    notes: what the user may want to know, e.g. units that no entry could move.
    """

    result: Result
    tensors: Mapping[str, str]
    notes: tuple[str, ...] = ()


@dataclass
class AcuityToolchain:
    """Implements :class:`mpsearch.evaluate.Toolchain`.

    Args:
        calibration: what the engine quantizes on.
        evaluation: what it runs.
        target: one of :data:`mpsearch.toolchain.synap.metafile.TARGETS`.
        compiles: also compile for the target; without it a candidate that the compiler refuses goes unnoticed.
    """

    graph: ModelGraph
    calibration: PhotoSet
    evaluation: PhotoSet
    io: MetafileIO
    target: str
    engine: Engine
    compiles: bool = True
    _maps: dict[str, EngineMap] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        cache = self.engine.cache = self.engine.cache.absolute()
        if " " in str(cache):
            raise ConfigError(
                f"{cache}: the engine refuses calibration images in a folder with a space in its name",
                hint="Move the study to a folder without.",
            )

    def build(self, candidate: Candidate) -> AcuityArtifact:
        """Quantize, run the evaluation photographs and compile; from the cache where possible.

        Raises:
            CandidateError: the rules, the engine or its compiler refuse it; :class:`BuiltDifferently`.
            SetupError: the engine cannot be used.
            TransientError: its worker crashed, hung or was not understood.
        """
        rendered, found = self.render(candidate), self.layers(candidate)
        asked = delegate_of(candidate, self.io)
        if asked and asked != "default" and not (isinstance(asked, str) and asked.startswith("npu")):
            raise CandidateError(f"delegate {asked}: the engine compiles for the NPU alone", stage="render")
        result = self.engine.evaluate(
            self._model(),
            rendered.text,
            self._photos(),
            decided_by=[self.calibration.digest, self.evaluation.digest],
            names=found.names if candidate.overrides else {},
            target=self.target.upper() if self.compiles else "",
        )
        if result.compiled is False:
            raise CandidateError(
                f"acuity's compiler: {result.refusal}", stage="build", hint=f"Log: {result.folder / 'engine.log'}"
            )
        types, left = self._types(result, rendered, candidate, found)
        notes = (*rendered.notes, *(f"{u.unit} stays at the base type: {u.reason}" for u in rendered.unresolved))
        return AcuityArtifact(candidate, types, left, result=result, tensors=found.tensors, notes=notes)

    def render(self, candidate: Candidate) -> Rendered:
        """The metafile that :meth:`build` uses, with this engine's layer ids where names do not reach."""
        found = self.layers(candidate) if candidate.overrides else None
        return self._render(candidate, found)

    def layers(self, candidate: Candidate) -> EngineMap:
        """Which layer stands for what; each choice of outputs has its own ids."""
        probe = Candidate("uint8", cuts=candidate.cuts, dropped=candidate.dropped)
        if probe.digest not in self._maps:
            network = self.engine.network(self._model(), self._render(probe, None).text)
            found = map_layers(network, self.graph, probe)
            wanted = [tensor for several in self.graph.delivered(probe).values() for tensor in several]
            if missing := sorted(set(wanted) - set(found.tensors.values())):
                raise SetupError(f"the engine has no output layer for {', '.join(missing)}, only {network.outputs}")
            self._maps[probe.digest] = found
        return self._maps[probe.digest]

    def _render(self, candidate: Candidate, found: EngineMap | None) -> Rendered:
        return render(
            self.graph,
            candidate,
            replace(self.io, dataset=(f"../../{self._dataset().name}/*.png",)),
            target=self.target,
            model_path=str(self._model()),
            layer_ids=found.ids if found else None,
            doubtful=found.layers.doubtful() if found else None,
        )

    def _types(
        self, result: Result, rendered: Rendered, candidate: Candidate, layers: EngineMap
    ) -> tuple[Mapping[str, DataType], Mapping[str, str]]:
        """Unit -> type built, and what differs from the candidate because no entry could say it."""
        asked = rendered.candidate
        if asked.base_type is DataType.FLOAT16:
            return self.graph.assign(asked), {}
        table = result.folder / "quantization_info.yaml"
        text = table.read_text(errors="replace")
        found = realised.compare(text, self.graph, asked, source=str(table), layers=layers.layers)
        wanted = self.graph.assign(asked)
        if found.differs:
            listed = [f"{unit}: {built} instead of {wanted[unit]}" for unit, built in found.differs.items()]
            more = f" and {len(listed) - 5} more" if len(listed) > 5 else ""
            raise BuiltDifferently(
                f"built with other types than asked: {'; '.join(listed[:5])}{more}", stage="build", hint=f"See {table}"
            )
        return found.types, {u.unit: str(found.types[u.unit]) for u in rendered.unresolved if u.unit in wanted}

    def _model(self) -> Path:
        path = self.engine.cache / "models" / f"{self.graph.digest[:32]}.onnx"
        if not path.is_file():
            publish(path, lambda part: onnx.save(onnxio.load_for(self.graph), str(part)))
        return path

    def _dataset(self) -> Path:
        folder = self.engine.cache / f"dataset-{self.calibration.digest[:32]}"
        if not folder.is_dir():
            part = made(folder.with_name(f"{folder.name}.part-{canonical.digest(id(self))[:8]}"))
            for index, pixels in enumerate(self.calibration.pixels):
                Image.fromarray(pixels).save(part / f"{index:04d}.png")
            publish_folder(part, folder)
        return folder

    def _photos(self) -> Path:
        path = self.engine.cache / "photos" / f"{self.evaluation.digest[:32]}.npy"
        if not path.is_file():
            batches = np.concatenate(list(self.evaluation.batches(_BATCH)))
            publish(path, lambda part: np.save(part, batches))
        return path


class AcuityExecutor:
    """Implements :class:`mpsearch.evaluate.Executor`: what the engine computed while it built."""

    def __init__(self, graph: ModelGraph) -> None:
        self._graph = graph

    def batches(self, artifact: Artifact) -> Iterator[Mapping[str, FloatArray]]:
        """See :meth:`mpsearch.evaluate.Executor.batches`."""
        if not isinstance(artifact, AcuityArtifact):
            raise SetupError(f"{type(artifact).__name__}: not built by the engine")
        found = {artifact.tensors[lid]: values for lid, values in artifact.result.arrays().items()}
        tail = Tail(self._graph, artifact.candidate)
        count = len(next(iter(found.values())))
        for start in range(0, count, _BATCH):
            yield tail.complete({tensor: values[start : start + _BATCH] for tensor, values in found.items()})


class AcuityBoard:
    """Implements :class:`mpsearch.evaluate.Board`: the cost model's latency, with the engine's cycles beside it."""

    def __init__(self, board: SimulatedBoard, engine: Engine) -> None:
        self._board, self._engine = board, engine

    def time(self, artifact: Artifact) -> Timing:
        """See :meth:`mpsearch.board.simulated.SimulatedBoard.time`."""
        timing = self._board.time(artifact)
        if not isinstance(artifact, AcuityArtifact) or not artifact.result.operations:
            return timing
        by_unit: dict[str, int] = {}
        for kind, count in artifact.result.cycles.items():
            by_unit[kind.partition(":")[0]] = by_unit.get(kind.partition(":")[0], 0) + count
        said = {CYCLES: str(sum(by_unit.values())), **{f"{CYCLES}_{k}": str(v) for k, v in sorted(by_unit.items())}}
        return replace(timing, conditions={**timing.conditions, **said})

    def close(self) -> None:
        """End the engine's worker."""
        self._engine.close()
        self._board.close()
