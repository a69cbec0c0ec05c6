"""Average precision and recall by pycocotools, as COCO defines them."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mpsearch.errors import SetupError
from mpsearch.scoring.truth import Truth


@dataclass(frozen=True, slots=True)
class Precision:
    """COCO's summary over all areas with at most 100 detections a photograph; None where there is nothing to find.

    Attributes:
        ap: mean over IoU 0.50 ... 0.95 and categories; ``ap50`` and ``ap75`` at one IoU.
        ar: recall, mean over the same.
    """

    ap: float | None
    ap50: float | None
    ap75: float | None
    ar: float | None


def evaluate(truth: Truth, detections: Sequence[Mapping[str, Any]]) -> Precision:
    """``detections`` as :func:`mpsearch.scoring.truth.detections` gives them; only labelled images and compared
    categories count.

    Raises:
        SetupError: pycocotools is not installed.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise SetupError("average precision needs pycocotools", hint="pip install 'mpsearch[coco]'") from error

    def table(annotations: Sequence[Mapping[str, Any]]) -> Any:
        found = COCO()
        found.dataset = {
            "images": [dict(image) for image in truth.images],
            "categories": [dict(category) for category in truth.categories],
            "annotations": [dict(annotation) for annotation in annotations],
        }
        found.createIndex()
        return found

    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools talks to stdout, which is for data
        run = COCOeval(table(truth.annotations), table([{**d, "iscrowd": 0} for d in detections]), "bbox")
        run.params.imgIds = list(truth.labelled)
        run.params.catIds = sorted(truth.compared)
        run.evaluate()
        run.accumulate()
        run.summarize()
    ap, ap50, ap75, ar = (float(run.stats[index]) for index in (0, 1, 2, 8))
    return Precision(*(value if value >= 0 else None for value in (ap, ap50, ap75, ar)))  # -1: nothing to find
