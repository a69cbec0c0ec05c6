"""What ``snpe-dlc-info`` prints of a DLC, as text or as CSV (``-s``): operators, tensors, encodings. Pure.

Both forms hold the same tables. An operator takes several rows: the first has its number, each further input, output or
parameter stands in a row without one.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from mpsearch.errors import SetupError


@dataclass(frozen=True, slots=True)
class Encoding:
    """``real = scale * (q + offset)``, the way SNPE counts. ``minimum`` and ``maximum`` are real numbers.

    Attributes:
        by_channel: each channel has an encoding of its own; this is the first one's.
    """

    bits: int
    minimum: float
    maximum: float
    scale: float
    offset: float
    by_channel: bool = False


@dataclass(frozen=True, slots=True)
class DlcTensor:
    """Attributes:
    shape: as the DLC has it: images are ``[batch, height, width, channels]`` after ``snpe-onnx-to-dlc``.
    type: ``uFxp_8``, ``sFxp_16``, ``Float_32`` ...
    kind: ``APP_WRITE`` (an input), ``APP_READ`` (an output), ``NATIVE``, ``STATIC`` (a constant); "" if not said.
    encoding: None where the listing gives none.
    """

    name: str
    shape: tuple[int, ...]
    type: str
    kind: str = ""
    encoding: Encoding | None = None

    @property
    def is_float(self) -> bool:
        return self.type.startswith("Float")

    @property
    def bits(self) -> int:
        """Of one number as it is stored; 0 where the type's name has none."""
        found = re.search(r"_(\d+)$", self.type)
        return int(found[1]) if found else 0

    @property
    def width(self) -> int:
        """Bits that are in use: weights of 4 bits lie in 8-bit numbers, and only the encoding says it."""
        return self.encoding.bits if self.encoding is not None else self.bits


@dataclass(frozen=True, slots=True)
class DlcOp:
    """``inputs`` holds constants too."""

    id: int
    name: str
    type: str
    inputs: tuple[DlcTensor, ...]
    outputs: tuple[DlcTensor, ...]
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DlcInfo:
    """Attributes:
    inputs, outputs: in the DLC's order, with encodings where the tensors are quantized.
    facts: ``Converter command``, ``Quantizer command``, ``DLC created with converter version`` ... as printed.
    caches: names of the records made by offline preparation.
    """

    inputs: tuple[DlcTensor, ...]
    outputs: tuple[DlcTensor, ...]
    ops: tuple[DlcOp, ...]
    facts: Mapping[str, str] = field(default_factory=dict)
    caches: tuple[str, ...] = ()

    @property
    def tensors(self) -> Mapping[str, DlcTensor]:
        """Every tensor that an operator makes or reads, and the model's inputs and outputs."""
        found: dict[str, DlcTensor] = {}
        for op in self.ops:
            for tensor in (*op.inputs, *op.outputs):
                found.setdefault(tensor.name, tensor)
        return {**found, **{t.name: t for t in (*self.inputs, *self.outputs)}}

    @property
    def converts(self) -> tuple[DlcOp, ...]:
        """Operators that only change the type of a tensor."""
        return tuple(op for op in self.ops if op.type == "Convert")


_TENSOR = re.compile(
    r"(?P<name>.+?) \(data type: (?P<type>\w+); tensor dimension: \[(?P<shape>[\d, ]*)\]; tensor type: (?P<kind>\w+)\)"
)
_NUMBER = r"(-?[\d.]+(?:e[+-]?\d+)?)"
_ENCODING = re.compile(
    rf"bitwidth (\d+), min {_NUMBER}, max {_NUMBER}, scale {_NUMBER}, offset {_NUMBER}", re.IGNORECASE
)
_FACT = re.compile(r"^(DLC info of|Info of graph|Converter command|Quantizer command|[\w ]*version[\w ]*): *(.*)$")


