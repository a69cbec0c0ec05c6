"""A candidate's error against the float model, in the study's task (``docs/metric.md``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mpsearch import canonical
from mpsearch.candidate import Candidate
from mpsearch.errors import ConfigError, ModelError
from mpsearch.graph.model import ModelGraph
from mpsearch.images import PhotoSet
from mpsearch.record import Score
from mpsearch.scoring import cutcheck
from mpsearch.scoring.decoders.base import Decoder, Segments
from mpsearch.scoring.detection import PENALTY, DetectionJudge
from mpsearch.scoring.faces import Faces, detect
from mpsearch.scoring.outputs import OutputErrors
from mpsearch.scoring.placement import places_of
from mpsearch.scoring.reference import METRIC_VERSION, float_outputs
from mpsearch.scoring.segmentation import SegmentationJudge
from mpsearch.scoring.shared import SharedJudge, Way, Yardstick, check_alike, check_floats
from mpsearch.task import LANDMARKS, TASKS, Task

FloatArray = NDArray[np.float32]

LEAST_SHARE = 0.5
"""The float model must find something in at least this share of the photographs."""


class Judge(Protocol):
    """Looks at one candidate's outputs, batch after batch."""

    def add(self, batch: Mapping[str, FloatArray], start: int, present: tuple[str, ...]) -> None:
        """Photographs ``start`` onwards; ``present`` are the batch's outputs in the model's order."""

    def score(self, errors: OutputErrors) -> Score:
        """After the last batch.

        Raises:
            CandidateError: nothing is left to score.
        """


class TensorJudge:
    """Looks at nothing but the tensors."""

    def add(self, batch: Mapping[str, FloatArray], start: int, present: tuple[str, ...]) -> None:
        pass

    def score(self, errors: OutputErrors) -> Score:
        return _on_tensors(Score(None, None, 0.0, faces=0, missed=0, extra=0, outputs=errors.summary()), errors)


def _on_tensors(score: Score, errors: OutputErrors) -> Score:
    noise = errors.noise_ppm()
    return replace(
        score, objective=float(noise.mean()), per_image=tuple(float(v) for v in noise), kind=TASKS["tensors"].name
    )


def task_for(decoder: Decoder, objective: str | None = None) -> Task:
    """The task that a study asks for, else what its decoder is made for: landmarks, boxes, segmentation or tensors.

    Raises:
        ConfigError: a task that the decoder cannot serve.
    """
    can = [
        name
        for name, able in (
            (LANDMARKS.name, decoder.points > 0),
            ("boxes", bool(decoder.heads)),
            ("segmentation", isinstance(decoder, Segments)),
            ("tensors", True),
        )
        if able
    ]
    if objective is None:
        return TASKS[can[0]]
    if objective not in can:
        raise ConfigError(
            f"objective {objective!r}: decoder {decoder.name} cannot serve it",
            hint=f"With this decoder: {', '.join(can)}.",
        )
    return TASKS[objective]


