"""The objective: how far a candidate moves landmarks from where the float model puts them (``docs/metric.md``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpsearch import canonical
from mpsearch.candidate import Candidate
from mpsearch.errors import CandidateError, ConfigError
from mpsearch.graph.model import ModelGraph
from mpsearch.images import PhotoSet
from mpsearch.record import Score
from mpsearch.scoring import cutcheck
from mpsearch.scoring.decoders.base import Decoder, head_of
from mpsearch.scoring.faces import Faces, Float64, detect, join
from mpsearch.scoring.matching import Matches, match
from mpsearch.scoring.outputs import OutputErrors
from mpsearch.scoring.reference import METRIC_VERSION, float_outputs

FloatArray = NDArray[np.float32]

PENALTY = 0.25
"""What a missed face counts, as a share of its squared box diagonal."""
LEAST_SHARE = 0.5
"""The float model must find a face in at least this share of the photographs."""
NME_WITHOUT_EYES = 0.3
"""Share of the box diagonal that stands for the distance between the eyes where the landmarks have none."""


class LandmarkScorer:
    """Implements :class:`mpsearch.evaluate.Scorer`.

    Args:
        photos: the evaluation photographs.
        cache: folder for the float model's outputs; None runs it in every process.
        face_sizes: declared range (least, most) of the longer side of a face's box, network px: faces outside it may
            be lost with a dropped output. None: every face counts.
        penalty: what a missed face counts, as a share of its squared box diagonal.
        threads: of the float model; 0 lets onnxruntime choose.
    """

    def __init__(
        self,
        graph: ModelGraph,
        decoder: Decoder,
        photos: PhotoSet,
        *,
        cache: Path | None = None,
        face_sizes: tuple[float, float] | None = None,
        penalty: float = PENALTY,
        threads: int = 0,
    ) -> None:
        self.graph, self.decoder, self.photos = graph, decoder, photos
        self.face_sizes, self.penalty = face_sizes, penalty
        self._cache, self._threads = cache, threads

    @property
    def settings(self) -> dict[str, Any]:
        """Everything besides the model that decides a score; plain data."""
        return {
            "metric": METRIC_VERSION,
            "decoder": self.decoder.name,
            "options": dict(self.decoder.options),
            "photos": self.photos.digest,
            "face_sizes": list(self.face_sizes) if self.face_sizes else None,
            "penalty": self.penalty,
        }

    @cached_property
    def float_outputs(self) -> Mapping[str, FloatArray]:
        """Model output -> ``[N, ...]`` of the uncut float model, from the cache where possible."""
        return float_outputs(self.graph, self.photos, cache=self._cache, threads=self._threads)

    @cached_property
    def reference(self) -> Faces:
        """The float model's faces."""
        return detect(self.decoder, self.float_outputs)

    def prepare(self) -> None:
        """Run the float model (or read its cache) and pass its faces through the float gate.

        Raises:
            ConfigError: no face at all, or faces in fewer than half of the photographs: the preprocessing, the
                channel order or the decoder is wrong. Also a decoder with cells but without landmarks.
        """
        if not self.decoder.heads:
            _ = self.float_outputs
            return
        if not self.decoder.points:
            raise ConfigError(f"decoder {self.decoder.name}: it finds faces without landmarks: nothing to score")
        seen = len(np.unique(self.reference.image))
        if seen and seen >= LEAST_SHARE * len(self.photos):
            return
        found = f"a face in only {seen} of {len(self.photos)}" if seen else f"no face in any of the {len(self.photos)}"
        options = canonical.dumps(dict(self.decoder.options))
        wanted = self.photos.preprocess
        raise ConfigError(
            f"{self.graph.path.name}: the float model finds {found} evaluation photographs",
            hint=f"Check the preprocessing (now ({wanted.height}x{wanted.width}, means {wanted.means}, scale "
            f"{wanted.scale})), the channel order (now {wanted.order}), and the decoder (now {self.decoder.name} "
            f"with {options}).",
        )

    def check_cut(self, candidate: Candidate) -> None:
        """See :func:`mpsearch.scoring.cutcheck.check_cut`."""
        cutcheck.check_cut(self.graph, self.decoder, self.photos, self.float_outputs, candidate, threads=self._threads)

    def score(self, batches: Iterator[Mapping[str, FloatArray]]) -> Score:
        """Raises:
        CandidateError: outputs that are not finite, or no reference face left in scope.
        ValueError: batches that do not fit the model or the photographs (a bug of the executor).
        """
        errors = OutputErrors(self.float_outputs)
        reference = self.reference
        cell_px2 = np.full(len(reference), np.nan)
        found: list[Faces] = []
        start = 0
        for batch in batches:
            size = errors.add(batch, start)
            if self.decoder.heads:
                mine = (reference.image >= start) & (reference.image < start + size) & self._alive(errors.present)
                faces = reference.where(mine)
                _, landmarks = self.decoder.decode(batch, faces.image - start, faces.cell)
                cell_px2[mine] = squared_px2(landmarks, faces.landmarks)
                found.append(detect(self.decoder, batch, first_image=start))
            start += size
        if start != len(self.photos):
            raise ValueError(f"{start} photographs in the batches, {len(self.photos)} in the set")
        if not self.decoder.heads:
            return self._score_outputs(errors)
        return self._score_faces(cell_px2, join(found), errors)

    def _alive(self, present: tuple[str, ...]) -> NDArray[np.bool_]:
        """[reference faces] whether the face's cell is still computed."""
        heads = self.decoder.heads
        return np.array([head.present(present) for head in heads])[head_of(heads, self.reference.cell)]

    def _score_outputs(self, errors: OutputErrors) -> Score:
        per_image = errors.per_image_mse()
        return Score(
            cell_landmark_mse_px2=None,
            matched_landmark_mse_px2=None,
            objective_px2=float(per_image.mean()),
            faces=0,
            missed=0,
            extra=0,
            per_image_px2=tuple(float(value) for value in per_image),
            outputs=errors.summary(),
        )

    def _score_faces(self, cell_px2: Float64, detected: Faces, errors: OutputErrors) -> Score:
        reference = self.reference
        alive = self._alive(errors.present)
        low, high = self.face_sizes or (0.0, np.inf)
        scope = alive | ((reference.sizes_px >= low) & (reference.sizes_px <= high))
        if not scope.any():
            raise CandidateError("every reference face went with the dropped outputs", stage="score")
        penalty = self.penalty * reference.diagonals_px**2
        # All reference faces take part in the matching, so that a face found elsewhere is not called extra.
        matches = match(reference, detected)
        good = scope & alive & (matches.found >= 0)
        pairs = reference.where(good), detected.where(matches.found[good])
        matched_px2 = squared_px2(pairs[1].landmarks, pairs[0].landmarks)
        if self.decoder.anchored:
            objective = np.where(alive, cell_px2, penalty)
        else:
            objective = penalty.copy()
            objective[good] = matched_px2
        return Score(
            cell_landmark_mse_px2=float(objective[scope].mean()) if self.decoder.anchored else None,
            matched_landmark_mse_px2=float(matched_px2.mean()) if good.any() else None,
            objective_px2=float(objective[scope].mean()),
            faces=int(scope.sum()),
            missed=int((scope & ~good).sum()),
            extra=matches.extra,
            matched_iou=_mean_iou(matches, good),
            nme=float(nme(*pairs, self.decoder.eyes).mean()) if good.any() else None,
            per_image_px2=per_image(reference.image[scope], objective[scope], len(self.photos)),
            outputs=errors.summary(),
        )


