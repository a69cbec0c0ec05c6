"""``SnpeExecutor``: the study's photographs run through a DLC on a device."""

from __future__ import annotations

import posixpath
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mpsearch.device.snpe import commands, replies, tensors
from mpsearch.device.snpe.board import TIMEOUT_S, built
from mpsearch.device.snpe.commands import How
from mpsearch.device.work import Device, Work
from mpsearch.evaluate import Artifact, FloatArray
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.onnxio import Tail
from mpsearch.images import PhotoSet
from mpsearch.toolchain.snpe.artifact import SnpeArtifact
from mpsearch.toolchain.snpe.dlcinfo import DlcTensor
from mpsearch.transport.base import Ran


@dataclass
class SnpeExecutor:
    """Implements :class:`mpsearch.evaluate.Executor` on the device: raw inputs in the DLC's own type, raw outputs back.

    Photographs are letterboxed, normalised and quantized here, so that a board's score means the same as the
    simulator's.
    """

    device: Device
    graph: ModelGraph
    evaluation: PhotoSet
    how: How
    timeout_s: float = TIMEOUT_S
    _pushed: dict[str, list[str]] = field(default_factory=dict, init=False, repr=False)

    def batches(self, artifact: Artifact) -> Iterator[Mapping[str, FloatArray]]:
        """See :meth:`mpsearch.evaluate.Executor.batches`.

        All photographs run before the first batch is handed out, so that the board is not held while others score.
        """
        model = built(artifact)
        tail = Tail(self.graph, artifact.candidate)
        for arrays in self._run(model):
            yield tail.complete(arrays)

    def _run(self, model: SnpeArtifact) -> list[dict[str, FloatArray]]:
        done = []
        with self.device.work() as work, tempfile.TemporaryDirectory() as folder:
            inputs = self._inputs(work, model, Path(folder))
            work.push(model.dlc, commands.MODEL)
            for start in range(0, len(inputs), self.how.group):
                group = inputs[start : start + self.how.group]
                local = Path(folder) / "file"
                local.write_text(commands.input_list(group))
                work.push(local, commands.INPUTS)
                self._infer(work, model, len(group))
                listing = work.run(["sh", "-c", commands.COLLECT, "mpsearch-collect", commands.OUTPUT]).stdout
                work.pull("outputs.bin", local)
                done.append(self._decoded(local.read_bytes(), listing, model, len(group)))
                work.run(["rm", "-rf", commands.OUTPUT])
        return done

    def _infer(self, work: Work, model: SnpeArtifact, count: int) -> None:
        argv = commands.net_run(self.how, model.runtime, model.perf_profile)
        ran = work.run(argv, timeout_s=self.timeout_s)
        if folders := _folders(ran):
            work.run(["mkdir", "-p", *folders])
            ran = work.run(argv, timeout_s=self.timeout_s)
        if ran.code != 0:
            raise replies.failure(commands.NET_RUN, ran.code, ran.stdout, ran.stderr, stage="score")
        replies.check_net_run(ran.stdout, ran.stderr, count)

    def _decoded(self, data: bytes, listing: str, model: SnpeArtifact, count: int) -> dict[str, FloatArray]:
        outputs = {tensor.name: tensor for tensor in model.info.outputs}
        files = tensors.collected(data, listing, outputs, count)
        return {
            name: np.concatenate(
                [tensors.decode(one[own], outputs[own], self.graph.tensors[name].shape) for one in files]
            )
            for name, own in model.tensors
        }

    def _inputs(self, work: Work, model: SnpeArtifact, folder: Path) -> list[str]:
        """Paths on the device of all photographs in the DLC's input type, copied there once."""
        tensor: DlcTensor = model.info.inputs[0]
        key = f"{work.kept} {tensor}"
        known = self._pushed.get(key)
        if known is not None and work.run(["ls", *known]).code == 0:
            return known
        name = f"set{len(self._pushed)}"
        paths = []
        for index, image in enumerate(self.evaluation.batches(1)):
            local = folder / "file"
            local.write_bytes(tensors.encode(image, tensor))
            paths.append(f"{work.kept}/{name}-{index}.raw")
            work.push(local, paths[-1])
        self._pushed[key] = paths
        return paths


def _folders(ran: Ran) -> list[str]:
    """Folders that ``snpe-net-run`` does not make by itself for tensors with a slash in their name."""
    files = replies.not_written(f"{ran.stdout}\n{ran.stderr}")
    return list(dict.fromkeys(posixpath.dirname(file) for file in files))
