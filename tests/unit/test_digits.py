"""Numbers for people have the digits that mean something, whatever their size."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpsearch import digits

POSITIVE = st.floats(1e-6, 1e6)


@pytest.mark.parametrize(
    ("value", "spread", "text"),
    [
        (0.412, 0.051, "0.412 +- 0.051"),
        (0.00312, 0.00041, "0.00312 +- 0.00041"),
        (0.00312, 0.0, "0.00312 +- 0"),
        (123.456, 3.2, "123.5 +- 3.2"),
        (12.3, 1e-7, "12.300 +- 1e-07"),
        (0.0, 0.01, "0.000 +- 0.010"),
        (0.0, 0.0, "0 +- 0"),
    ],
)
def test_a_value_has_the_places_that_its_spread_has_meaning_in(value: float, spread: float, text: str) -> None:
    assert digits.unsure(value, spread) == text


@given(value=POSITIVE, spread=POSITIVE)
def test_neither_a_value_that_is_known_nor_a_spread_vanishes(value: float, spread: float) -> None:
    shown, unsure = map(float, digits.unsure(value, spread).split(" +- "))
    assert unsure == pytest.approx(spread, rel=0.5)
    assert shown == pytest.approx(value, abs=max(spread, 0.001 * value))


@given(value=POSITIVE)
def test_milliseconds_have_three_digits_at_least_and_two_places(value: float) -> None:
    text = digits.milliseconds(value)
    assert float(text) == pytest.approx(value, rel=0.006)
    assert len(text.partition(".")[2]) >= 2


@given(value=st.floats(1e-3, 1e4), width=st.floats(1e-4, 1.0))
def test_the_ends_of_an_interval_that_can_be_told_apart_are(value: float, width: float) -> None:
    low, high = value, value * (1 + width)
    shown = digits.between(value, low, high)
    assert shown[0] == shown[1] != shown[2]
