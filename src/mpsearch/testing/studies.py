"""A complete small study on disk: for benchmarks' smoke modes and for tests of plug-ins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from mpsearch.testing.models import save, small_detector

SMALL = """model: model.onnx
budget: {times: 1.5, of: uint8}
decoder: {name: tensors}
input: {means: 0, scale: 255}
data: {calibration: calibration, evaluation: evaluation}
trials: 8
"""


def pictures(folder: Path, count: int, *, seed: int, size: tuple[int, int] = (40, 32)) -> None:
    """Write ``count`` different smooth pictures of ``size`` (width, height)."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for index in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        coarse.resize(size, Image.Resampling.BICUBIC).save(folder / f"{index}.png")


def small_study(folder: Path, *, name: str = "mpsearch") -> Path:
    """Write a small model, two disjoint sets of pictures and ``<name>.yaml``, and return the study file."""
    save(small_detector(), folder / "model.onnx")
    pictures(folder / "calibration", 3, seed=1)
    pictures(folder / "evaluation", 4, seed=2)
    path = folder / f"{name}.yaml"
    path.write_text(SMALL, encoding="utf-8")
    return path
