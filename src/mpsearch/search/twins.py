"""Which candidates have the same outcome: told before anything is run.

Different settings can make the very same thing: a cut in front of a Reshape instead of behind it, an override that the
vendor's tool cannot say, a base of which nothing is left. Measuring such a twin says nothing new.

* A simulated board: the numbers that leave the network (:func:`delivered`) and the cost model's latency are equal.
* SyNAP's toolkit: the metafiles are equal, byte for byte.
* SNPE's tools: what they are given is equal, and the device's runtime.
* The host: its layout is equal.

Who computes the outputs does not matter: with ``accuracy: simulator`` a twin on a real board is still the same model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from mpsearch import canonical
from mpsearch.board.simulated import SimulatedBoard
from mpsearch.candidate import Candidate, DataType
from mpsearch.errors import MpsearchError
from mpsearch.graph.model import ModelGraph, Role
from mpsearch.quant.plan import Plan
from mpsearch.quant.qparams import QParams
from mpsearch.quant.simulator import Simulator
from mpsearch.toolchain.host import layout
from mpsearch.toolchain.host.build import HostToolchain
from mpsearch.toolchain.snpe.driver import SnpeToolchain
from mpsearch.toolchain.synap.driver import SynapToolchain
from mpsearch.workbench import Workbench

Twin = Callable[[Candidate], str | None]
_MOVES = ("move", "concat")
"""Kinds of transparent units that only carry values along: the same in integers and, behind a cut, in float."""


class Twins:
    """Candidate -> what identifies its outcome; None for one that cannot be built.

    Args:
        identify: the slow part; asked once for each candidate.
    """

    def __init__(self, identify: Callable[[Candidate], str]) -> None:
        self._identify = identify
        self._known: dict[str, str | None] = {}

    def __call__(self, candidate: Candidate) -> str | None:
        if candidate.digest not in self._known:
            try:
                found: str | None = self._identify(candidate)
            except MpsearchError:  # its evaluation will say why
                found = None
            self._known[candidate.digest] = found
        return self._known[candidate.digest]


def of(bench: Workbench) -> Twin:
    """For a study's target."""
    toolchain, executor, graph = bench.target.toolchain, bench.target.executor, bench.graph
    if isinstance(toolchain, SynapToolchain):
        return Twins(lambda candidate: canonical.digest(toolchain.render(candidate).text))
    if isinstance(toolchain, SnpeToolchain):
        return Twins(toolchain.identity)
    if isinstance(toolchain, HostToolchain):
        return Twins(lambda candidate: _on_host(graph, candidate))
    if isinstance(executor, Simulator) and isinstance(bench.target.board, SimulatedBoard):
        return Twins(lambda candidate: _simulated(bench, executor, candidate))
    return lambda candidate: None


def _simulated(bench: Workbench, simulator: Simulator, candidate: Candidate) -> str:
    artifact = bench.target.toolchain.build(candidate)
    laid = simulator.plan(candidate, artifact.types)
    latency_ms = bench.board.time(artifact).median_ms
    return canonical.digest([delivered(bench.graph, laid), f"{latency_ms:.9g}", candidate.preprocess])


def _on_host(graph: ModelGraph, candidate: Candidate) -> str:
    types = layout.types_of(graph, candidate)
    tensors = {output: list(names) for output, names in graph.delivered(candidate).items()}
    if all(kind is DataType.FLOAT16 for kind in types.values()):
        return canonical.digest(["float", tensors])
    own = [candidate.base, str(candidate.algorithm), [list(option) for option in candidate.options]]
    return canonical.digest([own, {unit: str(kind) for unit, kind in types.items()}, tensors])


def delivered(graph: ModelGraph, laid: Plan) -> str:
    """Digest of everything that decides the numbers in the model's outputs, the photographs apart.

    A chain as the simulator's own (:func:`mpsearch.quant.prefix.chain`), but what only moves values is written down
    the same whether the device does it with one quantizer throughout or the CPU does it in float behind a cut.
    """
    whole = repr((laid.candidate.base, laid.candidate.options))
    stored: dict[str, QParams | None] = {graph.inputs[0]: laid.input}
    keys = {graph.inputs[0]: _digest("input", whole, repr(laid.input))}
    for step in laid.steps:
        unit = graph.unit[step.unit]
        before = [keys[tensor] for tensor, _ in step.sources]
        quantizers = {repr(stored[tensor]) for tensor, _ in step.sources} | {repr(params) for _, params in step.targets}
        stored.update(step.targets)
        if unit.role is Role.TRANSPARENT and unit.kind in _MOVES and len(quantizers) == 1:
            _moved(graph, unit.nodes, keys)
        else:
            keys.update({tensor: _digest("step", repr(step), tensor, *before) for tensor, _ in step.targets})
    ends = {
        tensor: keys[tensor] if params == stored[tensor] else _digest("read", repr(params), keys[tensor])
        for tensor, params in laid.delivered
    }
    found = []
    for output, tensors in graph.delivered(laid.candidate).items():
        behind = {tensor: ends[tensor] for tensor in tensors}
        _moved(graph, tuple(node.name for node in graph.nodes_behind((output,), stop=tensors)), behind)
        found.append((output, behind[output]))
    return canonical.digest(found)


def _moved(graph: ModelGraph, nodes: tuple[str, ...], keys: dict[str, str]) -> None:
    """Add the keys of what ``nodes``, in execution order, make in float, or without touching a value."""
    for name in nodes:
        node = graph.node[name]
        made = _digest("node", name, *(keys[tensor] for tensor in node.inputs))
        keys.update({tensor: f"{made}:{index}" for index, tensor in enumerate(node.outputs)})


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()