class TaskScorer:
    """Implements :class:`mpsearch.evaluate.Scorer`.

    Args:
        photos: the evaluation photographs.
        objective: name of the task; None takes what the decoder is made for.
        cache: folder for the float model's outputs; None runs it in every process.
        face_sizes: declared range (least, most) of the longer side of a face's (object's) box, network px: others may
            be lost with a dropped output. None: every one counts.
        penalty: what a missed face counts, as a share of its squared box diagonal.
        threads: of the float model; 0 lets onnxruntime choose.
        by: another model's scorer on the same photographs: its float version's faces are the truth, and not this
            model's own (:mod:`mpsearch.scoring.shared`).

    Raises:
        ConfigError: an objective that the decoder cannot serve, or models that cannot have one truth.
    """

    def __init__(
        self,
        graph: ModelGraph,
        decoder: Decoder,
        photos: PhotoSet,
        *,
        objective: str | None = None,
        cache: Path | None = None,
        face_sizes: tuple[float, float] | None = None,
        penalty: float = PENALTY,
        threads: int = 0,
        by: TaskScorer | None = None,
    ) -> None:
        self.graph, self.decoder, self.photos = graph, decoder, photos
        self.task = task_for(decoder, objective)
        self.face_sizes, self.penalty, self.by = face_sizes, penalty, by
        self._cache, self._threads = cache, threads
        if by is not None:
            check_alike(graph.path.name, decoder, self.task, by.graph.path.name, by.decoder, by.task)

    def on(self, photos: PhotoSet) -> TaskScorer:
        """The same on other photographs."""
        by = None if self.by is None else self.by.on(PhotoSet(photos.paths, self.by.photos.preprocess))
        return TaskScorer(
            self.graph, self.decoder, photos, objective=self.task.name, cache=self._cache,
            face_sizes=self.face_sizes, penalty=self.penalty, threads=self._threads, by=by,
        )  # fmt: skip

    @property
    def settings(self) -> dict[str, Any]:
        """Everything besides the model that decides a score; plain data."""
        task: dict[str, Any] = {} if self.task is LANDMARKS else {"task": self.task.name}
        if self.by is not None:
            task["by"] = {"model": self.by.graph.digest, **self.by.settings}
        return {
            "metric": METRIC_VERSION[self.task.name],
            "decoder": self.decoder.name,
            "options": dict(self.decoder.options),
            "photos": self.photos.digest,
            "face_sizes": list(self.face_sizes) if self.face_sizes else None,
            "penalty": self.penalty,
            **task,
        }

    @cached_property
    def float_outputs(self) -> Mapping[str, FloatArray]:
        """Model output -> ``[N, ...]`` of the uncut float model, from the cache where possible."""
        return float_outputs(self.graph, self.photos, cache=self._cache, threads=self._threads)

    @cached_property
    def reference(self) -> Faces:
        """The float model's faces or objects; none where the decoder has no cells."""
        return detect(self.decoder, self.float_outputs)

    @cached_property
    def yardstick(self) -> Yardstick | None:
        """What another model's faces are to this one; None where it is judged by its own."""
        if self.by is None:
            return None
        way = Way.between(places_of(self.photos), places_of(self.by.photos))
        return Yardstick(self.by.graph.path.name, self.by.reference, self.by.decoder.eyes, self.reference, way)

    @cached_property
    def floor(self) -> Score:
        """How far the float model itself is from the truth; 0 where that is its own."""
        return self.score(iter([self.float_outputs]))

    @cached_property
    def reference_map(self) -> NDArray[np.int64]:
        """``[N, H, W]`` the float model's class of each pixel.

        Raises:
            TypeError: the decoder makes no map.
        """
        if not isinstance(self.decoder, Segments):
            raise TypeError(f"decoder {self.decoder.name} makes no class map")
        return self.decoder.class_map(self.float_outputs)

    @property
    def telling(self) -> tuple[int, ...]:
        """Photographs in which there is something to be scored by (:attr:`Yardstick.whole`, where another model
        judges)."""
        if not self.decoder.heads:
            return tuple(range(len(self.photos)))
        if self.yardstick is not None:
            return self.yardstick.whole
        return tuple(sorted(set(self.reference.image.tolist())))

    def prepare(self) -> None:
        """Run the float model (or read its cache) and pass what it finds through the float gate.

        Raises:
            ConfigError: nothing found at all, or in fewer than half of the photographs, or one class everywhere: the
                preprocessing, the channel order or the decoder is wrong.
            ModelError: an output of whole numbers, which cannot be quantized.
        """
        self._check_outputs()
        count = len(self.photos)
        if isinstance(self.decoder, Segments):
            if np.ptp(self.reference_map) > 0:
                return
            found = f"one class ({int(self.reference_map.flat[0])}) everywhere in the {count}"
        elif self.yardstick is not None:
            check_floats(self.graph.path.name, self.yardstick, self.task, LEAST_SHARE, self._settings_said)
            return
        elif self.decoder.heads:
            seen = len(self.telling)
            if seen and seen >= LEAST_SHARE * count:
                return
            one, none = ("a face", "no face") if self.decoder.points else ("an object", "no object")
            found = f"{one} in only {seen} of {count}" if seen else f"{none} in any of the {count}"
        else:
            _ = self.float_outputs
            return
        raise ConfigError(
            f"{self.graph.path.name}: the float model finds {found} evaluation photographs", hint=self._settings_said
        )

    @property
    def _settings_said(self) -> str:
        """What to check where the float model finds little."""
        wanted = self.photos.preprocess
        return (
            f"Check the preprocessing (now ({wanted.height}x{wanted.width}, means {wanted.means}, scale "
            f"{wanted.scale})), the channel order (now {wanted.order}), and the decoder (now {self.decoder.name} "
            f"with {canonical.dumps(dict(self.decoder.options))})."
        )

    def _check_outputs(self) -> None:
        for name in self.graph.outputs:
            tensor, made_by = self.graph.tensors[name], self.graph.producer.get(name)
            if not tensor.dtype.startswith("float"):
                before = ", ".join(self.graph.node[made_by].inputs) if made_by else "what it is made from"
                raise ModelError(
                    f"{self.graph.path.name}: output {name!r} is {tensor.dtype}, which cannot be quantized",
                    hint=f"Export the model with {before} as its output; a decoder takes the highest score itself.",
                )

    def check_cut(self, candidate: Candidate) -> None:
        """See :func:`mpsearch.scoring.cutcheck.check_cut`."""
        cutcheck.check_cut(self.graph, self.decoder, self.photos, self.float_outputs, candidate, threads=self._threads)

    def score(self, batches: Iterator[Mapping[str, FloatArray]]) -> Score:
        """Raises:
        CandidateError: outputs that are not finite, or nothing of the reference left in scope.
        ValueError: batches that do not fit the model or the photographs (a bug of the executor).
        """
        errors = OutputErrors(self.float_outputs)
        judge = self._judge()
        start = 0
        for batch in batches:
            size = errors.add(batch, start)
            judge.add(batch, start, errors.present)
            start += size
        if start != len(self.photos):
            raise ValueError(f"{start} photographs in the batches, {len(self.photos)} in the set")
        score = judge.score(errors)
        return _on_tensors(score, errors) if self.task is TASKS["tensors"] else score

    def _judge(self) -> Judge:
        if self.yardstick is not None:
            return SharedJudge(
                self.decoder, self.yardstick, self.task, len(self.photos), sizes=self.face_sizes, penalty=self.penalty
            )
        if self.decoder.heads:
            return DetectionJudge(
                self.decoder, self.reference, len(self.photos),
                boxes=self.task is not LANDMARKS, sizes=self.face_sizes, penalty=self.penalty,
            )  # fmt: skip
        if isinstance(self.decoder, Segments):
            return SegmentationJudge(self.decoder, self.reference_map)
        return TensorJudge()
