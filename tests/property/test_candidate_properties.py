"""Candidates and records: equal meaning is equal bytes, and nothing is lost on the way to JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpsearch import canonical
from mpsearch.candidate import BASES, Algorithm, Candidate, DataType
from mpsearch.record import Failed, Measured, Record, Score, Timing

names = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=1, max_size=12)
types = st.sampled_from(DataType)
candidates = st.builds(
    Candidate,
    base=st.sampled_from(sorted(BASES)),
    algorithm=st.sampled_from(Algorithm),
    overrides=st.dictionaries(names, types, max_size=6).map(lambda d: tuple(d.items())),
    cuts=st.dictionaries(names, st.lists(names, min_size=1, max_size=3).map(tuple), max_size=3).map(
        lambda d: tuple(d.items())
    ),
    dropped=st.lists(names, max_size=3).map(tuple),
    preprocess=st.sampled_from(["cpu", "nv12:1024x768"]),
)
positive = st.floats(1e-6, 1e6)
scores = st.builds(
    Score,
    cell_landmark_mse_px2=st.none() | positive,
    matched_landmark_mse_px2=st.none() | positive,
    objective=positive,
    faces=st.integers(0, 99),
    missed=st.integers(0, 99),
    extra=st.integers(0, 99),
    matched_iou=st.none() | st.floats(0, 1),
    nme=st.none() | positive,
    per_image=st.lists(st.none() | positive, max_size=4).map(tuple),
    outputs=st.dictionaries(names, st.dictionaries(st.sampled_from(["mse", "cosine"]), positive), max_size=2),
)
timings = st.builds(
    Timing,
    samples_ms=st.lists(positive, min_size=1, max_size=5).map(tuple),
    source=st.just("simulated"),
    board=names,
    parts_ms=st.dictionaries(names, positive, max_size=3),
    interval_ms=st.none() | st.tuples(positive, positive),
    correction=st.just(1.0) | positive,
    conditions=st.dictionaries(names, names, max_size=2),
)
outcomes = st.builds(Measured, scores, timings, st.dictionaries(names, names, max_size=2)) | st.builds(
    Failed, names, names, names, st.booleans()
)
records = st.builds(Record, candidates, outcomes, st.dictionaries(names, positive, max_size=3), st.just({"a": "1"}))


@given(candidates)
def test_a_candidate_survives_json(candidate: Candidate) -> None:
    again = Candidate.from_json(json.loads(canonical.dumps(candidate.to_json())))
    assert again == candidate
    assert again.digest == candidate.digest


@given(candidates, st.randoms())
def test_order_and_no_op_overrides_do_not_matter(candidate: Candidate, random: object) -> None:
    overrides = [*candidate.overrides, ("some unit", candidate.base_type)]
    random.shuffle(overrides)  # type: ignore[attr-defined]
    if "some unit" in dict(candidate.overrides):
        return
    shuffled = Candidate(
        candidate.base, candidate.algorithm, tuple(overrides), candidate.cuts[::-1], candidate.dropped[::-1],
        candidate.preprocess,
    )  # fmt: skip
    assert shuffled == candidate
    assert shuffled.digest == candidate.digest


@given(candidates, candidates)
def test_different_candidates_have_different_digests(a: Candidate, b: Candidate) -> None:
    assert (a == b) == (a.digest == b.digest)


@given(records)
def test_a_record_survives_json(record: Record) -> None:
    assert Record.from_json(json.loads(canonical.dumps(record.to_json()))) == record


@given(st.lists(positive, min_size=1, max_size=9))
def test_the_median_is_what_sorting_says(samples: list[float]) -> None:
    median = Timing(tuple(samples), "simulated", "b").median_ms
    below, above = sum(s <= median for s in samples), sum(s >= median for s in samples)
    assert below * 2 >= len(samples)
    assert above * 2 >= len(samples)


@given(st.lists(positive, min_size=1, max_size=40), st.floats(0.01, 1))
def test_a_percentile_is_a_sample_that_so_many_do_not_exceed(samples: list[float], share: float) -> None:
    found = Timing(tuple(samples), "host", "b").percentile_ms(share)
    assert found in samples
    assert sum(s <= found for s in samples) >= share * len(samples) - 1e-6
    assert sum(s < found for s in samples) < share * len(samples)


@given(st.lists(positive, min_size=1, max_size=9), st.floats(0.5, 2))
def test_a_correction_moves_median_and_percentile_and_leaves_the_samples(samples: list[float], factor: float) -> None:
    plain = Timing(tuple(samples), "host", "b")
    corrected = Timing(tuple(samples), "host", "b", correction=factor)
    assert corrected.samples_ms == plain.samples_ms
    assert corrected.median_ms == pytest.approx(plain.median_ms * factor)
    assert corrected.percentile_ms(0.9) == pytest.approx(plain.percentile_ms(0.9) * factor)


@pytest.mark.parametrize("samples", [(), (0.0,), (1.0, -1.0), (float("nan"),), (float("inf"),)])
def test_a_timing_without_true_samples_is_refused(samples: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="positive and finite"):
        Timing(samples, "simulated", "b")


def test_unknown_fields_and_types_are_refused() -> None:
    with pytest.raises(ValueError, match="colour"):
        Candidate.from_json({"base": "uint8", "colour": "red"})
    with pytest.raises(ValueError, match="uint9"):
        Candidate(base="uint9")
