"""The cheap rung on the host: the simulator and the study's own scorer, on a few photographs."""

from __future__ import annotations

import json
from pathlib import Path

from mpsearch import canonical, quant
from mpsearch.candidate import Candidate
from mpsearch.errors import CandidateError
from mpsearch.evaluate import Artifact
from mpsearch.files import publish
from mpsearch.images import PhotoSet
from mpsearch.quant.simulator import Simulator
from mpsearch.scoring.scorer import TaskScorer

COUNT = 4


class FewPhotographs:
    """Error over the first few evaluation photographs with something in them to score.

    Args:
        scorer: of all evaluation photographs.
        cache: folder for calibration statistics and for errors; None keeps them in memory.

    Attributes:
        cost: photographs of one call as a share of all.
        simulator: of those photographs, calibrated as the study's.
    """

    def __init__(
        self,
        scorer: TaskScorer,
        calibration: PhotoSet,
        *,
        cache: Path | None,
        count: int = COUNT,
        threads: int = 0,
    ) -> None:
        graph, every = scorer.graph, scorer.photos
        chosen = [every.paths[index] for index in scorer.telling[:count]]
        photos = PhotoSet(chosen, every.preprocess)
        self.cost = len(photos) / len(every)
        self._graph = graph
        self._scorer = scorer.on(photos)
        self.simulator = Simulator(graph, calibration, photos, cache=cache, threads=threads)
        self._path: Path | None = None
        if cache is not None:
            parts = [quant.VERSION, graph.digest, calibration.digest, self._scorer.settings]
            self._path = cache / f"few-{canonical.digest(parts)[:16]}.json"
        self.known: dict[str, float | None] = _read(self._path)

    def __call__(self, candidate: Candidate) -> float | None:
        """In the task's unit; None for a candidate that cannot be scored."""
        if candidate.digest not in self.known:
            artifact = Artifact(candidate, self._graph.assign(candidate))
            try:
                error: float | None = self._scorer.score(self.simulator.batches(artifact)).objective
            except CandidateError:
                error = None
            self.known[candidate.digest] = error
            if self._path is not None:
                self.known = {**_read(self._path), **self.known}  # what other workers have learnt meanwhile
                publish(self._path, lambda part: part.write_text(json.dumps(self.known)))
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
