"""A target by name: what builds a candidate for it, what runs the photographs, what times it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from mpsearch import canonical
from mpsearch.board import profile as profiles
from mpsearch.board.host import NAME as HOST
from mpsearch.board.host import HostBoard
from mpsearch.board.measure import Plan
from mpsearch.board.parameters import Htp, Profile
from mpsearch.board.simulated import SimulatedBoard
from mpsearch.candidate import Candidate
from mpsearch.evaluate import Board, Executor, Toolchain
from mpsearch.graph.model import ModelGraph
from mpsearch.quant.simulator import Simulator
from mpsearch.quant.statistics import Photos
from mpsearch.toolchain.host.build import HostExecutor, HostToolchain
from mpsearch.toolchain.host.runtime import Runtime
from mpsearch.toolchain.simulated import SimulatedToolchain
from mpsearch.toolchain.snpe import rules as snpe
from mpsearch.toolchain.synap import rules as synap


@dataclass(frozen=True, slots=True)
class Target:
    """A target, ready.

    Attributes:
        profile: of the cost model; None where latencies are measured.
        digest: of what decides the board's answers; a stored study must not go on with another.
    """

    name: str
    toolchain: Toolchain
    executor: Executor
    board: Board
    profile: Profile | None
    digest: str

    def latency_ms(self, candidate: Candidate) -> float:
        """Build and time one candidate, for a budget that is a multiple of it.

        Raises:
            CandidateError: it cannot be built or run.
        """
        return self.board.time(self.toolchain.build(candidate)).median_ms


def is_host(target: str) -> bool:
    """Whether ``target`` means this computer."""
    return target.lower() == HOST


def open(
    target: str,
    graph: ModelGraph,
    calibration: Photos,
    evaluation: Photos,
    *,
    cache: Path,
    runtime: Runtime | None = None,
    plan: Plan | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Target:
    """``host``, or the name or path of a board profile.

    Args:
        cache: folder for what can be computed again; models built for the host lie in ``cache/host``.
        runtime, plan: how the host runs and measures.

    Raises:
        ConfigError: no such target.
    """
    if not is_host(target):
        found = profiles.load(target)
        simulator = Simulator(graph, calibration, evaluation, cache=cache)
        toolchain = SimulatedToolchain(graph, snpe.illegal if isinstance(found, Htp) else synap.illegal)
        digest = canonical.digest(found.model_dump(mode="json"))
        return Target(found.name, toolchain, simulator, SimulatedBoard(found, graph), found, digest)
    chosen = runtime or Runtime.default()
    builder = HostToolchain(graph, calibration, cache / HOST, runtime=chosen, cache=cache)
    reference = builder.build(Candidate("float16"))
    image = next(iter(evaluation.batches(1)))
    board = HostBoard(runtime=chosen, plan=plan, reference=reference.path, image=image)
    say("host: " + ", ".join(f"{key} {value}" for key, value in chosen.describe().items()))
    digest = canonical.digest([chosen.describe(), asdict(plan or Plan())])
    return Target(HOST, builder, HostExecutor(graph, evaluation, runtime=chosen), board, None, digest)
