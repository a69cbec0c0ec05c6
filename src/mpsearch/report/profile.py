"""A profile as rows and as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mpsearch.errors import ConfigError
from mpsearch.quant.profile import Profile

_INCHES_A_UNIT = 0.16


def unit_rows(found: Profile) -> list[dict[str, Any]]:
    """One row a unit, in execution order; ``gain`` is the share of the base's error that widening it takes away."""
    tensors = {tensor.unit: tensor for tensor in found.tensors}
    rows = []
    for unit in found.units:
        tensor = tensors.get(unit.unit)
        gain = 1.0 - unit.widened_error / found.base_error if found.base_error > 0 else 0.0
        rows.append(
            {
                "unit": unit.unit,
                "kind": unit.kind,
                "macs": unit.macs,
                "alone_error": unit.alone_error,
                "widened_error": unit.widened_error,
                "gain": gain,
                "sqnr_db": tensor.sqnr_db if tensor else None,
                "cosine": tensor.cosine if tensor else None,
                "entropy": tensor.entropy if tensor else None,
                "weight_entropy": unit.weight_entropy,
            }
        )
    return rows


def tensor_rows(found: Profile) -> list[dict[str, Any]]:
    """One row a tensor, in execution order."""
    return [
        {
            "tensor": tensor.tensor,
            "unit": tensor.unit,
            "sqnr_db": tensor.sqnr_db,
            "cosine": tensor.cosine,
            "entropy": tensor.entropy,
        }
        for tensor in found.tensors
    ]


def plot(found: Profile, path: Path, *, error: str) -> None:
    """Write a picture (PNG, or what the suffix says): both errors by unit, and the tensors' SQNR below.

    Args:
        error: what the errors are, with their unit.

    Raises:
        ConfigError: ``path`` cannot be written.
    """
    names = [unit.unit for unit in found.units]
    places = range(len(names))
    sqnr_db = {tensor.unit: tensor.sqnr_db for tensor in found.tensors}
    figure = Figure(figsize=(max(7.0, _INCHES_A_UNIT * len(names)), 8.0), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    upper.bar(places, [unit.alone_error for unit in found.units], color="#7a8fa6", label="this unit alone quantized")
    upper.plot(
        places, [unit.widened_error for unit in found.units], "o", color="#c92a2a", markersize=4,
        label=f"all in {found.base} but this unit in {found.high}",
    )  # fmt: skip
    upper.axhline(found.base_error, color="#343a40", linestyle="--", linewidth=1.0, label=f"all in {found.base}")
    upper.set_yscale("symlog", linthresh=max(found.base_error, 1e-9) / 100)
    upper.set_ylabel(error)
    upper.legend(fontsize=8)
    lower.plot(places, [sqnr_db.get(name, float("nan")) for name in names], ".-", color="#2b8a3e")
    lower.set_ylabel(f"SQNR in {found.base}, dB")
    lower.set_xticks(list(places), names, rotation=90, fontsize=6)
    try:
        figure.savefig(path)
    except (OSError, ValueError) as reason:
        raise ConfigError(f"{path}: the picture cannot be written: {reason}", hint="Take a .png file.") from reason
