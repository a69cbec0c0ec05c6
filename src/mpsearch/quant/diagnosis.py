"""Is it the data, or the quantization? The walk-through's test, and how far photographs leave the calibrated ranges.

Calibrating on the very photographs that are scored is the best a calibration set can do. If even that is bad, more data
will not help; if only the study's own set is bad, the set is the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mpsearch.candidate import BASES, Algorithm, Candidate, Scheme
from mpsearch.evaluate import Artifact
from mpsearch.graph.model import ModelGraph
from mpsearch.quant import statistics
from mpsearch.quant.simulator import Simulator
from mpsearch.quant.statistics import Photos
from mpsearch.record import Score

FloatArray = NDArray[np.float32]
ScoreOf = Callable[[Iterator[Mapping[str, FloatArray]]], Score]
BAD_DB = 15.0
"""An output with less signal to noise is bad: the noise has a sixth of the signal's amplitude."""
BAD_NME = 0.05
"""Landmarks that move by more of the distance between the eyes are bad."""
UNREPRESENTATIVE = 1.5
"""The study's set is to blame where its error is so many times that of the scored photographs themselves."""
CLEARLY = 0.5
"""A remedy helps where it leaves at most this share of the error."""
_ROUNDING = 1e-6
"""Of a range's width: float kernels differ by so much."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One way to quantize everything, calibrated on the study's set and on the scored photographs themselves."""

    remedy: str
    candidate: Candidate
    study: Score
    own: Score


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a tensor leaves its calibrated range on the evaluation photographs.

    Attributes:
        beyond: the worst photograph's way out, as a share of the calibrated range's width.
        photographs: how many photographs leave it.
    """

    unit: str
    tensor: str
    calibrated: tuple[float, float]
    seen: tuple[float, float]
    beyond: float
    photographs: int


def remedies(base: str) -> tuple[tuple[str, Candidate], ...]:
    """The base itself, then what may be tried, cheapest first."""
    channels = (("weights", "per_channel"), ("bias_bits", "32"))
    snpe = (
        ("as it is", Candidate(base)),
        ("per-channel weights and 32-bit biases", Candidate(base, options=channels)),
        ("act_calibration entropy beside them", Candidate(base, options=(*channels, ("act_calibration", "entropy")))),
        ("16-bit activations", Candidate("a16w8", options=channels)),
        ("16 bits", Candidate("a16w16", options=channels[1:])),
    )
    synap = (
        ("as it is", Candidate(base)),
        ("per-channel weights", Candidate("int8-pc")),
        ("algorithm kl_divergence", Candidate(base, Algorithm.KL_DIVERGENCE)),
        ("algorithm moving_average", Candidate(base, Algorithm.MOVING_AVERAGE)),
        ("16 bits", Candidate("int16")),
    )
    tried = snpe if BASES[base].scheme is Scheme.ENCODINGS else synap
    return tuple({candidate.digest: (name, candidate) for name, candidate in reversed(tried)}.values())[::-1]


def samples(
    graph: ModelGraph, calibration: Photos, evaluation: Photos, score: ScoreOf, *, base: str, cache: Path | None = None
) -> tuple[Sample, ...]:
    """Every remedy, scored with both calibrations."""
    found: dict[str, list[Score]] = {}
    for photos in (calibration, evaluation):  # one after the other: a simulator keeps much memory
        simulator = Simulator(graph, photos, evaluation, cache=cache)
        for name, candidate in remedies(base):
            batches = simulator.batches(Artifact(candidate, graph.assign(candidate)))
            found.setdefault(name, []).append(score(batches))
    return tuple(Sample(name, candidate, *found[name]) for name, candidate in remedies(base))


def reaches(
    graph: ModelGraph, calibration: Photos, evaluation: Photos, *, cache: Path | None = None
) -> tuple[Reach, ...]:
    """Every unit's worst output, those that leave their range farthest first."""
    known = statistics.measure(graph, calibration, cache=cache)
    seen = statistics.measure(graph, evaluation, cache=cache)
    found = []
    for unit in graph.compute_units:
        worst = max((_reach(unit.name, tensor, known, seen) for tensor in unit.outputs), key=lambda r: r.beyond)
        found.append(worst)
    return tuple(sorted(found, key=lambda reach: -reach.beyond))


def _reach(unit: str, tensor: str, known: statistics.Statistics, seen: statistics.Statistics) -> Reach:
    low, high = known.minmax(tensor)
    rows = seen.extremes[tensor]
    width = max(high - low, float(np.finfo(np.float32).tiny))
    out = np.maximum(np.maximum(low - rows[:, 0], rows[:, 1] - high), 0.0) / width
    out[out < _ROUNDING] = 0.0
    return Reach(unit, tensor, (low, high), seen.minmax(tensor), float(out.max()), int((out > 0).sum()))


def is_bad(score: Score, *, missed: float) -> bool:
    """More faces missed than the share ``missed``, landmarks that move too far, or an output that is mostly noise."""
    moved = score.nme is not None and score.nme > BAD_NME
    noisy = any(output["sqnr_db"] < BAD_DB for output in score.outputs.values())
    return noisy or moved or (score.faces > 0 and score.missed > missed * score.faces)


def verdict(found: Sequence[Sample], far: Sequence[Reach], *, missed: float, input_advice: str = "") -> str:
    """What is wrong and what to try next, in a few sentences.

    Args:
        missed: share of the faces that may be missed.
        input_advice: what the check of the network's input found, "" for nothing.
    """
    base = found[0]
    own, study = base.own.objective, base.study.objective
    if input_advice:
        return f"First the preprocessing: {input_advice}"
    if is_bad(base.own, missed=missed):
        text = "Even calibrated on the very photographs it is scored on it is bad: more data will not help. "
        for sample in found[1:]:
            better = sample.own.objective <= CLEARLY * own
            if better and not is_bad(sample.own, missed=missed):
                return text + f"Next: {sample.remedy} (error {own:.3g} -> {sample.own.objective:.3g})."
        return text + "No single remedy is enough: check means, scale and channel order, then search: mpsearch run."
    if study > UNREPRESENTATIVE * own:
        units = ", ".join(reach.unit for reach in far[:3] if reach.beyond > 0) or "none"
        return (
            f"The calibration photographs are the reason: error {study:.3g}, but {own:.3g} calibrated on the scored "
            f"ones. Add photographs like those scored; units that leave their range farthest: {units}."
        )
    return f"The calibration photographs are good enough: error {study:.3g}, {own:.3g} calibrated on the scored ones."
