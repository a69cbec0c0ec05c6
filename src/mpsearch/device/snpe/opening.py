"""A board's file for SNPE, opened: toolchain, executor and board, joined for a study."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from mpsearch import canonical, process
from mpsearch.board import profile
from mpsearch.board.measure import Plan
from mpsearch.board.targets import Target
from mpsearch.candidate import Candidate
from mpsearch.device.opening import connect
from mpsearch.device.snpe.board import PLAN, SnpeBoard
from mpsearch.device.snpe.executor import SnpeExecutor
from mpsearch.device.spec import BoardSpec
from mpsearch.errors import ConfigError, SetupError
from mpsearch.evaluate import Executor
from mpsearch.graph.model import ModelGraph
from mpsearch.images import PhotoSet
from mpsearch.quant.simulator import Simulator
from mpsearch.toolchain.snpe import commands
from mpsearch.toolchain.snpe.driver import SnpeToolchain
from mpsearch.toolchain.snpe.tools import DIAGVIEW, Tools

Say = Callable[[str], None]
_REFERENCE = Candidate("a8w8")
"""What tells whether a board became slower: fast, and what most studies build anyway."""
_REFERENCE_S = 300.0


def open(
    spec: BoardSpec,
    kind: BoardSpec,
    graph: ModelGraph,
    calibration: PhotoSet,
    evaluation: PhotoSet,
    *,
    cache: Path,
    say: Say = lambda text: None,
    progress: Say = lambda text: None,
) -> Target:
    """The target that a board's file describes. Asks the tools for their version; the board is not touched yet.

    Args:
        kind: whose digest is taken: the board itself, or the first of its shelf.

    Raises:
        ConfigError: the file is wrong.
        SetupError: no tools.
    """
    device = connect(spec, say=say)
    if any(letter.isspace() for letter in device.base):
        raise ConfigError(
            f"{spec.path}: base {device.base!r}: SNPE's input lists separate files by spaces", hint="Choose another."
        )
    toolchain = toolchain_of(spec, graph, calibration, cache=cache, progress=progress)
    how = spec.snpe.make()
    executor: Executor = (
        SnpeExecutor(device, graph, evaluation, how, spec.timeout_s)
        if spec.accuracy == "board"
        else Simulator(graph, calibration, evaluation, cache=cache)
    )
    board = SnpeBoard(
        device,
        how,
        lambda: next(iter(evaluation.batches(1))),
        plan_of(spec),
        spec.timeout_s,
        lambda log: read_log(toolchain.tools, log),
        (lambda: toolchain.build(_REFERENCE)) if spec.timing.reference_s else None,
        _every_s(spec),
    )
    say(f"{spec.name}: {device.transport.name}, {spec.target}, SNPE {toolchain.version} on this computer")
    digest = canonical.digest([kind.digest, toolchain.version])
    return Target(spec.name, toolchain, executor, board, profile.load(spec.target), digest)


def toolchain_of(
    spec: BoardSpec, graph: ModelGraph, calibration: PhotoSet, *, cache: Path, progress: Say = lambda text: None
) -> SnpeToolchain:
    """The toolchain that a board's file describes."""
    toolkit = spec.toolkit
    return SnpeToolchain(
        graph,
        calibration,
        toolkit.work or cache / "snpe",
        toolkit.make_snpe(),
        toolkit.preparation,
        toolkit.encodings,
        toolkit.timeout_s,
        progress=progress,
    )


def _every_s(spec: BoardSpec) -> float:
    """A look takes half a minute with samples of two seconds, so fewer are taken than elsewhere."""
    given = spec.timing.reference_s if "reference_s" in spec.timing.model_fields_set else None
    return given or _REFERENCE_S


def plan_of(spec: BoardSpec) -> Plan:
    """What the file says, and otherwise fewer runs than elsewhere: each lasts ``duration_s`` and is a mean already."""
    given = spec.timing.model_dump(include=spec.timing.model_fields_set - {"input", "reference_s"})
    usual = {"warm_up": PLAN.warm_up, "width": PLAN.width, "least": PLAN.least, "most": PLAN.most}
    return Plan(**{**usual, "limit_s": PLAN.limit_s, **given})


def read_log(tools: Tools, log: Path) -> str:
    """A profiling log as CSV, by the host's ``snpe-diagview``.

    Raises:
        SetupError: it is not there, or cannot read the log.
    """
    with tempfile.TemporaryDirectory(dir=log.parent) as name:
        folder = Path(name)
        target = folder / "layers.csv"
        words = tools.command(
            tuple(commands.diagview(str(log), str(target))), cwd=folder, mount=log.parent, user=process.user()
        )
        ran = process.run(words, env=tools.environment(os.environ), timeout_s=300)
        if ran.code != 0 or not target.is_file():
            said = f"{ran.stderr}\n{ran.stdout}".strip().splitlines()[-1:] or ["it said nothing"]
            raise SetupError(f"{DIAGVIEW} ended with code {ran.code}: {said[0][:300]}")
        return target.read_text(encoding="utf-8", errors="replace")
