"""The graph as values: nodes, tensors, units, outputs. Nothing here imports onnx.

A *unit* is the smallest group of nodes that takes one data type. Three roles:

* ``COMPUTE``: chooses a type (a convolution with its activation, an Add, a Softmax ...),
* ``TRANSPARENT``: carries a type and chooses none (Reshape, Concat, MaxPool ...); it takes the highest type among
  its inputs, so that nothing is narrowed on the way,
* ``OUTPUT``: the output tensor itself, which has a type of its own in Acuity's tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from math import prod
from pathlib import Path

from mpsearch.candidate import Candidate, DataType
from mpsearch.errors import ModelError

AttributeValue = int | float | str | tuple[int, ...] | tuple[float, ...]


class Role(StrEnum):
    COMPUTE = "compute"
    TRANSPARENT = "transparent"
    OUTPUT = "output"


@dataclass(frozen=True, slots=True)
class Tensor:
    """An activation or a constant. ``shape`` is static and includes the batch."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"

    @property
    def elements(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True, slots=True)
class Conv:
    """Geometry of a convolution (Conv or ConvTranspose)."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    group: int
    in_channels: int
    out_channels: int
    out_size: tuple[int, ...]

    @property
    def depthwise(self) -> bool:
        return self.group > 1 and self.group == self.in_channels


@dataclass(frozen=True, slots=True)
class Node:
    """One ONNX node. ``inputs`` are activations, ``params`` are constants, both in ONNX order."""

    name: str
    op_type: str
    inputs: tuple[str, ...]
    params: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)
    macs: int = 0
    weights: int = 0
    conv: Conv | None = None


@dataclass(frozen=True, slots=True)
class Unit:
    """Nodes that share one type.

    Attributes:
        name: of its main node, or ``output:<model output>``.
        nodes: names, in execution order; empty for an output unit.
        inputs: activation tensors that come from outside.
        outputs: tensors that leave.
        kind: ``conv``, ``depthwise``, ``deconv``, ``gemm``, ``eltwise``, ``activation``, ``softmax``, ``pool``,
            ``move``, ``concat``, ``resize``, ``output`` or ``other``.
    """

    name: str
    role: Role
    kind: str
    nodes: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    macs: int = 0
    weights: int = 0

    @property
    def fused(self) -> bool:
        """More than one node: the compiler renames it, so an ONNX name does not reach all of it."""
        return len(self.nodes) > 1


def output_unit(output: str) -> str:
    """Name of the unit that stands for the output tensor of model output ``output``."""
    return f"output:{output}"


@dataclass(frozen=True)
class ModelGraph:
    """A static, single-input float model, in execution order.

    Attributes:
        digest: sha256 over the model with its external data.
        notes: what the reader changed or wondered about, for the user.
        renamed: nodes whose name is not the file's own, so that no vendor tool knows it.
        reshaped: the input shape was set by the user and is not the file's own.
        cut_points: model output -> candidate cuts, nearest to the output first; each is a tuple of tensors that
            together stand for the output (several where a Concat was cut away).
    """

    path: Path
    digest: str
    opset: int
    nodes: tuple[Node, ...]
    tensors: Mapping[str, Tensor]
    units: tuple[Unit, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    cut_points: Mapping[str, tuple[tuple[str, ...], ...]]
    notes: tuple[str, ...] = ()
    reshaped: bool = False
    renamed: frozenset[str] = frozenset()

    @cached_property
    def node(self) -> Mapping[str, Node]:
        return {node.name: node for node in self.nodes}

    @cached_property
    def unit(self) -> Mapping[str, Unit]:
        return {unit.name: unit for unit in self.units}

    @cached_property
    def unit_of(self) -> Mapping[str, str]:
        """Node -> unit."""
        return {node: unit.name for unit in self.units for node in unit.nodes}

    @cached_property
    def producer(self) -> Mapping[str, str]:
        """Tensor -> the node that makes it (inputs and constants have none)."""
        return {tensor: node.name for node in self.nodes for tensor in node.outputs}

    @cached_property
    def consumers(self) -> Mapping[str, tuple[str, ...]]:
        """Tensor -> the nodes that read it."""
        found: dict[str, list[str]] = {}
        for node in self.nodes:
            for tensor in dict.fromkeys(node.inputs):
                found.setdefault(tensor, []).append(node.name)
        return {tensor: tuple(nodes) for tensor, nodes in found.items()}

    @property
    def compute_units(self) -> tuple[Unit, ...]:
        """The units that choose, in execution order."""
        return tuple(unit for unit in self.units if unit.role is Role.COMPUTE)

    @property
    def macs(self) -> int:
        return sum(node.macs for node in self.nodes)

    def delivered(self, candidate: Candidate) -> Mapping[str, tuple[str, ...]]:
        """Model output -> the tensors that the device delivers for it, in model order; dropped ones are absent.

        Raises:
            ModelError: the candidate names an output that the model has not, or a tensor that cannot stand for it.
        """
        for output in (*candidate.dropped, *(output for output, _ in candidate.cuts)):
            if output not in self.outputs:
                raise ModelError(f"{self.path.name}: no output {output!r}; it has {', '.join(self.outputs)}")
        delivered: dict[str, tuple[str, ...]] = {}
        for output in self.outputs:
            if output in candidate.dropped:
                continue
            tensors = candidate.cut_of(output)
            if tensors is not None and tensors not in self.cut_points.get(output, ()):
                options = "; ".join(", ".join(cut) for cut in self.cut_points.get(output, ())) or "none"
                raise ModelError(
                    f"{self.path.name}: output {output!r} cannot be cut at {', '.join(tensors)}",
                    hint=f"Cuts that mpsearch knows for it: {options}",
                )
            delivered[output] = tensors or (output,)
        if not delivered:
            raise ModelError(f"{self.path.name}: every output is dropped", hint="Keep at least one.")
        return delivered

    def nodes_behind(self, tensors: Iterable[str], *, stop: Iterable[str] = ()) -> tuple[Node, ...]:
        """The nodes that ``tensors`` need, in execution order, without looking behind the tensors in ``stop``."""
        stopped, wanted, todo = set(stop), set(), list(tensors)
        while todo:
            tensor = todo.pop()
            name = self.producer.get(tensor)
            if tensor in stopped or name is None or name in wanted:
                continue
            wanted.add(name)
            todo.extend(self.node[name].inputs)
        return tuple(node for node in self.nodes if node.name in wanted)

    def live(self, candidate: Candidate) -> tuple[Unit, ...]:
        """The units that run on the device for ``candidate``, output units of kept outputs among them."""
        delivered = self.delivered(candidate)
        nodes = {node.name for node in self.nodes_behind(t for tensors in delivered.values() for t in tensors)}
        return tuple(
            unit
            for unit in self.units
            if (any(node in nodes for node in unit.nodes) if unit.nodes else unit.name[len("output:") :] in delivered)
        )

    def assign(self, candidate: Candidate) -> Mapping[str, DataType]:
        """Live unit -> its type, transparent units resolved.

        A transparent unit takes the highest type of its inputs; the graph's input has the base type.
        """
        types: dict[str, DataType] = {}
        for unit in self.live(candidate):
            if unit.role is Role.TRANSPARENT:
                kinds = [self._tensor_type(tensor, types, candidate) for tensor in unit.inputs]
                types[unit.name] = max(kinds, key=lambda kind: kind.rank, default=candidate.base_type)
            else:
                types[unit.name] = candidate.type_of(unit.name)
        return types

    def _tensor_type(self, tensor: str, types: Mapping[str, DataType], candidate: Candidate) -> DataType:
        producer = self.producer.get(tensor)
        return candidate.base_type if producer is None else types[self.unit_of[producer]]

    def units_after(self, node: str, candidate: Candidate) -> frozenset[str]:
        """The live units strictly behind ``node``, output units included, as ``name...`` in a SyNAP metafile means it.

        The toolkit walks back from every output and stops at the named layer; a layer belongs to the tail when some
        path from it back to the inputs meets the named layer.
        """
        delivered = self.delivered(candidate)
        live = self.nodes_behind(t for tensors in delivered.values() for t in tensors)
        reached = {node}
        for item in live:
            if item.name != node and any(self.producer.get(tensor) in reached for tensor in item.inputs):
                reached.add(item.name)
        units = {self.unit_of[name] for name in reached if name != node}
        for output, tensors in delivered.items():
            if any(self.producer.get(tensor) in reached for tensor in tensors):
                units.add(output_unit(output))
        return frozenset(units)
