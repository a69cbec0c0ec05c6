"""A hand-built graph and an additive stand-in for quantization and board: studies of a hundred trials in a second."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from mpsearch import canonical
from mpsearch.candidate import Candidate, DataType
from mpsearch.errors import CandidateError
from mpsearch.graph.model import Conv, ModelGraph, Node, Role, Tensor, Unit, output_unit
from mpsearch.record import Failed, Measured, Record, Score, Timing

_SIZE = 16
_CHANNELS = 8


def toy_graph(body: int = 4) -> ModelGraph:
    """Input -> ``body`` convolutions with ReLU -> MaxPool -> two heads; one ends in Reshape and Transpose, which can be
    cut, the other in a Sigmoid, which can be cut too.

    Units in order: ``conv0`` ... , ``pool``, ``near``, ``near_move``, ``far``, ``far_sigmoid``, two output units.
    """
    nodes: list[Node] = []
    units: list[Unit] = []
    shapes: dict[str, tuple[int, ...]] = {"input": (1, 3, _SIZE, _SIZE)}

    def add(name: str, role: Role, kind: str, *steps: tuple[str, str, str]) -> None:
        """Steps: operation, input tensor, output tensor."""
        for op_type, source, made in steps:
            geometry = None
            if op_type == "Conv":
                size = shapes[source][2:]
                geometry = Conv((3, 3), (1, 1), 1, shapes[source][1], _CHANNELS, size)
                shapes[made] = (1, _CHANNELS, *size)
            else:
                shapes[made] = shapes[source]
            label = name if made == steps[0][2] else f"{name}_{op_type.lower()}"
            macs = 9 * shapes[source][1] * _CHANNELS * _SIZE**2 if geometry else 0
            nodes.append(Node(label, op_type, (source,), (), (made,), macs=macs, conv=geometry))
        mine = tuple(node.name for node in nodes[-len(steps) :])
        total = sum(node.macs for node in nodes[-len(steps) :])
        units.append(Unit(name, role, kind, mine, (steps[0][1],), (steps[-1][2],), macs=total))

    front = "input"
    for i in range(body):
        add(f"conv{i}", Role.COMPUTE, "conv", ("Conv", front, f"c{i}"), ("Relu", f"c{i}", f"r{i}"))
        front = f"r{i}"
    add("pool", Role.TRANSPARENT, "pool", ("MaxPool", front, "p"))
    add("near", Role.COMPUTE, "conv", ("Conv", "p", "n0"))
    add("near_move", Role.TRANSPARENT, "move", ("Reshape", "n0", "n1"), ("Transpose", "n1", "near_out"))
    add("far", Role.COMPUTE, "conv", ("Conv", "p", "f0"))
    add("far_sigmoid", Role.COMPUTE, "activation", ("Sigmoid", "f0", "far_out"))
    outputs = ("near_out", "far_out")
    units.extend(Unit(output_unit(o), Role.OUTPUT, "output", (), (o,), (o,)) for o in outputs)
    return ModelGraph(
        path=Path("toy.onnx"),
        digest=canonical.digest(["toy", body]),
        opset=13,
        nodes=tuple(nodes),
        tensors={name: Tensor(name, shape) for name, shape in shapes.items()},
        units=tuple(units),
        inputs=("input",),
        outputs=outputs,
        cut_points={"near_out": (("n1",), ("n0",)), "far_out": (("f0",),)},
    )


class ToyEvaluator:
    """Additive error and latency: every unit costs time by its type and adds error by its type and place; a change of
    type along an edge costs time.

    Args:
        refuse: a reason to fail, or nothing.
        sleep_s: time that an evaluation takes.

    Attributes:
        calls: candidates in the order in which they came.
    """

    def __init__(
        self, graph: ModelGraph, *, refuse: Callable[[Candidate], str | None] = lambda _: None, sleep_s: float = 0.0
    ) -> None:
        self._graph, self._refuse, self._sleep_s = graph, refuse, sleep_s
        self.calls: list[Candidate] = []

    def evaluate(self, candidate: Candidate) -> Record:
        self.calls.append(candidate)
        time.sleep(self._sleep_s)
        reason = self._refuse(candidate)
        if reason is not None:
            return Record(candidate, Failed("build", CandidateError.__name__, reason))
        types = self._graph.assign(candidate)
        latency_ms, error_px2 = 1.0, 0.01
        for place, (name, kind) in enumerate(types.items()):
            unit = self._graph.unit[name]
            latency_ms += (0.1 + unit.macs / 1e6) * {0: 1.0, 1: 2.5, 3: 20.0}[kind.rank]
            if unit.role is not Role.TRANSPARENT:
                error_px2 += (1 + place) ** 2 * {0: 1.0, 1: 0.001, 3: 0.0001}[kind.rank]
            for tensor in unit.inputs:
                source = self._graph.producer.get(tensor)
                before = types.get(self._graph.unit_of[source], kind) if source else candidate.base_type
                latency_ms += 0.3 if before != kind and kind.bits == DataType.UINT8.bits else 0.0
        score = Score(error_px2, error_px2, error_px2, faces=20, missed=0, extra=0, per_image=(error_px2,))
        return Record(candidate, Measured(score, Timing((latency_ms,), "simulated", "toy")))
