"""What the toolchain ``snpe`` hands to a device."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mpsearch.errors import CandidateError
from mpsearch.evaluate import Artifact
from mpsearch.toolchain.snpe.dlcinfo import DlcInfo


class BuiltDifferently(CandidateError):
    """The tools built something else than they were asked for, without a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnpeArtifact(Artifact):
    """Attributes:
    dlc: quantized, and prepared offline where it runs on the DSP.
    info: of it: inputs, outputs, encodings.
    tensors: the outputs by the names that candidates use, in the model's order -> the DLC's names.
    runtime: ``dsp``, ``gpu`` or ``cpu``.
    perf_profile: as the tools on the device spell it.
    folder: with the DLC, the overrides, the listing and the logs.
    build_s: of all steps, also where some came from the cache.
    notes: what the user may want to know.
    """

    dlc: Path
    info: DlcInfo
    tensors: tuple[tuple[str, str], ...]
    runtime: str
    perf_profile: str
    folder: Path
    version: str
    build_s: float = 0.0
    notes: tuple[str, ...] = ()
