"""Models that are quantized already (``.tflite``, ``.onnx``), converted as they are: what a search has to beat."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from mpsearch import canonical
from mpsearch.errors import CandidateError, ConfigError, SetupError
from mpsearch.files import publish
from mpsearch.toolchain.synap import modelinfo
from mpsearch.toolchain.synap.conversions import Conversions
from mpsearch.toolchain.synap.modelinfo import ModelInfo

_FLOATS = ("float16", "f16", "float32", "f32")


@dataclass(frozen=True, slots=True)
class Converted:
    """Attributes:
    model: ``model.synap``.
    note: what the user should know; empty: nothing.
    """

    model: Path
    info: ModelInfo
    build_s: float
    note: str = ""


def convert(conversions: Conversions, model: Path, target: str) -> Converted:
    """Convert a model without metafile; known conversions are found again.

    Raises:
        ConfigError: no such file.
        SetupError: the toolkit refuses it.
        TransientError: the converter was killed or ran out of time.
    """
    if not model.is_file():
        raise ConfigError(f"{model}: no such file")
    key = canonical.digest(["baseline", canonical.file_digest(model), target, conversions.version])
    copy = conversions.folder / "models" / f"{key[:32]}{model.suffix}"  # where a container sees it, and without spaces
    if not copy.is_file():
        publish(copy, lambda part: shutil.copyfile(model, part))
    try:
        folder, seconds = conversions.convert(
            key, "", ["--model", str(copy), "--target", target, "--out-dir", "out"]
        )  # fmt: skip
    except CandidateError as error:
        raise SetupError(f"{model}: {error.message}", hint=error.hint) from error
    info = modelinfo.parse((folder / "model_info.txt").read_text(errors="replace"), str(folder / "model_info.txt"))
    note = ""
    if all(tensor.type in _FLOATS for tensor in info.inputs):
        note = "its input is float: if the file is not quantized, the NPU computes in float16, 75 to 120 times slower"
    return Converted(folder / "model.synap", info, seconds, note)
