"""The cheap rung on the host: the simulator and the study's own scorer, on a few photographs."""

from __future__ import annotations

import json
from pathlib import Path

from mpsearch import canonical, quant
from mpsearch.candidate import Candidate
from mpsearch.errors import CandidateError
from mpsearch.evaluate import Artifact
from mpsearch.images import PhotoSet
from mpsearch.quant.simulator import Simulator
from mpsearch.scoring.landmarks import LandmarkScorer

COUNT = 4


class FewPhotographs:
    """Landmark error over the first few evaluation photographs with faces in them.

    Args:
        scorer: of all evaluation photographs.
        cache: folder for calibration statistics and for errors; None keeps them in memory.

    Attributes:
        cost: photographs of one call as a share of all.
    """

    def __init__(
        self,
        scorer: LandmarkScorer,
        calibration: PhotoSet,
        *,
        cache: Path | None,
        count: int = COUNT,
        threads: int = 0,
    ) -> None:
        graph, every = scorer.graph, scorer.photos
        seen = sorted(set(scorer.reference.image.tolist())) if scorer.decoder.heads else range(len(every))
        chosen = [every.paths[index] for index in list(seen)[:count]]
        photos = PhotoSet(chosen, every.preprocess)
        self.cost = len(photos) / len(every)
        self._graph = graph
        self._scorer = LandmarkScorer(
            graph, scorer.decoder, photos, cache=cache, face_sizes=scorer.face_sizes, penalty=scorer.penalty,
            threads=threads,
        )  # fmt: skip
        self._simulator = Simulator(graph, calibration, photos, cache=cache, threads=threads)
        self._path: Path | None = None
        if cache is not None:
            parts = [quant.VERSION, graph.digest, calibration.digest, self._scorer.settings]
            self._path = cache / f"few-{canonical.digest(parts)[:16]}.json"
        self.known: dict[str, float | None] = _read(self._path)

    def __call__(self, candidate: Candidate) -> float | None:
        """px^2; None for a candidate that cannot be scored."""
        if candidate.digest not in self.known:
            artifact = Artifact(candidate, self._graph.assign(candidate))
            try:
                error: float | None = self._scorer.score(self._simulator.batches(artifact)).objective_px2
            except CandidateError:
                error = None
            self.known[candidate.digest] = error
            if self._path is not None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                temporary = self._path.with_suffix(".tmp")
                temporary.write_text(json.dumps(self.known))
                temporary.replace(self._path)
        return self.known[candidate.digest]


def _read(path: Path | None) -> dict[str, float | None]:
    """An unreadable cache costs time only."""
    if path is None or not path.exists():
        return {}
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return {str(key): value for key, value in found.items()} if isinstance(found, dict) else {}
