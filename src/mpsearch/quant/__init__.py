"""Quantization arithmetic and the host simulator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mpsearch.candidate import Candidate
    from mpsearch.quant.simulator import Simulator

VERSION = 4
"""Part of a study's fingerprint: raised whenever the same candidate may get other outputs."""


def encodings(simulator: Simulator, candidate: Candidate) -> dict[str, Any]:
    """See :func:`mpsearch.quant.export.encodings`."""
    from mpsearch.quant import export  # what reads only VERSION needs none of it

    return export.encodings(simulator, candidate)
