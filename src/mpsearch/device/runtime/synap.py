"""``synap_cli``: command lines, and its output read. Pure (SyNAP runtime, ``app/synap_cli``)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mpsearch.errors import CandidateError, MpsearchError, SetupError, TransientError

RESOLUTION_MS = 0.01
"""The tool prints two decimals; a shorter time reads 0.00 and is taken for half of this."""

_SUMMARY = re.compile(
    r"Inference timings \(ms\):\s+load:\s*([\d.]+)\s+init:\s*([\d.]+)\s+min:\s*([\d.]+)\s+median:\s*([\d.]+)"
    r"\s+max:\s*([\d.]+)\s+stddev:\s*([\d.]+)\s+mean:\s*([\d.]+)"
)
_PREDICT = re.compile(r"^Predict #(\d+):\s*([\d.]+) ms", re.MULTILINE)
_BUFFER = re.compile(r"^(Input|Output) buffer: (.+?) size: (\d+)", re.MULTILINE)
_NUMBER = re.compile(r"-?\d+")

_TRANSIENT = (
    "Error, NPU unavailable",
    "Error, NPU lock failed",
    "NPU is reserved by another user",
    "Failed to prepare network",  # users report that a second try helps
)
_CANDIDATE = ("Failed to load network", "Failed to load model file", "Prediction", "Error assigning input to tensor")
_SETUP = ("Illegal option", "can't find model file", "unable to read data from file", "input file not specified")
_SAID = 300


@dataclass(frozen=True, slots=True)
class Buffer:
    """A tensor as ``synap_cli`` lists it; bytes in the device's type."""

    name: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class CliTiming:
    """Attributes:
    samples_ms: one a prediction, the slower first ones included.
    median_ms: as the tool says it.
    """

    samples_ms: tuple[float, ...]
    median_ms: float
    load_ms: float
    init_ms: float
    outputs: tuple[Buffer, ...]


def timing_argv(
    program: Sequence[str], model: str, repeat: int, inputs: Sequence[str] = ("random",)
) -> tuple[str, ...]:
    """Time a model; options come before inputs."""
    return (*program, "-m", model, "-r", str(repeat), *inputs)


def profiling_argv(program: Sequence[str], model: str, file: str, repeat: int) -> tuple[str, ...]:
    """Time a model that was built for it layer by layer; the table goes to ``file``."""
    return (*program, "-m", model, "--profiling", file, "-r", str(repeat), "random")


def temperature_argv() -> tuple[str, ...]:
    """Temperatures where Linux keeps them, in thousandths of a degree Celsius."""
    return ("sh", "-c", "cat /sys/class/thermal/thermal_zone*/temp 2>/dev/null || true")


def parse_temperature(text: str) -> float | None:
    """The hottest zone in degrees Celsius; None where the board offers nothing believable."""
    values = [int(word) / 1000 for word in _NUMBER.findall(text)]
    believable = [value for value in values if 0 < value < 150]
    return max(believable, default=None)


def parse_timing(code: int, stdout: str, stderr: str, *, repeat: int, log: str = "") -> CliTiming:
    """Read a timing run.

    Raises:
        CandidateError: the model does not load or run (stage ``time``).
        SetupError: the tool is not there or cannot be used.
        TransientError: the NPU is taken, the tool was killed, or what it printed makes no sense.
    """
    if code != 0:
        raise failure(code, stdout, stderr, stage="time", log=log)
    text = stdout.replace("\r", "")
    summary = _SUMMARY.search(text)
    if summary is None:
        raise _senseless("no line like 'Inference timings (ms):  load: ...'", text, log)
    try:
        load, init, _, median, *_ = (float(number) for number in summary.groups())
        samples = [float(found[2]) for found in _PREDICT.finditer(text)]
    except ValueError as error:
        raise _senseless(f"broken number ({error})", text, log) from error
    if samples and len(samples) != repeat:
        raise _senseless(f"{len(samples)} lines 'Predict #' for {repeat} predictions", text, log)
    if samples and not min(samples) <= median + RESOLUTION_MS <= max(samples) + 2 * RESOLUTION_MS:
        raise _senseless(f"median {median} ms is not among {min(samples)} to {max(samples)} ms", text, log)
    least = RESOLUTION_MS / 2
    return CliTiming(
        tuple(max(value, least) for value in samples or [median]), max(median, least), load, init, outputs(text)
    )


def outputs(stdout: str) -> tuple[Buffer, ...]:
    """The output buffers, in the tool's order."""
    found = _BUFFER.finditer(stdout.replace("\r", ""))
    return tuple(Buffer(match[2], int(match[3])) for match in found if match[1] == "Output")


def failure(code: int, stdout: str, stderr: str, *, stage: str, log: str = "") -> MpsearchError:
    """The error for a run that ended with ``code`` != 0."""
    text = f"{stderr}\n{stdout}"
    said = _last(text)
    see = f"Output: {log}" if log else ""
    if code in (126, 127):
        return SetupError(
            f"synap_cli cannot be started on the board: {said}",
            hint="Set `cli` in the board's file to its full path, e.g. /usr/bin/synap_cli.",
        )
    for line in text.splitlines():
        if any(key in line for key in _TRANSIENT):
            return TransientError(f"synap_cli: {line.strip()[:_SAID]}", hint=see)
    for line in text.splitlines():
        if any(key in line for key in _SETUP):
            return SetupError(f"synap_cli: {line.strip()[:_SAID]}", hint=see)
        if any(key in line for key in _CANDIDATE):
            return CandidateError(f"synap_cli: {line.strip()[:_SAID]}", stage=stage, hint=see)
    if code > 128:
        return TransientError(f"synap_cli was ended by signal {code - 128}: {said}", hint=see)
    return TransientError(f"synap_cli ended with code {code}: {said}", hint=see)


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:_SAID] if lines else "it said nothing"


def _senseless(why: str, text: str, log: str) -> TransientError:
    return TransientError(
        f"synap_cli: {why} in {len(text.splitlines())} lines of output", hint=f"Output: {log}" if log else _last(text)
    )
