"""A board's file, opened: toolchain, executor and board, joined for a study."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mpsearch import canonical
from mpsearch.board import profile
from mpsearch.board.targets import Target
from mpsearch.device import spec as specs
from mpsearch.device.board import DeviceBoard, DeviceExecutor
from mpsearch.device.lease import Lease
from mpsearch.device.work import Device
from mpsearch.evaluate import Executor
from mpsearch.graph.model import ModelGraph
from mpsearch.images import PhotoSet
from mpsearch.quant.simulator import Simulator
from mpsearch.toolchain.synap.driver import SynapToolchain
from mpsearch.toolchain.synap.metafile import MetafileIO

Say = Callable[[str], None]


def open(
    path: Path,
    graph: ModelGraph,
    calibration: PhotoSet,
    evaluation: PhotoSet,
    io: MetafileIO,
    *,
    cache: Path,
    say: Say = lambda text: None,
    progress: Say = lambda text: None,
) -> Target:
    """The target that a board's file describes. Asks the toolkit for its version; the board is not touched yet.

    Args:
        io: what the metafile says besides the candidate; its ``dataset`` is replaced by ``calibration``.
        cache: folder for what can be computed again; conversions lie in ``cache/synap``.
        say: takes what the user should know, ``progress`` what passes.

    Raises:
        ConfigError: the file is wrong.
        SetupError: no toolkit.
    """
    spec = specs.load(path)
    toolchain = SynapToolchain(
        graph,
        calibration,
        io,
        spec.target,
        spec.toolkit.work or cache / "synap",
        spec.toolkit.make(),
        spec.toolkit.timeout_s,
        progress=progress,
    )
    device = connect(spec, say=say)
    executor: Executor = (
        DeviceExecutor(device, graph, evaluation, spec.program, spec.python, spec.timeout_s)
        if spec.accuracy == "board"
        else Simulator(graph, calibration, evaluation, cache=cache)
    )
    board = DeviceBoard(device, spec.program, spec.timing.make(), spec.timeout_s)
    say(f"{spec.name}: {device.transport.name}, {spec.target}, SyNAP toolkit {toolchain.version}")
    digest = canonical.digest([spec.digest, toolchain.version])
    return Target(spec.name, toolchain, executor, board, profile.load(spec.target), digest)


def connect(spec: specs.BoardSpec, *, say: Say = lambda text: None) -> Device:
    """The device, not yet connected."""
    transport = spec.transport.make()
    lease = Lease(transport, spec.folder.rstrip("/"), spec.wait_s, say)
    return Device(spec.name, transport, spec.folder, lease)
