"""What SNPE's programs on the device print, and whose fault it is when they fail. Pure (SNPE 2.9 to 2.41)."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence

from mpsearch.errors import CandidateError, MpsearchError, SetupError, TransientError


class LoadRefused(CandidateError):
    """The device's runtime does not take the model: no back end validates one of its operators."""


class OutOfMemory(TransientError):
    """The program was killed for its memory (exit code 137)."""


class Crashed(TransientError):
    """The program, or the DSP, crashed."""


class BuffersWrong(SetupError):
    """Raw files and tensors do not fit: what came out is worth nothing."""


NUMBER = r"([0-9.]+(?:e[+-]?\d+)?)"
"""As C++ prints a double: without a dot where it is whole, with an exponent where it is large."""
_TOTAL = re.compile(rf"Total throughput:\s*{NUMBER}\s*infs/sec")
_THREAD = re.compile(rf"^\[Thread (\d+) - (\w+)\]\s*{NUMBER}\s*infs/sec", re.MULTILINE)
_RATE = re.compile(rf"^\s*{NUMBER}\s*infs/sec", re.MULTILINE)
_RUNTIME = re.compile(r"^runtimes:\s*(\w+)", re.MULTILINE)
_VERSION = re.compile(r"v?(\d+\.\d+\.\d+(?:[._]\w+)*)")
_ERROR = re.compile(r"error_code=(\d+)")
_PAIR = re.compile(r"(\w+)=(.*?)(?:; |$)")
_OP = re.compile(r"No backend could validate Op=(\S+) Type=(\w+)(?: error code=(\d+))?")
_NOT_WRITTEN = re.compile(r"Failed to write data to: *(\S.*?)\s*$", re.MULTILINE)
_SIZES = (
    "Error: invalid input size provided. Please check all raw sizes.",
    "Size of input file should be divisible by sizeof(dtype).",
)
_REFUSALS = (
    "Cannot use native file I/O without specifying user buffer",
    "Cannot specify user buffer outputs while using user buffer auto",
    "Cannot use override user buffer output without specifying user buffer",
    "Invalid option cannot mix --runtime_order",
    "unrecognized option",
    "Invalid value",
)
_LIBRARIES = ("error while loading shared libraries", "CANNOT LINK EXECUTABLE", "cannot open shared object file")
_NO_DSP = ("Selected runtime not available", "is not available on this platform")
_SAID = 300


def version(text: str) -> str:
    """``2.32.0.250228225014_116386`` out of ``SNPE v2.32.0.250228225014_116386``; "" where there is none."""
    found = _VERSION.search(text)
    return found[1] if found else ""


def error_fields(text: str) -> dict[str, str]:
    """``error_code=1002; error_message=...; error_component=...`` as a mapping; empty where there is none."""
    line = next((line for line in text.splitlines() if _ERROR.search(line)), "")
    return {found[1]: found[2].strip() for found in _PAIR.finditer(line[line.find("error_code=") :])} if line else {}


def not_written(text: str) -> tuple[str, ...]:
    """Files that ``snpe-net-run`` could not write: it makes no folders for names with slashes (seen on RVC4)."""
    return tuple(dict.fromkeys(_NOT_WRITTEN.findall(text)))


def failure(program: str, code: int, stdout: str, stderr: str, *, stage: str) -> MpsearchError:
    """The error for a run that ended with ``code`` != 0, or said that it failed."""
    text = f"{stderr}\n{stdout}"
    said = _last(text)
    if code in (126, 127):
        return SetupError(
            f"{program} cannot be started on the board: {said}",
            hint="Set snpe.tools in the board's file to the folder on the board that holds SNPE's programs.",
        )
    if (line := _with(text, _LIBRARIES)) is not None:
        return SetupError(
            f"{program}: {line}", hint="Set LD_LIBRARY_PATH and ADSP_LIBRARY_PATH in snpe.env of the board's file."
        )
    if (line := _with(text, _SIZES)) is not None:
        return BuffersWrong(f"{program}: {line}", hint="The input files do not have the size of the DLC's input.")
    if (line := _with(text, (*_REFUSALS, *_NO_DSP))) is not None:
        return SetupError(f"{program}: {line}", hint="Is the device's SNPE another version than the tools on the host?")
    if (fields := error_fields(text)) and (found := _by_code(program, fields, stage)) is not None:
        return found
    if code == 137:
        return OutOfMemory(
            f"{program} was killed (exit code 137): the board ran out of memory",
            hint="Set snpe.group in the board's file to fewer photographs a run.",
        )
    if code in (134, 139):
        return Crashed(f"{program} crashed (exit code {code}): {said}")
    if missing := not_written(text):
        return TransientError(f"{program} could not write {missing[0]}", hint="Is the board's disk full?")
    if code > 128:
        return TransientError(f"{program} was ended by signal {code - 128}: {said}")
    return TransientError(f"{program} ended with code {code}: {said}")


def _by_code(program: str, fields: dict[str, str], stage: str) -> MpsearchError | None:
    """Groups of codes as in DlError.h: hundreds are components; the DSP's own (9xx) come and go."""
    number = int(fields["error_code"])
    said = f"{program}: error {number}: {fields.get('error_message', '')[:_SAID]}"
    if component := fields.get("error_component"):
        said += f" ({component})"
    if number // 100 == 9:
        return Crashed(said, hint="The DSP restarts by itself; if it does not, restart the board.")
    if number // 100 == 10:
        op = _OP.search(fields.get("error_message", ""))
        if op is not None:
            kind = f"{op[2]} {op[1]}" + (f" (validation error {op[3]})" if op[3] else "")
            said = f"{program}: the device's runtime validates no {kind}"
        return LoadRefused(said, stage=stage, hint="Another type for this unit or its neighbours may be taken.")
    if number // 100 in (3, 4, 5, 6, 7, 8):
        return LoadRefused(said, stage=stage)
    return SetupError(said) if number // 100 == 1 else None


