"""Accuracy and speed of several models side by side, as the quantization checker's ``results.csv`` has them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpsearch.errors import CandidateError, ConfigError, DataError
from mpsearch.record import Timing
from mpsearch.scoring import placement
from mpsearch.scoring import truth as truths
from mpsearch.scoring.decoders.base import Classifies, Segments
from mpsearch.scoring.faces import detect, join
from mpsearch.scoring.placement import Placement
from mpsearch.scoring.precision import evaluate
from mpsearch.scoring.scorer import TaskScorer
from mpsearch.scoring.truth import Truth

Batches = Iterator[Mapping[str, NDArray[np.float32]]]

LOW = 0.05
"""Detections from this score on count for average precision, which ranks them; below it nothing changes the area."""
AP, AR = "mAP@[IoU=0.50:0.95]", "AR@[IoU=0.50:0.95]"
DETECTION_COLUMNS = ("model_name", "mAP-FPS score", AP, AR, "Avg_confidence", "FPS")
SEGMENTATION_COLUMNS = ("model_name", "mIoU-FPS score", "mIoU", "accuracy", "FPS")


@dataclass(frozen=True, slots=True)
class Subject:
    """One model or candidate.

    Attributes:
        name: in tables and file names.
        scorer: decoder, photographs and the float model behind it.
        outputs: runs it on the photographs.
        timing: looks its latency up or measures it; None where nobody knows.
    """

    name: str
    scorer: TaskScorer
    outputs: Callable[[], Batches]
    timing: Callable[[], Timing | None] = lambda: None


@dataclass(frozen=True, slots=True)
class Result:
    """What was found out about a subject.

    Attributes:
        row: the columns of the task, then others, where FPS come from and what it was compared with; or ``failed``.
        detections: COCO's file as a value; empty for segmentation.
    """

    name: str
    row: Mapping[str, Any]
    detections: Mapping[str, Any] = field(default_factory=dict)


def places_of(scorer: TaskScorer) -> tuple[Placement, ...]:
    """Where each photograph lies in the network's input."""
    return placement.places_of(scorer.photos)


def labels_of(scorer: TaskScorer) -> tuple[str, ...]:
    """Names of the classes; faces, where the decoder tells no classes apart."""
    decoder = scorer.decoder
    return decoder.labels if isinstance(decoder, Classifies | Segments) else ("face",)


def check(scorer: TaskScorer) -> None:
    """Raises:
    ConfigError: a decoder without detections or maps.
    """
    if not scorer.decoder.heads and not isinstance(scorer.decoder, Segments):
        raise ConfigError(
            f"decoder {scorer.decoder.name}: it finds neither boxes nor maps, so there is nothing to count",
            hint="Name the model's decoder (docs/decoders.md).",
        )


def truth_for(scorer: TaskScorer, labels: Path | None) -> Truth:
    """From ``labels``, else the float model's own detections.

    Raises:
        DataError: see :func:`mpsearch.scoring.truth.read`.
    """
    names = [path.name for path in scorer.photos.paths]
    places, classes = places_of(scorer), labels_of(scorer)
    if labels is not None:
        distinct(names)
        return truths.read(labels, names, places, classes)
    return truths.from_float(f"float {scorer.graph.path.name}", scorer.reference, names, places, classes)


def finite(subject: Subject) -> Iterator[tuple[int, Mapping[str, NDArray[np.float32]]]]:
    """The subject's batches, each with the number of its first photograph.

    Raises:
        CandidateError: an output with values that are not finite.
    """
    start = 0
    for batch in subject.outputs():
        size = len(next(iter(batch.values())))
        for name, values in batch.items():
            good = np.isfinite(values.reshape(size, -1)).all(axis=1)
            if not good.all():
                photograph = subject.scorer.photos.paths[start + int(np.argmin(good))].name
                raise CandidateError(f"output {name!r} is not finite for {photograph}", stage="score")
        yield start, batch
        start += size


