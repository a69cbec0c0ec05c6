"""What one trial tries: a frozen value with canonical JSON and a digest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

from mpsearch import canonical


class DataType(StrEnum):
    """The type a unit computes in.

    SyNAP and the host know ``uint8``, ``int8``, ``int16`` and ``float16`` (what Acuity leaves unquantized). SNPE names
    activations and weights apart: ``a8w8``, ``a16w8``, ``a16w16`` and ``float16``.
    """

    UINT8 = "uint8"
    INT8 = "int8"
    INT16 = "int16"
    A8W8 = "a8w8"
    A16W8 = "a16w8"
    A16W16 = "a16w16"
    FLOAT16 = "float16"

    @property
    def bits(self) -> int:
        """Of an activation."""
        return 8 if self in (DataType.UINT8, DataType.INT8, DataType.A8W8) else 16

    @property
    def weight_bits(self) -> int:
        return 8 if self is DataType.A16W8 else self.bits

    @property
    def rank(self) -> int:
        """Order of precision, below :data:`RANKS`. A transparent unit takes the highest of its inputs."""
        return _RANK[self]


_RANK = {
    DataType.UINT8: 0, DataType.INT8: 0, DataType.A8W8: 0, DataType.INT16: 1, DataType.A16W8: 1, DataType.A16W16: 2,
    DataType.FLOAT16: 3,
}  # fmt: skip
RANKS = 4
"""Number of ranks of :attr:`DataType.rank`: 8 bits, 16 with 8-bit weights where weights are apart, 16 throughout,
float16."""


class Scheme(StrEnum):
    """How numbers become integers; all but the last two are SyNAP's words (``quantization.scheme``)."""

    ASYMMETRIC = "asymmetric_affine"
    SYMMETRIC = "symmetric_affine"
    PER_CHANNEL = "perchannel_symmetric_affine"
    DYNAMIC_FIXED_POINT = "dynamic_fixed_point"
    ENCODINGS = "encodings"
    """SNPE's: what its quantizer flags say, see :data:`OPTIONS`."""
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
    def is_float(self) -> bool:
        """No quantizer runs, so no unit can have another type."""
        return self.type is DataType.FLOAT16

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
    "a8w8": Base(DataType.A8W8, Scheme.ENCODINGS),
    "a16w8": Base(DataType.A16W8, Scheme.ENCODINGS),
    "a16w16": Base(DataType.A16W16, Scheme.ENCODINGS),
    "fp16": Base(DataType.FLOAT16, Scheme.ENCODINGS),
    "float16": Base(DataType.FLOAT16, Scheme.NONE),
}
"""Short name -> base. Two run no quantizer: ``float16`` is the model left alone, ``fp16`` SNPE's, whose numbers really
have 16 bits."""

QUANTIZER_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "act_quantizer": ("tf", "enhanced", "symmetric"),
    "param_quantizer": ("tf", "enhanced", "symmetric"),
    "act_calibration": ("tool", "min-max", "sqnr", "entropy", "mse", "percentile"),
    "param_calibration": ("tool", "min-max", "sqnr", "entropy", "mse", "percentile"),
    "act_schema": ("tool", "asymmetric", "symmetric"),
    "param_schema": ("tool", "asymmetric", "symmetric"),
    "weights": ("per_tensor", "per_channel"),
    "matmul_weights": ("per_tensor", "per_row"),
    "weight_bits": ("8", "4"),
    "bias_bits": ("8", "32"),
    "equalization": ("none", "cle"),
}
"""What changes the numbers of a whole model: option -> values, the vendor tool's default first. All are SNPE's
(flags of ``snpe-dlc-quant`` and ``qairt-quantizer``); ``weight_bits`` is what the 8 in ``a8w8`` and ``a16w8`` is."""

RUN_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "delegate": ("npu", "gpu", "cpu"),
    "runtime": ("dsp", "gpu", "cpu"),
    "perf_profile": (
        "balanced", "low_balanced", "high_performance", "sustained_high_performance", "burst", "low_power_saver",
        "power_saver", "high_power_saver", "extreme_power_saver", "system_settings",
    ),
}  # fmt: skip
"""What changes where and how fast a whole model runs: SyNAP's ``delegate``, SNPE's ``runtime`` and ``perf_profile``."""

OPTIONS: Mapping[str, tuple[str, ...]] = {**QUANTIZER_OPTIONS, **RUN_OPTIONS}


@dataclass(frozen=True)
class Candidate:
    """One full configuration.

    Overrides that equal the base type and options at their default are dropped and all tuples are sorted, so equal
    meaning is equal bytes.
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
        options: ``(name, value)`` of :data:`OPTIONS`, the vendor's switches for a whole model.
    """

    base: str = "uint8"
    algorithm: Algorithm = Algorithm.STANDARD
    overrides: tuple[tuple[str, DataType], ...] = ()
    cuts: tuple[tuple[str, tuple[str, ...]], ...] = ()
    dropped: tuple[str, ...] = ()
    preprocess: str = "cpu"
    options: tuple[tuple[str, str], ...] = ()
    _types: dict[str, DataType] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.base not in BASES:
            raise ValueError(f"unknown base {self.base!r}; one of {', '.join(BASES)}")
        base_type = BASES[self.base].type
        types = {unit: DataType(kind) for unit, kind in self.overrides if DataType(kind) != base_type}
        dropped = tuple(sorted(set(self.dropped)))
        cuts = {output: tuple(tensors) for output, tensors in self.cuts if output not in dropped}
        for name, value in self.options:
            if value not in OPTIONS.get(name, ()):
                known = ", ".join(OPTIONS.get(name, OPTIONS))
                raise ValueError(f"unknown option {name}: {value}; one of {known}")
        options = {name: value for name, value in self.options if value != OPTIONS[name][0]}
        object.__setattr__(self, "algorithm", Algorithm(self.algorithm))
        object.__setattr__(self, "overrides", tuple(sorted(types.items())))
        object.__setattr__(self, "cuts", tuple(sorted(cuts.items())))
        object.__setattr__(self, "dropped", dropped)
        object.__setattr__(self, "options", tuple(sorted(options.items())))
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

    def option(self, name: str) -> str:
        """The value of one of :data:`OPTIONS`."""
        return dict(self.options).get(name, OPTIONS[name][0])

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
        if self.options:
            data["options"] = dict(self.options)
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Candidate:
        """The inverse of :meth:`to_json`.

        Raises:
            ValueError: unknown key, base, type or algorithm.
        """
        known = {"base", "algorithm", "overrides", "cuts", "dropped", "preprocess", "options"}
        if unknown := set(data) - known:
            raise ValueError(f"unknown candidate field(s): {', '.join(sorted(unknown))}")
        return cls(
            base=data.get("base", "uint8"),
            algorithm=Algorithm(data.get("algorithm", "standard")),
            overrides=tuple((unit, DataType(kind)) for unit, kind in data.get("overrides", {}).items()),
            cuts=tuple((output, tuple(tensors)) for output, tensors in data.get("cuts", {}).items()),
            dropped=tuple(data.get("dropped", ())),
            preprocess=data.get("preprocess", "cpu"),
            options=tuple((name, str(value)) for name, value in data.get("options", {}).items()),
        )

    @cached_property
    def digest(self) -> str:
        """sha256 of the canonical JSON."""
        return canonical.digest(self.to_json())
