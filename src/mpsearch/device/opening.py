"""A board's file, opened: toolchain, executor and board, joined for a study."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from mpsearch import canonical
from mpsearch.board import profile
from mpsearch.board.targets import Target
from mpsearch.candidate import Candidate
from mpsearch.device import profiling, unittimes
from mpsearch.device import shelf as shelves
from mpsearch.device import spec as specs
from mpsearch.device.board import DeviceBoard
from mpsearch.device.executor import DeviceExecutor
from mpsearch.device.lease import Lease
from mpsearch.device.timing import Reference
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
    io: MetafileIO | None,
    *,
    cache: Path,
    shelf: Sequence[str] = (),
    say: Say = lambda text: None,
    progress: Say = lambda text: None,
) -> Target:
    """The target that a board's file describes. Asks the toolkit for its version; the board is not touched yet.

    Args:
        io: what a SyNAP metafile says besides the candidate; its ``dataset`` is replaced by ``calibration``.
        cache: folder for what can be computed again; conversions lie in ``cache/synap`` or ``cache/snpe``.
        shelf: files of all boards of the study, where it has several; the digest is then that of the first.
        say: takes what the user should know, ``progress`` what passes.

    Raises:
        ConfigError: the file is wrong.
        SetupError: no toolkit.
    """
    spec = specs.load(path)
    boards = shelves.boards(shelf, str(path))
    kind = boards[0] if boards else spec
    if boards:
        names = ", ".join(board.name for board in boards)
        say(f"shelf: {names}; this worker measures on {spec.name}, and the budget is held on the slowest")
    if spec.runtime == "snpe":
        from mpsearch.device.snpe import opening as snpe

        return snpe.open(spec, kind, graph, calibration, evaluation, cache=cache, say=say, progress=progress)
    io = io or MetafileIO()
    toolchain = _toolchain(spec, graph, calibration, io, cache, progress)
    device = connect(spec, say=say)
    executor: Executor = (
        DeviceExecutor(device, graph, evaluation, spec.program, spec.python, spec.timeout_s)
        if spec.accuracy == "board"
        else Simulator(graph, calibration, evaluation, cache=cache)
    )
    timing = spec.timing
    board = DeviceBoard(
        device,
        spec.program,
        timing.make(),
        spec.timeout_s,
        timing.input,
        lambda: next(iter(evaluation.batches(1))),
        Reference(lambda: toolchain.build(_REFERENCE).model, every_s=timing.reference_s)
        if timing.reference_s
        else None,
    )
    say(f"{spec.name}: {device.transport.name}, {spec.target}, SyNAP toolkit {toolchain.version}")
    said = {key: value for key, value in asdict(io).items() if key != "dataset"}
    digest = canonical.digest([kind.digest, toolchain.version, said])
    return Target(spec.name, toolchain, executor, board, profile.load(spec.target), digest)


_REFERENCE = Candidate("uint8")
"""What tells whether a board became slower: fast, and the first thing that every study builds anyway."""


def profile_units(
    path: Path,
    graph: ModelGraph,
    calibration: PhotoSet,
    io: MetafileIO,
    candidate: Candidate,
    *,
    cache: Path,
    runs: int = 5,
    say: Say = lambda text: None,
    progress: Say = lambda text: None,
) -> tuple[profiling.Layer, ...]:
    """Build a candidate for profiling, time it layer by layer on the board, and keep what each unit took beside the
    study, where the guided search takes it as what to expect (:func:`mpsearch.device.unittimes.prior`).

    Args:
        cache: of the study.

    Raises:
        ConfigError, CandidateError, SetupError, TransientError: from the board's file, the toolchain and the board.
    """
    spec = specs.load(path)
    toolchain = _toolchain(spec, graph, calibration, io, cache, progress)
    toolchain.profiling = True
    board = DeviceBoard(connect(spec, say=say), spec.program, timeout_s=spec.timeout_s)
    try:
        layers = profiling.join(board.profile(toolchain.build(candidate), runs=runs), graph, candidate)
    finally:
        board.close()
    times = unittimes.unit_times_ms(layers, graph, candidate, spec.name)
    if times.unit_ms:
        unittimes.save(times, unittimes.file(cache, graph, spec.name))
    else:
        say(
            f"note: {spec.name}: {len(layers)} compiled layers cannot be told apart by unit "
            "(merged or tiled layers), so the search learns nothing from them"
        )
    return layers


def connect(spec: specs.BoardSpec, *, say: Say = lambda text: None) -> Device:
    """The device, not yet connected."""
    transport = spec.transport.make()
    lease = Lease(transport, spec.folder.rstrip("/"), spec.wait_s, say)
    return Device(spec.name, transport, spec.folder, lease)


def _toolchain(
    spec: specs.BoardSpec, graph: ModelGraph, calibration: PhotoSet, io: MetafileIO, cache: Path, progress: Say
) -> SynapToolchain:
    return SynapToolchain(
        graph,
        calibration,
        io,
        spec.target,
        spec.toolkit.work or cache / "synap",
        spec.toolkit.make(),
        spec.toolkit.timeout_s,
        progress=progress,
    )