def speed_of(subject: Subject) -> dict[str, Any]:
    """``FPS`` and ``source``: simulated, board or host; None and "" where nobody knows."""
    timing = subject.timing()
    return {"FPS": 1e3 / timing.median_ms if timing else None, "source": timing.source if timing else ""}


def counted_or_failed(subject: Subject, count: Callable[[Subject], Result]) -> Result:
    """``count(subject)``; where the candidate cannot be built or run, a row that says so: the others still count."""
    try:
        return count(subject)
    except CandidateError as error:
        return Result(subject.name, {"model_name": subject.name, "failed": f"{error.stage}: {error.message}"})


def distinct(names: Sequence[str]) -> None:
    """Raises:
    DataError: two photographs of one name, so that labels cannot be told apart.
    """
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"two photographs are called {twice[0]}", hint="Labels are found by file name: rename one.")


def count_detections(subject: Subject, truth: Truth) -> Result:
    """Average precision and recall, mean confidence, and all detections from a score of 0.05 on.

    Raises:
        SetupError: pycocotools is not installed.
    """
    scorer = subject.scorer
    threshold = min(LOW, scorer.decoder.threshold)
    faces = join(
        [detect(scorer.decoder, batch, first_image=start, threshold=threshold) for start, batch in finite(subject)]
    )
    entries = truths.detections(faces, places_of(scorer), truth.images, truth.category_of)
    counted = evaluate(truth, entries)
    sure = faces.scores[faces.scores >= scorer.decoder.threshold]
    speed = speed_of(subject)
    row = {
        "model_name": subject.name,
        AP: counted.ap,
        AR: counted.ar,
        "Avg_confidence": float(sure.mean()) if len(sure) else None,
        "FPS": speed["FPS"],
        "AP50": counted.ap50,
        "AP75": counted.ap75,
        "detections": len(sure),
        "source": speed["source"],
        "truth": truth.source,
    }
    info = {"model_name": subject.name, "gt_labels": truth.source, "FPS": -1 if row["FPS"] is None else row["FPS"]}
    file = {"info": info, "images": truth.images, "categories": truth.categories, "annotations": entries}
    return Result(subject.name, row, file)


def scored(results: Sequence[Result], accuracy: str) -> list[dict[str, Any]]:
    """The rows with ``<accuracy>-FPS score``: accuracy * FPS / max(FPS), best first; None without one of them."""
    column = f"{accuracy.partition('@')[0]}-FPS score"
    fastest = max((fps for result in results if (fps := result.row.get("FPS")) is not None), default=None)
    rows = []
    for result in results:
        share, fps = result.row.get(accuracy), result.row.get("FPS")
        score = None if share is None or fps is None or not fastest else share * fps / fastest
        name, rest = result.row["model_name"], {k: v for k, v in result.row.items() if k != "model_name"}
        rows.append({"model_name": name, column: score, **rest})
    return sorted(rows, key=lambda row: -1.0 if row[column] is None else -1.0 - row[column])


def write(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str], results: Sequence[Result], out: Path
) -> list[Path]:
    """``results.csv`` with ``columns`` (numbers to four digits, FPS -1 where unknown, as the checker has it), and for
    each result with detections a COCO file.

    Raises:
        ConfigError: ``out`` cannot be written.
    """
    files = [out / "results.csv"]
    try:
        out.mkdir(parents=True, exist_ok=True)
        with files[0].open("w", encoding="utf-8", newline="") as target:
            writer = csv.DictWriter(target, columns, extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            for row in rows:
                plain = {k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}
                writer.writerow({**plain, "FPS": -1 if row.get("FPS") is None else plain["FPS"]})
        for result in results:
            if result.detections:
                files.append(out / f"{file_name(result.name)}.json")
                files[-1].write_text(json.dumps(result.detections), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{out}: cannot be written: {error.strerror or error}") from error
    return files


def file_name(name: str) -> str:
    """``name`` with what file systems dislike replaced."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name)


def unique(subjects: Sequence[Subject]) -> None:
    """Raises:
    DataError: two subjects would write the same file.
    """
    names = [file_name(subject.name) for subject in subjects]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"two models have the name {', '.join(twice)}", hint="Rename one of the files.")
