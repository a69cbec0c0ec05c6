"""A simulated target with the vendor's engine in the simulator's place, joined for a study."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from mpsearch import canonical
from mpsearch.board import profile as profiles
from mpsearch.board.parameters import VeriSilicon
from mpsearch.board.simulated import SimulatedBoard
from mpsearch.board.targets import Target
from mpsearch.errors import ConfigError
from mpsearch.graph.model import ModelGraph
from mpsearch.images import PhotoSet
from mpsearch.toolchain.acuity import environment
from mpsearch.toolchain.acuity.engine import Engine
from mpsearch.toolchain.acuity.toolchain import AcuityBoard, AcuityExecutor, AcuityToolchain
from mpsearch.toolchain.synap.io import MetafileIO
from mpsearch.toolchain.synap.metafile import TARGETS

Say = Callable[[str], None]


def open(
    target: str,
    graph: ModelGraph,
    calibration: PhotoSet,
    evaluation: PhotoSet,
    io: MetafileIO,
    *,
    cache: Path,
    say: Say = lambda text: None,
    progress: Say = lambda text: None,
) -> Target:
    """The engine's own error, and the latency of the target's cost model.

    Args:
        io: what the metafile says besides the candidate; its ``dataset`` is replaced by ``calibration``.
        cache: folder for what can be computed again; the engine's results lie in ``cache/acuity``.
        say: takes what the user should know, ``progress`` what passes.

    Raises:
        ConfigError: a target whose NPU the engine does not compile for.
        SetupError: the engine is not installed.
    """
    profile = profiles.load(target)
    if not isinstance(profile, VeriSilicon) or profile.name.upper() not in TARGETS:
        raise ConfigError(
            f"target {target}: the engine acuity is for {', '.join(name.lower() for name in TARGETS)}",
            hint="Leave --toolchain out, or name one of these with --target.",
        )
    engine = Engine(environment.find().require(), cache / "acuity", progress=progress)
    say(f"acuity: acuitylite {environment.ENGINE} in {engine.environment.folder}; half a minute a candidate")
    toolchain = AcuityToolchain(graph, calibration, evaluation, io, profile.name, engine)
    board = AcuityBoard(SimulatedBoard(profile, graph), engine)
    said = {key: value for key, value in asdict(io).items() if key != "dataset"}
    digest = canonical.digest([profile.model_dump(mode="json"), "acuity", engine.version, said])
    return Target(profile.name, toolchain, AcuityExecutor(graph), board, profile, digest)
