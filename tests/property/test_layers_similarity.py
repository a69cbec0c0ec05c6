"""The five numbers, against the plainest numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import entropy

from mpsearch.layers.similarity import COLUMNS, mean, similarity

VALUES = st.floats(-1e3, 1e3, width=32).filter(lambda v: v == 0 or abs(v) > 1e-3)
PAIRS = st.integers(2, 60).flatmap(
    lambda n: st.tuples(arrays(np.float32, (1, n), elements=VALUES), arrays(np.float32, (1, n), elements=VALUES))
)


def naive(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """As quantization-effect-checker's README and the contract describe them."""
    a, b = a.reshape(-1).astype(np.float64), b.reshape(-1).astype(np.float64)
    p, _ = np.histogram(a, bins=10, density=True)
    q, _ = np.histogram(b, bins=10, density=True)
    with np.errstate(all="ignore"):
        return {
            "CosSim": np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b)),
            "MSE": np.mean((a - b) ** 2),
            "SAR": np.average((a >= 0) == (b >= 0)),
            "PearsonR": np.corrcoef(a, b)[0, 1],
            "DKL": entropy(np.where(p == 0, 1e-10, p), np.where(q == 0, 1e-10, q)),
        }


@settings(deadline=None)
@given(PAIRS)
def test_each_number_equals_a_naive_implementation(pair: tuple[np.ndarray, np.ndarray]) -> None:
    found, wanted = similarity(*pair).row("x"), naive(*pair)
    for name in ("MSE", "SAR", "DKL"):
        assert found[name] == pytest.approx(wanted[name], rel=1e-9, abs=1e-12)
    if np.isfinite(wanted["CosSim"]):
        assert found["CosSim"] == pytest.approx(wanted["CosSim"], abs=1e-9)
    if found["PearsonR"] is not None and np.isfinite(wanted["PearsonR"]):
        assert found["PearsonR"] == pytest.approx(wanted["PearsonR"], abs=1e-7)


@settings(deadline=None)
@given(PAIRS)
def test_a_layer_is_exactly_like_itself(pair: tuple[np.ndarray, np.ndarray]) -> None:
    found = similarity(pair[0], pair[0])
    assert (found.mse, found.sar, found.dkl) == (0.0, 1.0, 0.0)
    assert found.cos_sim == pytest.approx(1.0)


def test_a_constant_side_has_no_correlation_and_two_silent_layers_are_alike() -> None:
    flat, other = np.full((1, 5), 0.1, np.float32), np.arange(5, dtype=np.float32)[None]
    assert similarity(flat, other).pearson_r is None
    silent = np.zeros((1, 5), np.float32)
    assert similarity(silent, silent).cos_sim == 1.0
    assert similarity(silent, other).cos_sim == 0.0


def test_dkl_does_not_see_scale() -> None:
    values = np.random.default_rng(0).normal(size=(1, 1000)).astype(np.float32)
    assert similarity(values, values * 4).dkl == pytest.approx(0.0, abs=1e-12)
    assert similarity(values, values * 4).mse > 1


@pytest.mark.parametrize(
    "bad", [np.array([[np.nan, 1.0]]), np.array([[np.inf, 1.0]]), np.zeros((1, 3)), np.zeros((1, 0))]
)
def test_what_cannot_be_compared_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"shapes|finite"):
        similarity(np.ones((1, 2), np.float32), bad.astype(np.float32))


def test_the_mean_over_photographs_leaves_out_missing_correlations() -> None:
    rows = [
        similarity(np.array([[1.0, 2.0]], np.float32), np.array([[1.0, value]], np.float32)) for value in (2.0, 1.0)
    ]
    found = mean(rows)
    assert found.pearson_r == pytest.approx(1.0)
    assert found.mse == pytest.approx(0.25)
    assert list(found.row("x")) == list(COLUMNS)
