"""What the toolkit said when it failed, and whose fault that is. Pure.

Lines are from SyNAP toolkit 3.2.0 (its code, and recorded runs) and from docker. The first entry that matches the whole
output decides, so that a compiler's reason goes before its fatal last line.
"""

from __future__ import annotations

import re

from mpsearch.toolchain import verdict
from mpsearch.toolchain.verdict import Fault as Fault
from mpsearch.toolchain.verdict import Verdict as Verdict

_ENTRIES: tuple[tuple[Fault, str, str], ...] = (
    *verdict.DOCKER,
    (Fault.SETUP, r"failed to create working directory", "Is the cache folder mounted in the container?"),
    # command line
    (Fault.SETUP, r"synap_convert\S*: error: .*|unrecognized arguments", "Is this the toolkit's converter, 3.x?"),
    (Fault.SETUP, r"Invalid target specified: .*", "Set `target` in the board's file."),
    (Fault.SETUP, r"model(?: weights file| metafile)? not found: .*", "Is the cache folder mounted in the container?"),
    (Fault.SETUP, r"is a git-lfs link file", "Run: git lfs pull"),
    (Fault.SETUP, r"unknown (?:network|output) format: .*", "The toolkit takes .onnx, .tflite and a few others."),
    # the metafile: what all candidates share
    (
        Fault.SETUP,
        r"(?:Invalid|Missing mandatory) field\(s\) in yaml file: .*",
        "Another toolkit version? See its manual.",
    ),
    (Fault.SETUP, r"Error parsing model metafile: .*", ""),
    (Fault.SETUP, r"Input shape is mandatory when name specified.*", ""),
    (Fault.SETUP, r"All input names or none must be specified.*", ""),
    (
        Fault.SETUP,
        r"(?:Metafile|model) has \d+ input\(?s?\)? but \d+ quantization dataset.*",
        "One input is supported.",
    ),
    (Fault.SETUP, r"bad item count in 'means'.*", "Give one mean for each channel of the network's input."),
    (Fault.SETUP, r"invalid scale provided for input.*", "Set input.scale in the study."),
    (Fault.SETUP, r"Spaces not allowed in quantization dataset.*", "Choose a cache folder without spaces."),
    (Fault.SETUP, r"Quantization dataset is empty.*", "The cached calibration images are gone: remove the cache."),
    (Fault.SETUP, r"Quantization datasets must have the same number of files.*", ""),
    (Fault.SETUP, r"\.npy quantization file\(s\) required.*", "The network's input is not an image."),
    (Fault.SETUP, r"Delegate '.*' not supported for target SoC.*", "Set `target` to a chip with an NPU."),
    (Fault.SETUP, r"Invalid delegate type.*", ""),
    (
        Fault.SETUP,
        r"(?:ModuleNotFoundError|ImportError): .*",
        "The toolkit's installation is broken: install it again.",
    ),
    (Fault.SETUP, r"toolkit-prebuilts|prebuilts? (?:not found|missing).*", "Put toolkit-prebuilts beside the toolkit."),
    # the candidate
    (Fault.CANDIDATE, r"Invalid quantization (?:algorithm specified|mode): .*", ""),
    (Fault.CANDIDATE, r"invalid (?:quantization data_type|data_type) specified.*", ""),
    (Fault.CANDIDATE, r"mixed quantization with int8 and uint8 not allowed", ""),
    (Fault.CANDIDATE, r"Layer (?:name|ID) '.*?' not in: ", "The engine renames this layer."),
    (Fault.CANDIDATE, r"No layers to requantize.*", ""),
    (Fault.CANDIDATE, r"All output names or none must be specified.*", ""),
    (Fault.CANDIDATE, r"Specified output: .* not in model outputs.*", ""),
    (Fault.CANDIDATE, r"The specified output '.*' is not existed in the graph.*", ""),
    (Fault.CANDIDATE, r"Unknown preprocessing type: .*", ""),
    (Fault.CANDIDATE, r"Please specify valid quantize qtype for quantizer.*", ""),
    (Fault.CANDIDATE, r"Inputs/Outputs data type not support(?:ed)?: .*", "The compiler has no such layer."),
    (
        Fault.CANDIDATE,
        r"^KeyError: .*",
        "An entry of the base type for a layer that nothing moved, or an unknown scheme.",
    ),
    # the compiler: seen to fail once and to succeed when repeated (recorded `one_output`)
    (
        Fault.TRANSIENT,
        r"Read file to buffer failed|Fatal model compilation error: 512",
        "Two conversions in one folder?",
    ),
    (Fault.TRANSIENT, r"Error while converting nbg to ebg.*", ""),
    (Fault.UNSURE, r"input_scale\[.*\] \* weight_scale\[.*\] != bias_scale.*", ""),
    (Fault.UNSURE, r"Fatal model (?:generation|compilation) error: \d+", ""),
)
_RULES = verdict.rules(_ENTRIES)
_EXPECTED = re.compile(r"^Error: (.*)$", re.MULTILINE)


def judge(code: int, stdout: str, stderr: str) -> Verdict:
    """Why a conversion that ended with ``code`` != 0 failed."""
    text = f"{stderr}\n{stdout}"
    if (found := verdict.match(text, _RULES)) is not None:
        return found
    if (expected := _EXPECTED.search(text)) is not None:
        return Verdict(Fault.UNSURE, verdict.short(expected[1]), "mpsearch does not know this message.")
    return verdict.unknown(code, text, "the converter")
