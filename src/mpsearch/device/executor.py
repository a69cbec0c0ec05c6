"""``DeviceExecutor``: the study's photographs run on a device."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mpsearch.device.board import TIMEOUT_S, built
from mpsearch.device.runtime import synap, tensors
from mpsearch.device.work import Device, Work
from mpsearch.evaluate import Artifact, FloatArray
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.onnxio import Tail
from mpsearch.images import PhotoSet
from mpsearch.toolchain.synap.driver import SynapArtifact

GROUP = 8
"""Photographs a command: enough to hide the connection's delays, few enough to need little space on the board."""

_DUMP = r"""
outputs=$1 files=$2; shift 2
: > outputs.bin
printf '%s\n' "$files" | while IFS= read -r file; do
  rm -f output_float_*.dat
  "$@" -m model.synap --dump-out "$file" > cli.log 2>&1 < /dev/null || { code=$?; cat cli.log; exit $code; }
  n=0
  while [ $n -lt $outputs ]; do cat output_float_$n.dat >> outputs.bin || exit 1; n=$((n + 1)); done
done || exit $?
cat cli.log
"""


@dataclass
class DeviceExecutor:
    """Implements :class:`mpsearch.evaluate.Executor` on the device: real inputs in, dumped floats out.

    Args:
        python: interpreter on the device; where it has SyNAP's bindings, the model is loaded once for many photographs,
            else ``synap_cli`` loads it for each.

    Photographs are letterboxed and normalised here, so that a board's score means the same as the simulator's.
    """

    device: Device
    graph: ModelGraph
    evaluation: PhotoSet
    program: tuple[str, ...] = ("synap_cli",)
    python: str | None = None
    timeout_s: float = TIMEOUT_S
    _bindings: bool | None = field(default=None, init=False)
    _pushed: dict[str, list[str]] = field(default_factory=dict, init=False, repr=False)

    def batches(self, artifact: Artifact) -> Iterator[Mapping[str, FloatArray]]:
        """See :meth:`mpsearch.evaluate.Executor.batches`.

        All photographs run before the first batch is handed out, so that the board is not held while others score.
        """
        model = built(artifact)
        tail = Tail(self.graph, artifact.candidate)
        delivered = [t for several in self.graph.delivered(artifact.candidate).values() for t in several]
        for arrays in self._run(model):
            yield tail.complete(dict(zip(delivered, arrays, strict=True)))

    def _run(self, model: SynapArtifact) -> list[list[FloatArray]]:
        done = []
        with self.device.work() as work, tempfile.TemporaryDirectory() as folder:
            inputs = self._inputs(work, model, Path(folder))
            work.push(model.model, "model.synap")
            bindings = self._has_bindings(work)
            for start in range(0, len(inputs), GROUP):
                group = inputs[start : start + GROUP]
                argv = self._argv(len(model.info.outputs), group, bindings)
                ran = work.run(argv, timeout_s=self.timeout_s)
                if ran.code != 0:
                    raise synap.failure(ran.code, ran.stdout, ran.stderr, stage="score")
                local = Path(folder) / "outputs.bin"
                work.pull("outputs.bin", local)
                done.append(tensors.decode(local.read_bytes(), model.info, synap.outputs(ran.stdout), len(group)))
        return done

    def _has_bindings(self, work: Work) -> bool:
        """Whether the board's Python can do it; the script for it is copied there."""
        if self._bindings is None:
            self._bindings = self.python is not None and work.run([self.python, "-c", "import numpy, synap"]).code == 0
        if self._bindings:
            work.push(Path(__file__).parent / "runtime" / "onboard.py", "onboard.py")
        return self._bindings

    def _argv(self, outputs: int, group: list[str], bindings: bool) -> list[str]:
        if bindings and self.python is not None:
            return [self.python, "onboard.py", "model.synap", "outputs.bin", *group]
        return ["sh", "-c", _DUMP, "mpsearch-dump", str(outputs), "\n".join(group), *self.program]

    def _inputs(self, work: Work, model: SynapArtifact, folder: Path) -> list[str]:
        """Paths on the device of all photographs in the model's input type, copied there once."""
        key = "-".join(str(part) for part in (work.kept, *model.info.inputs))
        known = self._pushed.get(key)
        if known is not None and work.run(["ls", *known]).code == 0:
            return known
        name = f"set{len(self._pushed)}"
        paths = []
        for index, image in enumerate(self.evaluation.batches(1)):
            local = folder / "input.bin"
            local.write_bytes(tensors.encode(image, model.info))
            paths.append(f"{work.kept}/{name}-{index}.bin")
            work.push(local, paths[-1])
        self._pushed[key] = paths
        return paths
