"""Which kinds of layers quantization harms, over several models, and how sure that is.

A layer's error is ``log10(1 - CosSim)``. Errors grow with depth and differ from model to model, so each layer is held
against what is usual at its depth in its own model: a straight line through that model's layers. What is left over, the
*excess*, is averaged by kind; 10 ** excess is the factor by which the kind is worse (or, below 1, better) than usual.
How sure: the models are drawn with replacement, and of each drawn model its layers; the share of 2000 such draws in
which the kind comes out worse, and the middle 95 % of the factor. With one model only its layers can be drawn, so that
says nothing about other models, and the row's ``models`` shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from mpsearch.errors import DataError
from mpsearch.layers.tables import Entry, Table

Float64 = NDArray[np.float64]
Mask = NDArray[np.bool_]
LEAST_ERROR = 1e-7
"""What float32 can still tell from an exact match."""
DRAWS = 2000
LEAST_LAYERS = 3
"""A kind with fewer layers in all is not ranked."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of layer.

    Attributes:
        by: ``op``, ``after`` (the activation in front) or ``position``.
        factor: error over what is usual at that depth, geometric mean; by position over the model's own mean.
        low, high: middle 95 % of the factor over the draws.
        worse: share of the draws in which the factor is above 1.
        models, worse_in: models that have such layers, and in how many of them the factor is above 1.
        median_cosine: over all its layers.
        worst: the layer with the greatest excess, as ``model: layer``.
    """

    by: str
    kind: str
    layers: int
    models: int
    worse_in: int
    factor: float
    low: float
    high: float
    worse: float
    median_cosine: float
    worst: str

    @property
    def verdict(self) -> str:
        """``worse`` or ``better`` where the 95 % interval leaves no doubt, else ``open``."""
        return "worse" if self.low > 1 else "better" if self.high < 1 else "open"


@dataclass(frozen=True, slots=True)
class _Model:
    """One table's layers that have a cosine: their errors, and their excess over the line."""

    name: str
    entries: tuple[Entry, ...]
    errors: Float64
    excess: Float64


def across(tables: Sequence[Table], *, seed: int = 0) -> tuple[Kind, ...]:
    """Kinds by how sure and how much they are worse: the lower end of the interval first.

    Raises:
        DataError: no table, or one without any cosine.
    """
    models = [_model(table) for table in tables]
    if not models:
        raise DataError("no run to look at", hint="Name files of: mpsearch profile MODEL --layers --out FILE")
    weights = _draws(models, np.random.default_rng(seed))
    found = [kind for by, name, member in _kinds(models) if (kind := _judge(by, name, models, member, weights))]
    return tuple(sorted(found, key=lambda kind: (-kind.low, -kind.factor, kind.by, kind.kind)))


def _model(table: Table) -> _Model:
    entries = tuple(entry for entry in table.entries if entry.values["CosSim"] is not None)
    if not entries:
        raise DataError(f"{table.name}: no layer has a CosSim")
    cosines = np.array([entry.values["CosSim"] for entry in entries], np.float64)
    errors = np.log10(np.maximum(1 - cosines, LEAST_ERROR))
    depth = np.array([entry.position for entry in entries])
    design = np.stack([np.ones_like(depth), depth], axis=1)
    line = design @ np.linalg.lstsq(design, errors, rcond=None)[0]
    return _Model(table.name, entries, errors, errors - line)


def _kinds(models: Sequence[_Model]) -> Iterator[tuple[str, str, Mask]]:
    """``(by, kind, which of all models' layers are of it)``."""
    ways: Mapping[str, Callable[[Entry], str]] = {
        "op": lambda entry: entry.op_type,
        "after": lambda entry: f"{entry.op_type} after {entry.after}" if entry.after and entry.op_type else "",
        "position": lambda entry: ("first third", "middle third", "last third")[min(2, int(entry.position * 3))],
    }
    entries = [entry for model in models for entry in model.entries]
    for by, way in ways.items():
        names = np.array([way(entry) for entry in entries])
        for name in dict.fromkeys(names.tolist()):
            if name:
                yield by, name, names == name


def _draws(models: Sequence[_Model], rng: np.random.Generator) -> Float64:
    """``[draws, all layers]``: how often each layer was drawn."""
    counts = [len(model.entries) for model in models]
    starts = np.cumsum([0, *counts[:-1]])
    weights = np.zeros((DRAWS, sum(counts)))
    for row in weights:
        for chosen in rng.integers(0, len(models), len(models)):
            layers = starts[chosen] + rng.integers(0, counts[chosen], counts[chosen])
            row += np.bincount(layers, minlength=len(row))
    return weights


def _judge(by: str, name: str, models: Sequence[_Model], member: Mask, weights: Float64) -> Kind | None:
    if member.sum() < LEAST_LAYERS:
        return None
    # A line through depth would take a position's own effect away.
    excess = np.concatenate([m.errors - m.errors.mean() if by == "position" else m.excess for m in models])
    drawn = weights[:, member].sum(axis=1)
    means = (weights[:, member] @ excess[member])[drawn > 0] / drawn[drawn > 0]
    low, high = np.percentile(means, (2.5, 97.5))
    model_of = np.repeat(np.arange(len(models)), [len(model.entries) for model in models])
    own = [excess[member & (model_of == index)].mean() for index in np.unique(model_of[member])]
    layers = [f"{model.name}: {entry.layer}" for model in models for entry in model.entries]
    cosines = [entry.values["CosSim"] for model in models for entry in model.entries]
    return Kind(
        by=by,
        kind=name,
        layers=int(member.sum()),
        models=len(own),
        worse_in=sum(bool(mean > 0) for mean in own),
        factor=float(10 ** excess[member].mean()),
        low=float(10**low),
        high=float(10**high),
        worse=float((means > 0).mean()),
        median_cosine=float(np.median(np.array(cosines, np.float64)[member])),
        worst=layers[int(np.argmax(np.where(member, excess, -np.inf)))],
    )


def agreement(first: Table, second: Table) -> tuple[int, float] | None:
    """Whether two runs of one network find the same layers bad: how many layers both have, and Spearman's rank
    correlation of their cosines; None with fewer than 3 or where it is not defined."""
    theirs = {entry.layer: entry.values["CosSim"] for entry in second.entries}
    pairs = [(entry.values["CosSim"], theirs.get(entry.layer)) for entry in first.entries]
    known = [(a, b) for a, b in pairs if a is not None and b is not None]
    if len(known) < LEAST_LAYERS or any(len({pair[side] for pair in known}) == 1 for side in (0, 1)):
        return None
    return len(known), float(spearmanr([a for a, _ in known], [b for _, b in known]).statistic)
