"""A study's scorer: the decoder that it names, on its evaluation photographs, by its own float version's faces or by
those of another model (``reference:`` of a study with several)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mpsearch import photographs
from mpsearch.config import Study
from mpsearch.errors import ConfigError
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.read import read
from mpsearch.images import PhotoSet
from mpsearch.scoring import decoders
from mpsearch.scoring.scorer import TaskScorer

Say = Callable[[str], None]


def open_scorer(study: Study, graph: ModelGraph, evaluation: PhotoSet, *, cache: Path | None, say: Say) -> TaskScorer:
    """Ready to score: the float models have run, and have passed the float gate.

    Raises:
        ConfigError, DataError, ModelError: with the file, the thing and the next step.
    """
    by = None
    if study.kin is not None:
        other = study.kin.reference
        theirs = read(other.model, input_shape=other.input.shape)
        by = _scorer(other, theirs, photographs.photo_set(other, theirs, "evaluation"), cache, None)
        try:
            by.prepare()
        except ConfigError as error:
            error.message = f"reference: {error.message}"
            raise
    scorer = _scorer(study, graph, evaluation, cache, by)
    scorer.prepare()
    if by is not None:
        for line in _distance(study, scorer, by):
            say(line)
    return scorer


def _scorer(
    study: Study, graph: ModelGraph, evaluation: PhotoSet, cache: Path | None, by: TaskScorer | None
) -> TaskScorer:
    options = dict(study.decoder)
    decoder = decoders.create(options.pop("name"), graph, options)
    return TaskScorer(
        graph, decoder, evaluation, objective=study.objective, cache=cache, face_sizes=study.face_sizes, by=by
    )  # fmt: skip


def _distance(study: Study, scorer: TaskScorer, by: TaskScorer) -> tuple[str, ...]:
    """How far the model is from its reference before anything is quantized."""
    floor, limits = scorer.floor, study.limits
    things = floor.task.things
    if scorer.graph.digest == by.graph.digest:
        return (f"{study.title}: the reference, {floor.faces} {things} in {len(scorer.telling)} photographs",)
    lines = [
        f"{study.title}: {floor.task.error} of its float version {floor.task.show(floor.objective)} from "
        f"{by.graph.path.name}; {floor.missed} of {floor.faces} {things} missed, {floor.extra} extra"
    ]
    for name, count in (("missed", floor.missed), ("extra", floor.extra)):
        share = getattr(limits, name)
        if count > share * floor.faces:
            lines.append(
                f"warning: {study.title}: its float version has more {name} than limits.{name} ({share:.0%}) allows; "
                "few of its candidates, if any, can be within the limits"
            )
    return tuple(lines)
