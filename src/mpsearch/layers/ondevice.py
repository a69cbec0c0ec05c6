"""Layers from a board: all of them from one with SNPE, the network's outputs from one with SyNAP.

SNPE: ``snpe-net-run --debug`` with float user buffers writes every layer's de-quantized output, also of a quantized
DLC; one photograph a run, because the outputs of many would fill the device. SyNAP's tools dump outputs only.
"""

from __future__ import annotations

import posixpath
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mpsearch.board.targets import Target
from mpsearch.candidate import Candidate
from mpsearch.device.snpe import commands, replies
from mpsearch.device.snpe.board import SnpeBoard, built
from mpsearch.device.work import Work
from mpsearch.errors import SetupError
from mpsearch.layers.dumps import Dumps
from mpsearch.layers.sources import FloatArray, Found, Layout
from mpsearch.toolchain.snpe.artifact import SnpeArtifact

_INPUT, _ARCHIVE = "input.raw", "layers.tar"


@dataclass(frozen=True, slots=True)
class Delivered:
    """Implements :class:`mpsearch.layers.sources.Source` with what a board delivered.

    Attributes:
        outputs: for each photograph: model output -> ``[1, ...]``.
    """

    name: str
    outputs: tuple[Mapping[str, FloatArray], ...]
    layout: Layout = "nchw"

    def run(self, index: int, image: FloatArray) -> Mapping[str, Found]:
        """See :meth:`mpsearch.layers.sources.Source.run`."""
        return {name: Found(values) for name, values in self.outputs[index].items()}


def delivered(opened: Target, candidate: Candidate, count: int) -> Delivered:
    """The network's outputs for the first ``count`` evaluation photographs.

    Raises:
        CandidateError, SetupError, TransientError: from the toolchain and the board.
    """
    found: list[Mapping[str, FloatArray]] = []
    try:
        for batch in opened.executor.batches(opened.toolchain.build(candidate)):
            size = len(next(iter(batch.values())))
            found += [{name: values[i : i + 1] for name, values in batch.items()} for i in range(size)]
    finally:
        opened.board.close()
    return Delivered(opened.name, tuple(found[:count]))


def dump(opened: Target, candidate: Candidate, images: Iterable[FloatArray], folder: Path) -> Dumps:
    """Every layer of ``candidate`` on an SNPE board, in ``folder/Result_<i>/``, with the shapes that the DLC says.

    Args:
        images: ``[C, H, W]`` each, normalised.

    Raises:
        CandidateError, SetupError, TransientError: from the toolchain and the board.
    """
    board = opened.board
    if not isinstance(board, SnpeBoard):
        raise SetupError(f"{opened.name}: only SNPE's tools write every layer", hint="Compare its outputs instead.")
    model = built(opened.toolchain.build(candidate))
    try:
        with board.device.work() as work:
            work.push(model.dlc, commands.MODEL)
            for index, image in enumerate(images):
                target = folder / f"Result_{index}"
                target.mkdir(parents=True, exist_ok=True)
                _one(board, work, model, image, target)
    finally:
        board.close()
    return Dumps(folder, shapes={name: tensor.shape for name, tensor in model.info.tensors.items()})


def _one(board: SnpeBoard, work: Work, model: SnpeArtifact, image: FloatArray, target: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        local = Path(scratch) / "file"
        last = len(model.info.inputs[0].shape) == 4 and model.info.inputs[0].shape[-1] == image.shape[0]
        values = image.transpose(1, 2, 0) if last else image
        local.write_bytes(np.ascontiguousarray(values, "<f4").tobytes())
        work.push(local, _INPUT)
        local.write_text(commands.input_list([_INPUT]))
        work.push(local, commands.INPUTS)
        argv = commands.every_layer(board.how, model.runtime, model.perf_profile)
        ran = work.run(argv, timeout_s=board.timeout_s)
        if unmade := replies.not_written(f"{ran.stdout}\n{ran.stderr}"):
            work.run(["mkdir", "-p", *dict.fromkeys(posixpath.dirname(file) for file in unmade)])
            ran = work.run(argv, timeout_s=board.timeout_s)
        if ran.code != 0:
            raise replies.failure(commands.NET_RUN, ran.code, ran.stdout, ran.stderr, stage="score")
        packed = work.run(["tar", "-C", f"{commands.OUTPUT}/Result_0", "-cf", _ARCHIVE, "."])
        if packed.code != 0:
            raise SetupError(f"{board.device.name}: {packed.stderr.strip()[:200]}", hint="Is tar on the device?")
        work.pull(_ARCHIVE, local)
        with tarfile.open(local) as archive:
            archive.extractall(target, filter="data")
        work.run(["rm", "-rf", commands.OUTPUT, _ARCHIVE])