def parse(text: str, source: str = "snpe-dlc-info") -> DlcInfo:
    """Read the tool's standard output, or the file that ``-s`` writes.

    Raises:
        SetupError: no table of operators, or no outputs.
    """
    facts: dict[str, str] = {}
    section = ""
    ops: list[_Op] = []
    ends: dict[str, list[DlcTensor]] = {"Input Name": [], "Output Name": []}
    caches: list[str] = []
    for cells in _rows(text, facts):
        head = cells[0]
        if head in ("Id", "Input Name", "Output Name", "Unconsumed Tensor Name", "Cache Record Name"):
            section = head
        elif section == "Id":
            _op_row(cells, ops)
        elif section in ends and len(cells) >= 3 and head:
            shape = _sizes(cells[1])
            ends[section].append(DlcTensor(head, shape, cells[2], "", _encoding(", ".join(cells[3:]))))
        elif section == "Cache Record Name" and head:
            caches.append(head)
    if not ops or not ends["Output Name"]:
        missing = "table of operators" if not ops else "table of outputs"
        raise SetupError(
            f"{source}: no {missing} in {len(text.splitlines())} lines of snpe-dlc-info",
            hint="Please report the file with the SDK's version.",
        )
    made = tuple(op.finished() for op in ops)
    return DlcInfo(tuple(ends["Input Name"]), tuple(ends["Output Name"]), made, facts, tuple(caches))


@dataclass
class _Op:
    id: int
    name: str
    type: str
    inputs: list[DlcTensor] = field(default_factory=list)
    outputs: list[DlcTensor] = field(default_factory=list)
    parameters: list[str] = field(default_factory=list)

    def finished(self) -> DlcOp:
        encodings: dict[str, Encoding] = {}
        for line in self.parameters:
            name, word, rest = line.partition(" encoding")
            if word and (found := _encoding(rest)) is not None:
                encodings.setdefault(name.strip(), replace(found, by_channel="for channel_" in rest))

        def with_encoding(tensor: DlcTensor) -> DlcTensor:
            return DlcTensor(tensor.name, tensor.shape, tensor.type, tensor.kind, encodings.get(tensor.name))

        ins, outs = tuple(map(with_encoding, self.inputs)), tuple(map(with_encoding, self.outputs))
        return DlcOp(self.id, self.name, self.type, ins, outs, tuple(self.parameters))


def _op_row(cells: Sequence[str], ops: list[_Op]) -> None:
    """Columns: Id, Name, Type, Inputs, Outputs, Out Dims, Runtimes, Parameters."""
    if len(cells) < 5:
        return
    if cells[0].isdigit():
        ops.append(_Op(int(cells[0]), cells[1], cells[2]))
    elif cells[0] or not ops:
        return
    elif cells[1]:  # a name too long for its column goes on in the next row
        ops[-1].name += cells[1]
    ops[-1].inputs += _tensors(cells[3])
    ops[-1].outputs += _tensors(cells[4])
    if len(cells) > 7 and cells[7]:
        ops[-1].parameters += [line.strip() for line in cells[7].splitlines()]


def _rows(text: str, facts: dict[str, str]) -> Iterator[list[str]]:
    """The cells of every line that is part of a table; what else is known goes to ``facts``."""
    table = any(line.startswith("|") for line in text.splitlines())
    if table:
        for line in text.splitlines():
            if line.startswith("|"):
                yield [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")]
            elif found := _FACT.match(line):
                facts[found[1].strip()] = found[2].strip()
        return
    for row in csv.reader(io.StringIO(text)):
        cells = [cell.strip() for cell in row]
        if len(cells) >= 3:
            yield cells
        elif cells and (found := _FACT.match(",".join(cells))):
            facts[found[1].strip()] = found[2].strip()


def _tensors(cell: str) -> list[DlcTensor]:
    return [
        DlcTensor(found["name"].strip(" ,;\n"), _sizes(found["shape"]), found["type"], found["kind"])
        for found in _TENSOR.finditer(cell)
    ]


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(int(size) for size in re.findall(r"\d+", text))


def _encoding(text: str) -> Encoding | None:
    found = _ENCODING.search(text)
    if found is None:
        return None
    low, high, scale, offset = map(float, found.groups()[1:])
    return Encoding(int(found[1]), low, high, scale, offset)
