"""Where quantization hurts: each unit alone in low precision, each alone in high, and every tensor against its float.

Two questions about a unit, which have different answers: what noise does it bring by itself (it alone is quantized,
everything else float), and what would be won by widening it where everything is quantized. The first says where a
problem is, the second where bits pay.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mpsearch.candidate import BASES, Candidate, DataType, Scheme
from mpsearch.errors import ConfigError
from mpsearch.evaluate import Artifact
from mpsearch.graph.model import ModelGraph, Role
from mpsearch.graph.onnxio import FloatModel
from mpsearch.quant.plan import before_activation
from mpsearch.quant.simulator import Simulator
from mpsearch.quant.statistics import Photos, each
from mpsearch.scoring.outputs import OutputErrors, cosine, sqnr_db

FloatArray = NDArray[np.float32]
Measure = Callable[[Iterator[Mapping[str, FloatArray]]], float]
"""Batches of model outputs, as an executor gives them -> an error, 0 for the float model."""


@dataclass(frozen=True, slots=True)
class TensorProfile:
    """One unit's output where everything is in the base, against the float model, over all photographs.

    Attributes:
        entropy: the engine's measure over the calibration photographs, see :mod:`mpsearch.quant.entropy`.
    """

    tensor: str
    unit: str
    sqnr_db: float
    cosine: float
    entropy: float | None


@dataclass(frozen=True, slots=True)
class UnitProfile:
    """One unit.

    Attributes:
        alone_error: error with this unit in the base and all others in float.
        widened_error: error with this unit in the high type and all others in the base.
        weight_entropy: of its weights; None where it has none.
    """

    unit: str
    kind: str
    macs: int
    alone_error: float
    widened_error: float
    weight_entropy: float | None


@dataclass(frozen=True, slots=True)
class Profile:
    """A whole model.

    Attributes:
        base_error: error with everything in the base: what ``widened_error`` is to be compared with.
        seconds, float_pass_s: what all this took, and one pass of the float model over the same photographs.
    """

    base: str
    high: DataType
    photographs: int
    base_error: float
    units: tuple[UnitProfile, ...]
    tensors: tuple[TensorProfile, ...]
    seconds: float
    float_pass_s: float


def profile(
    graph: ModelGraph,
    calibration: Photos,
    photos: Photos,
    measure: Measure,
    *,
    base: str = "uint8",
    high: DataType | None = None,
    cache: Path | None = None,
    on_unit: Callable[[int, int], None] = lambda done, total: None,
) -> Profile:
    """Two simulated runs a unit, units in execution order so that each run starts where the last one differs.

    Args:
        high: what each unit is widened to; by default the next wider type of the base's vendor.
        measure: e.g. the cell error of a :class:`~mpsearch.scoring.scorer.TaskScorer` on ``photos``.
        on_unit: called with the number of finished units and of all.

    Raises:
        ConfigError: unknown base, a base without quantization, or ``high`` no wider than the base.
        DataError: photographs that are missing or not finite.
    """
    high = _wider(base, high)
    simulator = Simulator(graph, calibration, photos, cache=cache)
    entropies = simulator.entropy()
    before_s = _float_pass_s(graph, photos)
    start = time.perf_counter()
    units = [unit for unit in graph.compute_units if unit.role is not Role.OUTPUT]
    floated = {unit.name: DataType.FLOAT16 for unit in graph.units if unit.role is not Role.TRANSPARENT}

    def error(candidate: Candidate) -> float:
        return measure(simulator.batches(Artifact(candidate, graph.assign(candidate))))

    base_error = error(Candidate(base))
    widened = {}
    for index, unit in enumerate(reversed(units)):  # from the end: the longest prefixes are those of the base itself
        widened[unit.name] = error(Candidate(base, overrides=((unit.name, high),)))
        on_unit(index + 1, 2 * len(units))
    found = []
    for index, unit in enumerate(reversed(units)):
        others = tuple((name, kind) for name, kind in floated.items() if name != unit.name)
        alone = error(Candidate(base, overrides=others))
        weights = entropies["weight"].get(before_activation(graph, unit) or unit.outputs[0])
        found.append(UnitProfile(unit.name, unit.kind, unit.macs, alone, widened[unit.name], weights))
        on_unit(len(units) + index + 1, 2 * len(units))
    tensors = _tensors(graph, simulator, photos, Candidate(base), entropies["out0"])
    seconds = time.perf_counter() - start
    float_pass_s = (before_s + _float_pass_s(graph, photos)) / 2  # other work on the machine comes and goes
    return Profile(base, high, len(photos), base_error, tuple(reversed(found)), tensors, seconds, float_pass_s)


def output_noise(graph: ModelGraph, photos: Photos) -> Measure:
    """For a model without a decoder: noise power over signal power, the mean over the model's outputs."""
    model = FloatModel(graph)
    parts = [model.run(image) for image in each(photos)]
    wanted = {name: np.concatenate([part[name] for part in parts]) for name in graph.outputs}

    def measure(batches: Iterator[Mapping[str, FloatArray]]) -> float:
        errors = OutputErrors(wanted)
        start = 0
        for batch in batches:
            start += errors.add(batch, start)
        return float(np.mean([10 ** (-found["sqnr_db"] / 10) for found in errors.summary().values()]))

    return measure


def _wider(base: str, high: DataType | None) -> DataType:
    if base not in BASES or BASES[base].type is DataType.FLOAT16:
        known = ", ".join(name for name, found in BASES.items() if found.type is not DataType.FLOAT16)
        raise ConfigError(f"base {base!r} is no quantized base", hint=f"One of: {known}")
    snpe = BASES[base].scheme is Scheme.ENCODINGS
    wide = (*((DataType.A16W8, DataType.A16W16) if snpe else (DataType.INT16,)), DataType.FLOAT16)
    wider = [kind for kind in wide if kind.rank > BASES[base].type.rank]
    if high is not None and high not in wider:
        raise ConfigError(f"{high} is not wider than the base {base}", hint=f"Take {' or '.join(wider)}.")
    return high or wider[0]


def _tensors(
    graph: ModelGraph, simulator: Simulator, photos: Photos, candidate: Candidate, entropies: Mapping[str, float]
) -> tuple[TensorProfile, ...]:
    """What units compute (what only moves values adds no noise), photograph by photograph: all inner tensors of several
    would be gigabytes."""
    names = {tensor: unit.name for unit in graph.compute_units for tensor in unit.outputs}
    model = FloatModel(graph, tensors=tuple(names))
    sums = {name: np.zeros(4) for name in names}
    for image in each(photos):
        wanted, found = model.run(image), simulator.inner(candidate, image)
        for name in names:
            a, b = found[name].reshape(-1), wanted[name].reshape(-1)
            noise = a - b
            sums[name] += (noise @ noise, b @ b, a @ a, a @ b)
    return tuple(
        TensorProfile(name, names[name], sqnr_db(signal, noise), cosine(product, own, signal), entropies.get(name))
        for name, (noise, signal, own, product) in ((name, row.tolist()) for name, row in sums.items())
    )


def _float_pass_s(graph: ModelGraph, photos: Photos) -> float:
    model = FloatModel(graph)
    seconds = []
    for _ in range(2):  # the first one allocates
        start = time.perf_counter()
        for image in each(photos):
            model.run(image)
        seconds.append(time.perf_counter() - start)
    return seconds[-1]
