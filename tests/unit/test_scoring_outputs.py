"""Output errors against their formulas."""

from __future__ import annotations

import numpy as np
import pytest

from mpsearch.scoring.outputs import OutputErrors, cosine, sqnr_db


def test_the_numbers_follow_their_formulas_over_all_photographs() -> None:
    rng = np.random.default_rng(0)
    reference = rng.normal(0, 3, (5, 4, 7)).astype(np.float32)
    candidate = reference + rng.normal(0, 0.2, reference.shape).astype(np.float32)
    errors = OutputErrors({"a": reference})
    assert errors.add({"a": candidate[:2]}, 0) == 2
    assert errors.add({"a": candidate[2:]}, 2) == 3
    r, c = reference.astype(float), candidate.astype(float)
    noise = ((r - c) ** 2).mean()
    found = errors.summary()["a"]
    assert found["mse"] == pytest.approx(noise, rel=1e-5)
    assert found["sqnr_db"] == pytest.approx(10 * np.log10((r**2).mean() / noise), abs=1e-4)
    assert found["cosine"] == pytest.approx((r * c).sum() / np.sqrt((r**2).sum() * (c**2).sum()), abs=1e-6)
    ratio = ((r - c) ** 2).mean(axis=(1, 2)) / (r**2).mean()
    assert np.allclose(errors.noise_ppm(), 1e6 * ratio, rtol=1e-5)
    assert errors.noise_ppm().mean() == pytest.approx(1e6 * 10 ** (-found["sqnr_db"] / 10), rel=1e-5)


def test_noise_where_the_float_model_is_silent_counts_like_a_lost_output() -> None:
    silent = np.zeros((2, 3), np.float32)
    errors = OutputErrors({"a": silent})
    errors.add({"a": silent + np.float32([[0], [1e-3]])}, 0)
    assert errors.noise_ppm().tolist() == [0, 1e6]


@pytest.mark.parametrize(
    ("signal", "noise", "db"), [(100, 1, 20), (1, 100, -20), (1, 0, 200), (0, 0, 200), (0, 1, -200), (1, 1e-300, 200)]
)
def test_the_ratio_is_always_finite(signal: float, noise: float, db: float) -> None:
    assert sqnr_db(signal, noise) == pytest.approx(db)


@pytest.mark.parametrize(("product", "a", "b", "value"), [(6, 4, 9, 1), (-6, 4, 9, -1), (0, 0, 0, 1), (0, 0, 9, 0)])
def test_the_cosine_of_nothing_is_defined(product: float, a: float, b: float, value: float) -> None:
    assert cosine(product, a, b) == pytest.approx(value)
