"""A board's profile from the user's own timings: fit what they speak for, say how well, refuse what cannot be right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import log
from statistics import median
from typing import Any

from mpsearch.board import fitting, profile
from mpsearch.board.cost import CostModel
from mpsearch.board.fitting import Parameter
from mpsearch.board.parameters import Htp, Profile, VeriSilicon
from mpsearch.candidate import Candidate, DataType
from mpsearch.errors import ConfigError
from mpsearch.graph.model import ModelGraph

LEAST_ROWS = 4
LEAST_SPREAD = 1.3
"""Slowest over fastest: rows closer together than this tell one number, not how it comes about."""
FAR = 30.0
"""A median ratio beyond this before any fit: another unit of time, or another board."""
WORST_LEFT_OUT = 0.5
"""Median leave-one-out error: above it the rows do not follow from any board of this family."""
FOLDS = 10
ROW_SIGMA = 0.05
PRIOR_SIGMA = 0.7
_SPEAKS = 0.01
"""A parameter takes part when doubling it changes some row by this share."""

_TELLS: Mapping[type[Profile], Mapping[str, str]] = {
    VeriSilicon: {
        "nn_clock_ghz": "a network of plain 8-bit convolutions",
        "nn_int16_slowdown": "the same network in int16",
        "tp_16bit_slowdown": "a network with SiLU or strided convolutions in int16",
        "shader_gmac_per_s": "a float16 candidate",
        "shader_gelement_per_s": "a network with Softmax or Mul",
        "tp_transpose_cycles_per_element": "the same network with and without its Transposes cut off",
        "tp_narrowing_cycles_per_element": "a candidate with int16 in the middle of 8 bits",
        "tp_cycles_per_weight": "a network with large fully connected layers",
        "ddr_gbyte_per_s": "a network with large tensors or many weights",
    },
    Htp: {
        "hmx_gmac_per_s": "a network of wide a8w8 convolutions",
        "hmx_a16_slowdown": "the same network in a16w8 (int16)",
        "hmx_fp16_slowdown": "the same network in fp16 (float16)",
        "depthwise_gmac_per_s": "a network with depthwise convolutions",
        "hvx_gbyte_per_s": "a network with element-wise work or mixed types",
        "hvx_activation_factor": "a network with SiLU or Sigmoid",
        "hvx_divide_factor": "a network with Div",
        "ddr_gbyte_per_s": "a network with many weights",
    },
}


@dataclass(frozen=True, slots=True)
class Measurement:
    """One timing.

    Attributes:
        unit: the timing is of this unit alone (a per-layer profile), not of the whole network.
        types: live unit -> type, as the candidate asks.

    Raises:
        ModelError: a candidate that is not of this graph.
    """

    label: str
    graph: ModelGraph
    candidate: Candidate
    ms: float
    unit: str | None = None
    types: Mapping[str, DataType] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "types", self.graph.assign(self.candidate))


@dataclass(frozen=True, slots=True)
class Row:
    """A measurement against the model: with the start profile, the fitted one, and one fitted without this row."""

    label: str
    measured_ms: float
    before_ms: float
    after_ms: float
    left_out_ms: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """What came out.

    Attributes:
        fitted: parameter -> (before, after).
        silent: parameter that no row speaks for -> what to time for it.
        skipped: units of a per-layer profile that cost nothing in this model (views, concatenations).
    """

    profile: Profile
    rows: tuple[Row, ...]
    fitted: Mapping[str, tuple[float, float]]
    silent: Mapping[str, str]
    skipped: tuple[str, ...] = ()

    @property
    def error(self) -> float:
        """Median of |model / measured - 1| over the rows."""
        return median(abs(row.after_ms / row.measured_ms - 1) for row in self.rows)

    @property
    def left_out_error(self) -> float:
        """The same for rows that the fit had not seen: what to expect of other networks."""
        return median(abs(row.left_out_ms / row.measured_ms - 1) for row in self.rows)

    def text(self) -> str:
        """The profile's file, with what it was made from above it."""
        lines = [
            f"Fitted to {len(self.rows)} measurements by: mpsearch calibrate",
            f"Median error {self.error:.1%}; of rows left out of the fit {self.left_out_error:.1%}.",
            "Fitted: " + ", ".join(self.fitted),
        ]
        if self.silent:
            lines.append("Not determined by these measurements: " + ", ".join(self.silent))
        return profile.dump(self.profile, comment="\n".join(lines))


