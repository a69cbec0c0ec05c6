"""Temperature, power and the DSP's clock, where a board tells them. Pure."""

from __future__ import annotations

import re
from statistics import fmean

_POWER = re.compile(r"^mpsearch-power (\d+) (\S+)$", re.MULTILINE)
_CLOCK = re.compile(r"^\s*(\d+\.\d+)\s+(\d+\.\d+)", re.MULTILINE)
_NUMBER = re.compile(r"-?\d+")


def temperature_argv(sys: str) -> tuple[str, ...]:
    """Every thermal zone, thousandths of a degree Celsius."""
    return ("sh", "-c", f"cat {sys}/class/thermal/thermal_zone*/temp 2>/dev/null || true")


def temperature_c(text: str) -> float | None:
    """The hottest believable zone."""
    values = [int(word) / 1000 for word in _NUMBER.findall(text)]
    return max((value for value in values if 0 < value < 150), default=None)


def power_argv(sys: str) -> tuple[str, ...]:
    """Ends with 0 where there are sensors of power."""
    return ("sh", "-c", f"ls {sys}/class/hwmon/hwmon*/power1_input")


def power_w(text: str) -> dict[str, float]:
    """Sensor -> mean W while the program ran. On RVC4 ``hwmon0`` is the whole system, ``hwmon1`` the processor."""
    found: dict[str, list[int]] = {}
    for value, file in _POWER.findall(text):
        found.setdefault(file.split("/")[-2], []).append(int(value))
    return {name: fmean(values) / 1e6 for name, values in sorted(found.items())}


def clock_argv(sysmon: str, *, clear: bool = False) -> tuple[str, ...]:
    """How long the DSP ran at which clock since the last ``clear``."""
    return (sysmon, "getPowerStats", *(("--clear", "1") if clear else ()), "--q6", "cdsp")


def clock_mhz(text: str) -> float | None:
    """The mean clock over the rows ``<MHz> <seconds>``; None where there are none, or the DSP slept throughout."""
    rows = [(float(mhz), float(seconds)) for mhz, seconds in _CLOCK.findall(text)]
    total = sum(seconds for _, seconds in rows)
    return sum(mhz * seconds for mhz, seconds in rows) / total if total > 0 else None
