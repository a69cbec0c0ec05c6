"""Numbers for people, with as many digits as they have meaning: networks of a fifth of a millisecond are common."""

from __future__ import annotations

from math import floor, isfinite, log10

_MOST = 9


def places(value: float, digits: int) -> int:
    """Decimal places that show so many significant digits of ``value``; 0 where it is large, or 0 itself."""
    if not isfinite(value) or value == 0:
        return 0
    return min(max(digits - 1 - floor(log10(abs(value))), 0), _MOST)


def milliseconds(value: float) -> str:
    """Two places, and more where that is less than three digits: ``28.40``, ``0.226``."""
    return f"{value:.{max(2, places(value, 3))}f}"


def between(value: float, low: float, high: float) -> tuple[str, str, str]:
    """A median and its interval, as :func:`milliseconds` and with two digits of the interval's width."""
    shown = max(2, places(value, 3), min(places(high - low, 2), places(value, 6)))
    return f"{value:.{shown}f}", f"{low:.{shown}f}", f"{high:.{shown}f}"


def unsure(value: float, spread: float) -> str:
    """``0.412 +- 0.051``: two digits of the spread, three of the value where there is none."""
    if not spread > 0:
        return f"{value:.{places(value, 3)}f} +- 0"
    wanted = places(spread, 2)
    shown = min(wanted, places(value, 5)) if value else wanted
    return f"{value:.{shown}f} +- {spread:.{shown}f}" if shown == wanted else f"{value:.{shown}f} +- {spread:.1g}"
