"""What the engine prints, and what is made of two judges' errors."""

from __future__ import annotations

import pytest

from mpsearch.candidate import Candidate
from mpsearch.errors import ConfigError
from mpsearch.pareto.front import Trial
from mpsearch.record import Failed, Measured, Record, Score, Timing
from mpsearch.toolchain.acuity import agreement
from mpsearch.toolchain.acuity.worker import performance

PRINTED = """
===========================
**********Show Perf********
===========================
layer_id:5 layer_name:ConvolutionReluPoolingLayer2
operation_id:0 operation_name:VXNNE_OPERATOR_RESHUFFLE operation_target:VXNNE_OPERATION_TARGET_TP
0) downstream_operation_id:1 downstream_operation_name:VXNNE_OPERATOR_CONVOLUTION (downstream_layer_id:5)
ReadBW: 29696
CycleCount: 25796

===============================
**********Show Perf End********
===============================
TotalTPCores: 8
**********Show Perf********
layer_id:5 layer_name:ConvolutionReluPoolingLayer2
operation_id:1 operation_name:VXNNE_OPERATOR_CONVOLUTION operation_target:VXNNE_OPERATION_TARGET_NN
CycleCount: 851
**********Show Perf End********
**********Show Perf********
operation_id:2 operation_name:VXNNE_OPERATOR_CONVOLUTION operation_target:VXNNE_OPERATION_TARGET_NN
CycleCount: 149
**********Show Perf End********
**********Show Perf********
operation_id:3 operation_name:VXNNE_OPERATOR_CONVOLUTION operation_target:VXNNE_OPERATION_TARGET_NN
"""


def test_cycles_are_read_by_operation() -> None:
    found = performance.operations(PRINTED)
    assert found == [
        ("ConvolutionReluPoolingLayer2", "TP:RESHUFFLE", 25796),
        ("ConvolutionReluPoolingLayer2", "NN:CONVOLUTION", 851),
        ("", "NN:CONVOLUTION", 149),
    ]


@pytest.mark.parametrize("text", ["", "CycleCount: 3\n", "*Show Perf*\nnothing\n*Show Perf End*"])
def test_without_blocks_there_are_no_cycles(text: str) -> None:
    assert performance.operations(text) == []


def trial(number: int, latency_ms: float, error: float | None) -> Trial:
    candidate = Candidate("uint8", preprocess=f"nv12:{number}x1")
    if error is None:
        return Trial(number, Record(candidate, Failed("build", "CandidateError", "refused")))
    score = Score(error, error, error, 1, 0, 0)
    return Trial(number, Record(candidate, Measured(score, Timing((latency_ms,), "simulated", "vs680"))))


TRIALS = [trial(i, 10.0 + i, 100.0 / (i + 1)) for i in range(6)] + [trial(6 + i, 30.0, 50.0 + i) for i in range(9)]


def test_the_front_is_judged_and_a_sample_spread_over_the_errors_of_the_rest() -> None:
    chosen = agreement.choose([*TRIALS, trial(99, 1.0, None)], sample=3, most=None, seed=0)
    assert [t.number for t, on_front in chosen if on_front] == [0, 1, 2, 3, 4, 5]
    sampled = [t.number for t, on_front in chosen if not on_front]
    assert [number // 3 for number in sampled] == [2, 3, 4]  # one of each third
    assert chosen == agreement.choose([*TRIALS, trial(99, 1.0, None)], sample=3, most=None, seed=0)


def test_a_long_front_is_thinned_from_end_to_end() -> None:
    chosen = agreement.choose(TRIALS, sample=0, most=3, seed=0)
    assert [t.number for t, _ in chosen] == [0, 2, 5]
    assert len(agreement.choose(TRIALS, sample=0, most=1, seed=0)) == 1


def test_a_study_without_measurements_has_nothing_to_judge() -> None:
    with pytest.raises(ConfigError, match="no measured trial"):
        agreement.choose([trial(0, 1.0, None)], sample=3, most=None, seed=0)


def test_judges_that_agree_are_told_from_judges_that_do_not() -> None:
    same = [(1.0, 2.0), (10.0, 20.0), (100.0, 200.0)]
    assert agreement.summary(same) == {
        "candidates": 3,
        "spearman": 1.0,
        "kendall_tau": 1.0,
        "median_log10_ratio": 0.301,
        "worst_log10_ratio": 0.301,
    }
    against = agreement.summary([(a, 1 / b) for a, b in same])
    assert (against["spearman"], against["kendall_tau"]) == (-1.0, -1.0)


def test_differences_within_the_engines_own_noise_do_not_count_as_an_order() -> None:
    found = agreement.summary([(1.0, 3.0), (1.02, 2.0), (9.0, 9.0)])
    assert found["kendall_tau"] == 1.0


def test_one_candidate_or_none_is_no_correlation() -> None:
    assert agreement.summary([])["spearman"] is None
    assert agreement.summary([(1.0, 1.0)])["kendall_tau"] is None