def check_net_run(stdout: str, stderr: str, runs: int) -> None:
    """Look at a ``snpe-net-run`` that ended with code 0.

    Raises:
        BuffersWrong: it took several files for one inference, or skipped some.
        TransientError: it does not say that it succeeded.
    """
    if "Successfully executed" not in stdout:
        raise TransientError(
            f"snpe-net-run ended with code 0 and does not say that it succeeded: {_last(f'{stderr}{stdout}')}"
        )
    groups = processed(stdout)
    if not groups:
        return
    if odd := [group for group in groups if len(group) != 1]:
        raise BuffersWrong(
            f"snpe-net-run took {len(odd[0])} files for one inference: {', '.join(odd[0][:3])}",
            hint="Each raw file must hold exactly the DLC's input, in its own type.",
        )
    if len(groups) != runs:
        raise BuffersWrong(f"snpe-net-run processed {len(groups)} inputs, {runs} were given")


def processed(stdout: str) -> tuple[tuple[str, ...], ...]:
    """The file names below each ``Processing DNN input(s):``."""
    found: list[list[str]] = []
    inside = False
    for line in stdout.replace("\r", "").splitlines():
        name = line.strip()
        if name == "Processing DNN input(s):":
            found.append([])
            inside = True
        elif not name or name.startswith(("Processing graph", "Successfully", "Model String", "SNPE v", "---")):
            inside = False
        elif inside:
            found[-1].append(name)
    return tuple(map(tuple, found))


def throughput(code: int, stdout: str, stderr: str, *, threads: int, runtime: str) -> float:
    """Inferences a second, of ``snpe-throughput-net-run``.

    Raises:
        CandidateError: the model does not load, or fell back to another runtime.
        SetupError, TransientError: see :func:`failure`; a thread was lost.
    """
    program = "snpe-throughput-net-run"
    text = stdout.replace("\r", "")
    if code != 0 or "Unable to successfully create" in f"{text}{stderr}":
        raise failure(program, code, stdout, stderr, stage="time")
    if "Thread was lost" in text:
        raise TransientError(f"{program}: {_with(text, ('Thread was lost',))}")
    total, each = _TOTAL.search(text), _THREAD.findall(text)
    if total is None:
        raise _senseless(program, "no line like 'Total throughput: 1581.96 infs/sec'", text)
    if each and len(each) != threads:
        raise TransientError(f"{program}: {len(each)} of {threads} threads told their throughput")
    for _, label, _ in each:
        _same_runtime(program, label, runtime)
    return _positive(program, total[1], text)


def report(text: str, *, threads: int, runtime: str) -> float:
    """Inferences a second, from the report of ``--json``.

    Raises:
        CandidateError, TransientError: as :func:`throughput`.
    """
    program = "snpe-throughput-net-run --json"
    try:
        entries = json.loads(text)["threads"]
        rates = [float(entry["infps"]) for entry in entries]
        said = [str(entry.get("error") or "") for entry in entries]
        labels = [str(entry.get("runtime", "")) for entry in entries]
    except (ValueError, KeyError, TypeError) as error:
        raise _senseless(program, f"not a report ({type(error).__name__}: {error})", text) from error
    if wrong := next(filter(None, said), ""):
        raise failure(program, 1, "", wrong, stage="time")
    if len(rates) != threads:
        raise TransientError(f"{program}: {len(rates)} of {threads} threads told their throughput")
    for label in labels:
        _same_runtime(program, label, runtime)
    return _positive(program, str(sum(rates)), text)


def parallel(code: int, stdout: str, stderr: str, *, runtime: str) -> float:
    """Inferences a second, of ``snpe-parallel-run``.

    Raises:
        CandidateError, SetupError, TransientError: as :func:`throughput`.
    """
    program = "snpe-parallel-run"
    text = stdout.replace("\r", "")
    if code != 0 or "Successfully executed" not in text:
        raise failure(program, code, stdout, stderr, stage="time")
    for label in _RUNTIME.findall(text):
        _same_runtime(program, label, runtime)
    found = _RATE.search(text)
    if found is None:
        raise _senseless(program, "no line like '1581.96 infs/sec'", text)
    return _positive(program, found[1], text)


def _same_runtime(program: str, label: str, asked: str) -> None:
    if label and not label.lower().startswith(asked):
        raise CandidateError(
            f"{program}: asked for {asked}, ran on {label}", stage="time", hint="It fell back to another processor."
        )


def _positive(program: str, text: str, output: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not (math.isfinite(rate) and rate > 0):
        raise _senseless(program, f"a throughput of {text!r}", output)
    return rate


def _with(text: str, keys: Sequence[str]) -> str | None:
    return next((line.strip()[:_SAID] for line in text.splitlines() if any(key in line for key in keys)), None)


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("mpsearch-power")]
    return lines[-1][:_SAID] if lines else "it said nothing"


def _senseless(program: str, why: str, text: str) -> TransientError:
    return TransientError(f"{program}: {why} in {len(text.splitlines())} lines of output", hint=_last(text))
