"""Whether the data or the quantization is to blame, and what to try next."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from mpsearch.candidate import Candidate
from mpsearch.graph.read import read
from mpsearch.images import PhotoSet, Preprocess
from mpsearch.quant.diagnosis import BAD_DB, Reach, Sample, reaches, remedies, samples, verdict
from mpsearch.record import Score
from mpsearch.scoring import decoders
from mpsearch.scoring.inputs import Feeding, advice
from mpsearch.scoring.scorer import TaskScorer
from mpsearch.testing.models import save, small_detector


def score(error: float, *, missed: int = 0, sqnr_db: float = 30.0, nme: float = 0.01) -> Score:
    return Score(None, None, error, 10, missed, 0, nme=nme, outputs={"y": {"sqnr_db": sqnr_db}})


def tried(*pairs: tuple[Score, Score]) -> list[Sample]:
    named = zip(remedies("uint8"), pairs, strict=False)
    return [Sample(name, candidate, study, own) for (name, candidate), (study, own) in named]


FAR = [Reach("conv_9", "t9", (0.0, 1.0), (-1.0, 2.0), 1.0, 3)]


def test_remedies_are_tried_in_the_order_per_channel_algorithm_bits_and_none_twice() -> None:
    assert [candidate.base for _, candidate in remedies("uint8")] == ["uint8", "int8-pc", "uint8", "uint8", "int16"]
    assert [candidate for _, candidate in remedies("int8-pc")].count(Candidate("int8-pc")) == 1
    assert [candidate.base for _, candidate in remedies("a8w8")] == ["a8w8", "a8w8", "a8w8", "a16w8", "a16w16"]


def test_a_set_unlike_the_scored_photographs_is_named_as_the_reason() -> None:
    text = verdict(tried((score(3.0), score(1.0))), FAR, missed=0.05)
    assert "calibration photographs are the reason" in text
    assert "conv_9" in text


def test_a_good_set_is_called_good() -> None:
    assert "good enough" in verdict(tried((score(1.1), score(1.0))), FAR, missed=0.05)


def test_where_even_the_scored_photographs_are_not_enough_the_first_remedy_that_works_is_named() -> None:
    bad, good = score(50.0, missed=5), score(0.1)
    text = verdict(tried((bad, bad), (bad, score(40.0)), (good, good)), FAR, missed=0.05)
    assert "more data will not help" in text
    assert "algorithm kl_divergence" in text
    for broken in (score(50.0, sqnr_db=3.0), score(50.0, nme=0.3)):
        assert "No single remedy" in verdict(tried((broken, broken)), FAR, missed=0.05)


def test_wrong_preprocessing_comes_first() -> None:
    fed = [Feeding("as it is", 3, 2, 1.0), Feeding("channel order bgr", 9, 5, 7.0)]
    assert "channel order bgr" in verdict(tried((score(9), score(1))), FAR, missed=0.05, input_advice=advice(fed))
    assert advice([Feeding("as it is", 9, 5, 7.0), Feeding("channel order bgr", 9, 5, 7.1)]) == ""


def test_brighter_photographs_leave_the_ranges_and_the_diagnosis_says_so(tmp_path: Path) -> None:
    graph = read(save(small_detector(), tmp_path / "model.onnx"))
    shape = graph.tensors[graph.inputs[0]].shape
    rng = np.random.default_rng(0)
    sets = {}
    for name, most in {"dark": 40, "bright": 255}.items():
        paths = []
        for index in range(3):
            coarse = Image.fromarray(rng.integers(0, most, (6, 6, 3), dtype=np.uint8))
            paths.append(tmp_path / f"{name}{index}.png")
            coarse.resize((shape[3], shape[2]), Image.Resampling.BICUBIC).save(paths[-1])
        sets[name] = PhotoSet(paths, Preprocess(shape[2], shape[3]))
    scorer = TaskScorer(graph, decoders.create("tensors", graph, {}), sets["bright"])
    far = reaches(graph, sets["dark"], sets["bright"])
    assert far[0].beyond > 0.5
    assert [reach.beyond for reach in far] == sorted((reach.beyond for reach in far), reverse=True)
    assert all(reach.beyond == reach.photographs == 0 for reach in reaches(graph, sets["dark"], sets["dark"]))
    found = samples(graph, sets["dark"], sets["bright"], scorer.score, base="uint8")
    assert found[0].study.objective > 2 * found[0].own.objective
    assert min(output["sqnr_db"] for output in found[0].own.outputs.values()) > BAD_DB
    assert "calibration photographs are the reason" in verdict(found, far, missed=0.05)