def calibrate(start: Profile, measurements: Sequence[Measurement], *, name: str = "") -> Calibration:
    """Fit ``start`` to ``measurements``.

    Args:
        name: of the new profile; by default the old one's with ``-calibrated``.

    Raises:
        ConfigError: too few or too similar measurements, not milliseconds of such a board, or rows that contradict
            each other; says what is missing.
    """
    free = [ms <= 0 for ms in predict(start, measurements)]
    skipped = tuple(item.label for item, nothing in zip(measurements, free, strict=True) if nothing)
    measurements = [item for item, nothing in zip(measurements, free, strict=True) if not nothing]
    _check(start, measurements)
    before = predict(start, measurements)
    parameters = [p for p in _parameters(start) if _speaks(start, measurements, before, p)]
    values = _fit(start, measurements, parameters, None)
    fitted = _with(start, parameters, values)
    left_out = _left_out(start, measurements, parameters, values)
    columns = zip(measurements, predict(start, measurements), predict(fitted, measurements), left_out, strict=True)
    rows = [Row(item.label, item.ms, *times) for item, *times in columns]
    names = {p.field for p in parameters}
    result = Calibration(
        fitted.model_copy(update={"name": name or f"{start.name}-calibrated", "aliases": ()}),
        tuple(rows),
        {p.field: (p.centre, value) for p, value in zip(parameters, values, strict=True)},
        {field: what for field, what in _TELLS[type(start)].items() if field not in names},
        skipped,
    )
    if result.left_out_error > WORST_LEFT_OUT:
        worst = max(rows, key=lambda row: abs(log(row.left_out_ms / row.measured_ms)))
        raise ConfigError(
            f"these measurements do not follow from a board like {start.name}: rows that the fit has not seen are "
            f"predicted {result.left_out_error:.0%} off in the median; worst: {worst.label} ({worst.measured_ms:g} ms, "
            f"model {worst.left_out_ms:.3g} ms)",
            hint="Check that each time belongs to its model and types, and that all are of one board.",
        )
    return result


def predict(board: Profile, measurements: Sequence[Measurement]) -> list[float]:
    """What ``board`` gives for each measurement, ms."""
    models: dict[int, CostModel] = {}
    found = []
    for item in measurements:
        model = models.setdefault(id(item.graph), CostModel(board, item.graph))
        if item.unit is not None:
            found.append(model.work(item.unit, item.types[item.unit]).total_ms)
        else:
            found.append(model.estimate(item.candidate, item.types).total_ms)
    return found


def _check(start: Profile, measurements: Sequence[Measurement]) -> None:
    distinct = {(m.graph.digest, m.candidate.digest, m.unit) for m in measurements}
    if len(distinct) < LEAST_ROWS:
        wanted = "; ".join(list(_TELLS[type(start)].values())[:3])
        raise ConfigError(
            f"{len(distinct)} different measurement(s); a profile needs at least {LEAST_ROWS}",
            hint=f"Time, for instance: {wanted}.",
        )
    for item in measurements:
        if not 0 < item.ms < float("inf"):
            raise ConfigError(f"{item.label}: {item.ms} is no time in milliseconds")
    times = [item.ms for item in measurements]
    if max(times) < LEAST_SPREAD * min(times):
        raise ConfigError(
            f"all measurements lie between {min(times):g} and {max(times):g} ms: they tell one number, not what it is "
            "made of",
            hint="Add a smaller or larger network, or the same one in other types.",
        )
    ratio = median(item.ms / ms for item, ms in zip(measurements, predict(start, measurements), strict=True))
    if not 1 / FAR < ratio < FAR:
        raise ConfigError(
            f"the measurements are {ratio:.3g} times what {start.name} would take: not milliseconds, or not this board",
            hint="Give milliseconds, and the start profile nearest to the board.",
        )


def _parameters(start: Profile) -> list[Parameter]:
    found = []
    for name, info in type(start).model_fields.items():
        value: Any = getattr(start, name)
        if not isinstance(value, float) or name == "preprocess_ns_per_pixel":
            continue
        least = max((float(m.ge) for m in info.metadata if getattr(m, "ge", None) is not None), default=0.0)
        found.append(Parameter(name, max(value, least or value), PRIOR_SIGMA, least))
    return found


def _speaks(start: Profile, measurements: Sequence[Measurement], before: Sequence[float], parameter: Parameter) -> bool:
    changed = predict(start.model_copy(update={parameter.field: 2 * parameter.centre}), measurements)
    return any(abs(log(new / old)) > _SPEAKS for new, old in zip(changed, before, strict=True) if old > 0)


def _left_out(
    start: Profile, measurements: Sequence[Measurement], parameters: Sequence[Parameter], begin: Sequence[float]
) -> list[float]:
    """Each row by a fit without it; beyond so many rows, without it and each other ``FOLDS``-th."""
    folds = len(measurements) if len(measurements) <= 2 * FOLDS else FOLDS
    found = [0.0] * len(measurements)
    for fold in range(folds):
        others = [item for index, item in enumerate(measurements) if index % folds != fold]
        fitted = _with(start, parameters, _fit(start, others, parameters, begin))
        for index in range(fold, len(measurements), folds):
            found[index] = predict(fitted, [measurements[index]])[0]
    return found


def _with(start: Profile, parameters: Sequence[Parameter], values: Sequence[float]) -> Profile:
    update = {p.field: value for p, value in zip(parameters, values, strict=True)}
    return start.model_copy(update=update)


def _fit(
    start: Profile,
    measurements: Sequence[Measurement],
    parameters: Sequence[Parameter],
    begin: Sequence[float] | None,
) -> tuple[float, ...]:
    def log_ratios(values: Sequence[float]) -> list[float]:
        board = _with(start, parameters, values)
        times = predict(board, measurements)
        return [log(ms / item.ms) for item, ms in zip(measurements, times, strict=True)]

    return fitting.solve(log_ratios, parameters, row_sigma=ROW_SIGMA, start=begin, evaluations=20)
