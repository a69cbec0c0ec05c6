"""What one trial tries: a frozen value with canonical JSON and a digest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

from mpsearch import canonical


class DataType(StrEnum):
    """The type a unit computes in. ``float16`` is what Acuity leaves unquantized."""

    UINT8 = "uint8"
    INT8 = "int8"
    INT16 = "int16"
    FLOAT16 = "float16"

    @property
    def bits(self) -> int:
        return 8 if self in (DataType.UINT8, DataType.INT8) else 16

    @property
    def rank(self) -> int:
        """Order of precision: 8-bit, then int16, then float16. A transparent unit takes the highest of its inputs."""
        return {DataType.UINT8: 0, DataType.INT8: 0, DataType.INT16: 1, DataType.FLOAT16: 2}[self]


class Scheme(StrEnum):
    """How numbers become integers, in SyNAP's words (``quantization.scheme``)."""

    ASYMMETRIC = "asymmetric_affine"
    SYMMETRIC = "symmetric_affine"
    PER_CHANNEL = "perchannel_symmetric_affine"
    DYNAMIC_FIXED_POINT = "dynamic_fixed_point"
    NONE = "none"


class Algorithm(StrEnum):
    """How calibration turns statistics into ranges, in SyNAP's words (``quantization.algorithm``)."""

    STANDARD = "standard"
    MOVING_AVERAGE = "moving_average"
    KL_DIVERGENCE = "kl_divergence"


@dataclass(frozen=True, slots=True)
class Base:
    """The type and scheme of every unit that has no override."""

    type: DataType
    scheme: Scheme

    @property
    def name(self) -> str:
        """The short name used in search spaces, tables and reference files."""
        return next(name for name, base in BASES.items() if base == self)


BASES: Mapping[str, Base] = {
    "uint8": Base(DataType.UINT8, Scheme.ASYMMETRIC),
    "int8-asym": Base(DataType.INT8, Scheme.ASYMMETRIC),
    "int8-sym": Base(DataType.INT8, Scheme.SYMMETRIC),
    "int8-pc": Base(DataType.INT8, Scheme.PER_CHANNEL),
    "int8-dfp": Base(DataType.INT8, Scheme.DYNAMIC_FIXED_POINT),
    "int16": Base(DataType.INT16, Scheme.DYNAMIC_FIXED_POINT),
    "float16": Base(DataType.FLOAT16, Scheme.NONE),
}
"""Short name -> base. ``float16`` as a base is the unquantized model."""


@dataclass(frozen=True)
class Candidate:
    """One full configuration.

    Overrides that equal the base type are dropped and all tuples are sorted, so equal meaning is equal bytes.
    (Overrides of units that a cut removed are dropped by :meth:`mpsearch.space.SearchSpace.canonical`,
    which knows the graph.)

    Attributes:
        base: a key of :data:`BASES`.
        algorithm: calibration algorithm.
        overrides: ``(unit name, type)``; output tensors have units of their own (``graph.output_unit(name)``).
        cuts: ``(model output, tensors)``: this output is delivered as these tensors, the nodes behind them run in
            float on the CPU.
        dropped: model outputs that are not computed at all.
        preprocess: ``"cpu"``, or ``"nv12:1024x768"`` when the NPU converts the camera's frames.
    """

    base: str = "uint8"
    algorithm: Algorithm = Algorithm.STANDARD
    overrides: tuple[tuple[str, DataType], ...] = ()
    cuts: tuple[tuple[str, tuple[str, ...]], ...] = ()
    dropped: tuple[str, ...] = ()
    preprocess: str = "cpu"
    _types: dict[str, DataType] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.base not in BASES:
            raise ValueError(f"unknown base {self.base!r}; one of {', '.join(BASES)}")
        base_type = BASES[self.base].type
        types = {unit: DataType(kind) for unit, kind in self.overrides if DataType(kind) != base_type}
        dropped = tuple(sorted(set(self.dropped)))
        cuts = {output: tuple(tensors) for output, tensors in self.cuts if output not in dropped}
        object.__setattr__(self, "algorithm", Algorithm(self.algorithm))
        object.__setattr__(self, "overrides", tuple(sorted(types.items())))
        object.__setattr__(self, "cuts", tuple(sorted(cuts.items())))
        object.__setattr__(self, "dropped", dropped)
        object.__setattr__(self, "_types", types)

    @property
    def base_type(self) -> DataType:
        return BASES[self.base].type

    @property
    def scheme(self) -> Scheme:
        return BASES[self.base].scheme

    @property
    def is_uniform(self) -> bool:
        return not self.overrides

    def type_of(self, unit: str) -> DataType:
        """The type asked for ``unit`` (transparent units: see :meth:`ModelGraph.assign`)."""
        return self._types.get(unit, self.base_type)

    def cut_of(self, output: str) -> tuple[str, ...] | None:
        """The tensors that stand for ``output``, or None when it is delivered uncut."""
        return dict(self.cuts).get(output)

    def to_json(self) -> dict[str, Any]:
        """Plain data for :func:`mpsearch.canonical.dumps`; fields at their default are left out."""
        data: dict[str, Any] = {"base": self.base}
        if self.algorithm != Algorithm.STANDARD:
            data["algorithm"] = str(self.algorithm)
        if self.overrides:
            data["overrides"] = {unit: str(kind) for unit, kind in self.overrides}
        if self.cuts:
            data["cuts"] = {output: list(tensors) for output, tensors in self.cuts}
        if self.dropped:
            data["dropped"] = list(self.dropped)
        if self.preprocess != "cpu":
            data["preprocess"] = self.preprocess
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Candidate:
        """The inverse of :meth:`to_json`.

        Raises:
            ValueError: unknown key, base, type or algorithm.
        """
        known = {"base", "algorithm", "overrides", "cuts", "dropped", "preprocess"}
        if unknown := set(data) - known:
            raise ValueError(f"unknown candidate field(s): {', '.join(sorted(unknown))}")
        return cls(
            base=data.get("base", "uint8"),
            algorithm=Algorithm(data.get("algorithm", "standard")),
            overrides=tuple((unit, DataType(kind)) for unit, kind in data.get("overrides", {}).items()),
            cuts=tuple((output, tuple(tensors)) for output, tensors in data.get("cuts", {}).items()),
            dropped=tuple(data.get("dropped", ())),
            preprocess=data.get("preprocess", "cpu"),
        )

    @cached_property
    def digest(self) -> str:
        """sha256 of the canonical JSON."""
        return canonical.digest(self.to_json())
