"""What Qualcomm's tools said when a build failed, and whose fault that is. Pure.

Lines are from SNPE and QAIRT 2.10 to 2.41: their documents, recorded runs, and reports of users. The first rule that
matches the whole output decides.
"""

from __future__ import annotations

import re

from mpsearch.toolchain import verdict
from mpsearch.toolchain.verdict import Fault, Verdict

_ENTRIES: tuple[tuple[Fault, str, str], ...] = (
    *verdict.DOCKER,
    (Fault.SETUP, r"error while loading shared libraries: .*", "Install the SDK's dependencies, or use its container."),
    (
        Fault.SETUP,
        r"(?:ModuleNotFoundError|ImportError): .*",
        "The tools need the SDK's own Python (3.10) and packages: source its bin/envsetup.sh, or use a container.",
    ),
    (Fault.SETUP, r"(?:is not a valid|Unable to parse) ONNX.*|onnx.*checker.*", "SNPE 2.x imports onnx up to 1.18."),
    # command line: another version than the contract's
    (Fault.SETUP, r".*(?:unrecognized (?:option|arguments)|Unknown option|unknown flag).*", "Another SDK's version?"),
    (Fault.SETUP, r".*the following arguments are required: .*", "Another SDK's version?"),
    (Fault.SETUP, r".*invalid choice: .*", "Another SDK's version?"),
    # input list and photographs
    (Fault.SETUP, r"Size of input file should be divisible by sizeof\(dtype\).*", "Remove the cache folder."),
    (Fault.SETUP, r"Error: invalid input size provided\. Please check all raw sizes\.", "Remove the cache folder."),
    # overrides and quantizer: the candidate
    (Fault.CANDIDATE, r"Invalid combination: .*", ""),
    (Fault.CANDIDATE, r"--ignore_encodings cannot be provided with --float_fallback flag", ""),
    (Fault.CANDIDATE, r"--percentile_calibration_value .*", ""),
    (Fault.CANDIDATE, r"Invalid offset overridden for symmetric encodings.*", ""),
    (Fault.CANDIDATE, r"Mismatching bitwidths .* for encoding .*", ""),
    (Fault.CANDIDATE, r"Min/max or scale/offset pairs must be present together\.?", ""),
    (Fault.CANDIDATE, r".*overridden encodings contain unsupported bitwidths?.*", ""),
    (Fault.CANDIDATE, r"Output node/tensor .* not found.*", "The converter does not know this cut."),
    (Fault.CANDIDATE, r"error_code=\d+; error_message=[^\n]*", ""),
    (Fault.CANDIDATE, r"No backend could validate Op=.*", ""),
    (Fault.CANDIDATE, r".*16bit Weight must have 16bit Activation.*", ""),
    # what some other models meet for every candidate
    (
        Fault.SETUP,
        r".*(?:OP_TYPE|Operation) .* (?:is )?not supported.*",
        "SNPE has no such operator: change the model.",
    ),
    (Fault.SETUP, r"ERROR_\w+: .*", ""),
)
_RULES = verdict.rules(_ENTRIES)
_ERROR = re.compile(r"^.*(?:- ERROR - |\[ ?ERROR ?\]|\[E\]).*$", re.MULTILINE)
_PROCESSED = re.compile(r"Processed (\d+) quantization encodings")


def judge(code: int, stdout: str, stderr: str, program: str) -> Verdict:
    """Why a tool failed that ended with ``code``, or left no DLC."""
    text = f"{stderr}\n{stdout}"
    if (found := verdict.match(text, _RULES)) is not None:
        return found
    if (error := _ERROR.search(text)) is not None:
        return Verdict(Fault.UNSURE, verdict.short(error[0]), "mpsearch does not know this message.")
    return verdict.unknown(code, text, program)


def processed(text: str) -> int | None:
    """How many entries of the overrides met a tensor, as the converter counts; None when it does not say.

    The others are skipped without a word. A graph input may count twice.
    """
    found = _PROCESSED.findall(text)
    return int(found[-1]) if found else None
