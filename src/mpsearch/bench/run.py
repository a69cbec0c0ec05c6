"""One model through all stages: built, timed, scored against its float self, weighed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mpsearch import canonical
from mpsearch.bench.table import Row, measured, scored
from mpsearch.board import targets
from mpsearch.board.host import NAME as HOST
from mpsearch.board.host import time_model
from mpsearch.board.measure import Plan
from mpsearch.board.parameters import Htp
from mpsearch.board.targets import Target
from mpsearch.candidate import Candidate
from mpsearch.device import opening
from mpsearch.device import spec as device
from mpsearch.device.baselines import time_baselines
from mpsearch.errors import CandidateError, ConfigError
from mpsearch.evaluate import Artifact, Evaluator, FloatArray, Toolchain
from mpsearch.fed import Fed
from mpsearch.graph import onnxio
from mpsearch.graph.read import QUANTIZED
from mpsearch.record import Measured
from mpsearch.scoring import decoders
from mpsearch.scoring.scorer import TaskScorer
from mpsearch.toolchain.host.runtime import Runtime

Say = Callable[[str], None]
FLOAT, AS_IT_IS = "float32", "as it is"


@dataclass
class Bench:
    """A model on a target.

    Args:
        target: ``host``, a simulated board, or a board's file.
        plan: how the host is timed; a board's file says it for the board.
    """

    fed: Fed
    target: str
    plan: Plan
    say: Say = lambda text: None

    def __post_init__(self) -> None:
        fed = self.fed
        options: dict[str, Any] = dict(fed.decoder or {"name": "tensors"})
        decoder = decoders.create(options.pop("name"), fed.graph, options)
        study = fed.study
        self.scorer = TaskScorer(
            fed.graph, decoder, fed.evaluation, cache=fed.cache,
            objective=study.objective if study else None, face_sizes=study.face_sizes if study else None,
        )  # fmt: skip
        self.scorer.prepare()
        self.opened = self._open()

    @property
    def usual_base(self) -> str:
        """What one would build first: everything in 8 bits."""
        return "a8w8" if isinstance(self.opened.profile, Htp) else "uint8"

    def close(self) -> None:
        """Let go of the board."""
        self.opened.board.close()

    def float_row(self) -> Row:
        """The float model itself, by onnxruntime on this computer.

        Raises:
            CandidateError, ConfigError: onnxruntime does not run it, or its file has no fixed sizes.
        """
        row = as_it_is(self.fed.graph.path, self.plan, FLOAT)
        return replace(row, error=0.0, error_is=self.scorer.task.column)

    def candidate_row(self, candidate: Candidate, variant: str) -> tuple[Row, Artifact | None]:
        """``candidate`` built for the target; a row that says why where that, or a later stage, failed."""
        kept = _Keeping(self.opened.toolchain)
        evaluator = Evaluator(kept, self.opened.executor, self.opened.board, self.scorer)
        outcome = evaluator.evaluate(candidate).outcome
        graph = self.fed.graph
        row = Row(graph.path.stem, variant, self.opened.name, canonical.digest([graph.digest, candidate.to_json()]))
        if not isinstance(outcome, Measured):
            return replace(row, note=outcome.why.splitlines()[0]), None
        differs = f"{len(outcome.realised)} unit(s) not as asked" if outcome.realised else ""
        row = replace(
            row, note=differs, size_bytes=size_bytes(kept.artifact),
            **measured(outcome.timing), **scored(outcome.score, len(self.fed.evaluation)),
        )  # fmt: skip
        return row, kept.artifact

    def prequantized_row(self, path: Path) -> Row:
        """A quantized ONNX file, timed on this computer and scored against the float model with its photographs."""
        row = as_it_is(path, self.plan)
        try:
            score = self.scorer.score(_outputs_of(path, self.fed))
        except (CandidateError, ConfigError) as error:
            return replace(row, note=error.message.splitlines()[0])
        return replace(row, **scored(score, len(self.fed.evaluation)))

    def _open(self) -> Target:
        fed = self.fed
        if device.is_spec(self.target):
            path = Path(self.target)
            io = fed.io if device.load(path).runtime == "synap" else None
            return opening.open(path, fed.graph, fed.calibration, fed.evaluation, io, cache=fed.cache, say=self.say)
        return targets.open(
            self.target, fed.graph, fed.calibration, fed.evaluation, cache=fed.cache,
            runtime=Runtime.default(), plan=self.plan, say=self.say,
        )  # fmt: skip


class _Keeping:
    """A toolchain that remembers what it built."""

    def __init__(self, toolchain: Toolchain) -> None:
        self._toolchain = toolchain
        self.artifact: Artifact | None = None

    def build(self, candidate: Candidate) -> Artifact:
        self.artifact = self._toolchain.build(candidate)
        return self.artifact


def size_bytes(artifact: Artifact | None) -> int | None:
    """Of the compiled model; None where there is no file (simulated boards)."""
    for name in ("model", "path", "dlc"):
        path = getattr(artifact, name, None)
        if isinstance(path, Path) and path.is_file():
            return path.stat().st_size
    return None


def is_quantized(path: Path) -> bool:
    """Whether an ONNX file holds quantized operators.

    Raises:
        ModelError: unreadable.
    """
    model = onnxio.load(path)
    return any(node.op_type in QUANTIZED for node in model.graph.node)


def as_it_is(path: Path, plan: Plan, variant: str = AS_IT_IS) -> Row:
    """An ONNX file of any kind, timed on this computer.

    Raises:
        CandidateError, ConfigError: onnxruntime does not load or run it, or it has no fixed sizes.
    """
    row = Row(path.stem, variant, HOST, canonical.file_digest(path))
    return replace(row, size_bytes=path.stat().st_size, **measured(time_model(path, plan=plan)))


def baseline_row(path: Path, board: Path, *, cache: Path, say: Say) -> Row:
    """A model that is quantized already (.tflite, .onnx), converted as it is for a SyNAP board and timed there.

    Raises:
        ConfigError: the board's file is wrong, or for a board that converts no such models.
        SetupError: no toolkit, or no board.
    """
    spec = device.load(board)
    if spec.runtime != "synap":
        raise ConfigError(f"{board}: only a SyNAP board converts models that are quantized already")
    (found,) = time_baselines(board, [path], cache=cache, say=say)
    row = Row(path.stem, AS_IT_IS, spec.name, canonical.file_digest(path), note=found.note)
    size = found.size_bytes or None
    return replace(row, size_bytes=size, **measured(found.timing)) if found.timing else replace(row, size_bytes=size)


def _outputs_of(path: Path, fed: Fed) -> Iterator[Mapping[str, FloatArray]]:
    """The file's outputs on the photographs under the float model's names: by name, else by order where shapes agree.

    Raises:
        ConfigError: other inputs or outputs than the float model's.
    """
    session = onnxio.session(path)
    made = {output.name: list(output.shape) for output in session.get_outputs()}
    wanted = {name: list(fed.graph.tensors[name].shape) for name in fed.graph.outputs}
    if made.keys() != wanted.keys():
        if list(made.values()) != list(wanted.values()):
            raise ConfigError(f"its outputs {made} are not the float model's {wanted}: not scored")
        names = dict(zip(wanted, made, strict=True))
    else:
        names = {name: name for name in wanted}
    source = session.get_inputs()[0]
    shape = fed.graph.tensors[fed.graph.inputs[0]].shape
    if list(source.shape) != list(shape) or source.type != "tensor(float)":
        raise ConfigError(f"its input is {source.type} {source.shape}, the float model's is {list(shape)}: not scored")
    for image in fed.evaluation.batches(1):
        found = session.run(list(names.values()), {source.name: image})
        yield {name: np.asarray(values) for name, values in zip(names, found, strict=True)}