def _mean_iou(matches: Matches, good: NDArray[np.bool_]) -> float | None:
    return float(matches.iou[good].mean()) if good.any() else None


def squared_px2(a: Float64, b: Float64) -> Float64:
    """[n] mean over the points of the squared distance of landmarks ``[n, points, 2]``, px^2."""
    squared: Float64 = ((a - b) ** 2).sum(axis=2).mean(axis=1)
    return squared


def nme(reference: Faces, found: Faces, eyes: tuple[int, int] | None) -> Float64:
    """[n] mean point distance over the distance between the reference's outer eye points; where the decoder has no
    eyes, or both lie on one spot, over 0.3 box diagonals."""
    distance = np.linalg.norm(found.landmarks - reference.landmarks, axis=2).mean(axis=1)
    unit = NME_WITHOUT_EYES * reference.diagonals_px
    if eyes is not None:
        apart = np.linalg.norm(reference.landmarks[:, eyes[0]] - reference.landmarks[:, eyes[1]], axis=1)
        unit = np.where(apart > 0, apart, unit)
    relative: Float64 = distance / unit
    return relative


def per_image(images: NDArray[np.int64], values: Float64, count: int) -> tuple[float | None, ...]:
    """Mean of ``values`` for each of ``count`` photographs, None where there is none."""
    faces = np.bincount(images, minlength=count)
    sums = np.bincount(images, weights=values, minlength=count)
    return tuple(float(total / number) if number else None for total, number in zip(sums, faces, strict=True))
