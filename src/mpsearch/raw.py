"""Photographs as files that a device's tools read: raw bytes or npy, in its type and order.

A value is ``(pixel - means) / scale``; pixels are 0 to 255. Float types hold the value itself, integer types
``round(value / step) + zero``: with the defaults (means 0, scale 1, step 1; zero 0, for int8 -128) a uint8 file holds
the pixels and an int8 file the pixels less 128. A network that was quantized with another input encoding needs that
encoding's step and zero, and what does not fit is refused, not clipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mpsearch.errors import ConfigError, DataError
from mpsearch.images import Pixels, Preprocess, letterbox, load_rgb
from mpsearch.inputlist import RawType

_SLACK = 0.5
"""Rounding at the end of a range is no overflow."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a value becomes an element.

    Attributes:
        step, zero: integer types only; ``zero`` None is 0, and -128 for int8.

    Raises:
        ConfigError: a step that is not positive, or a step or zero for a float type.
    """

    kind: RawType = RawType.FLOAT32
    step: float = 1.0
    zero: int | None = None

    def __post_init__(self) -> None:
        if not (np.isfinite(self.step) and self.step > 0):
            raise ConfigError(f"step {self.step} must be positive: element = round(value / step) + zero")
        if self.kind in (RawType.FLOAT16, RawType.FLOAT32) and (self.step != 1.0 or self.zero is not None):
            raise ConfigError(f"type {self.kind} has neither step nor zero", hint="They are for uint8 and int8.")

    def encode(self, values: NDArray[np.float32], name: str) -> NDArray[Any]:
        """Elements in little-endian order.

        Raises:
            DataError: values that do not fit the type; ``name`` is the photograph's.
        """
        if self.kind is RawType.FLOAT32:
            return values.astype("<f4")
        if self.kind is RawType.FLOAT16:
            with np.errstate(over="ignore"):
                found = values.astype("<f2")
            if not np.isfinite(found).all():
                raise DataError(f"{name}: values up to {np.abs(values).max():g} are beyond float16 (65504)")
            return found
        limits = np.iinfo(str(self.kind))
        zero = self.zero if self.zero is not None else limits.min
        codes = values.astype(np.float64) / self.step + zero
        if codes.min() < limits.min - _SLACK or codes.max() > limits.max + _SLACK:
            raise DataError(
                f"{name}: values from {values.min():g} to {values.max():g} become {codes.min():.0f} to "
                f"{codes.max():.0f}, which {self.kind} cannot hold",
                hint="Leave means and scale out for plain pixels, or give the input's own --step and --zero.",
            )
        return np.clip(np.rint(codes), limits.min, limits.max).astype(str(self.kind))


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is written.

    Attributes:
        stretch: fill the input and lose the aspect ratio, instead of letterboxing with grey 114.
        channels_last: NHWC, as SNPE's converted networks take it; else NCHW, as in ONNX.
        npy: with numpy's header, and a batch of 1.
    """

    preprocess: Preprocess
    encoding: Encoding = Encoding()
    stretch: bool = False
    channels_last: bool = True
    npy: bool = False

    def array(self, rgb: Pixels, name: str) -> NDArray[Any]:
        """``[1, H, W, 3]`` or ``[1, 3, H, W]`` of a photograph ``[h, w, 3]`` uint8 RGB.

        Raises:
            DataError: see :meth:`Encoding.encode`.
        """
        height, width = self.preprocess.height, self.preprocess.width
        if self.stretch:
            shrinks = height * width < rgb.shape[0] * rgb.shape[1]
            way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            fitted = cv2.resize(rgb, (width, height), interpolation=way).astype(np.uint8)
        else:
            fitted = letterbox(rgb, height, width)[0]
        values = self.preprocess.normalise(fitted[None])
        if self.channels_last:
            values = values.transpose(0, 2, 3, 1)
        return np.ascontiguousarray(self.encoding.encode(values, name))


def write(photos: Sequence[Path], folder: Path, recipe: Recipe) -> list[Path]:
    """Write ``<photograph's name>.raw`` or ``.npy`` for each; photographs of one name get a number behind it.

    Raises:
        DataError: a photograph that cannot be read, values that do not fit, or a folder that cannot be written.
    """
    suffix = ".npy" if recipe.npy else ".raw"
    written: dict[Path, None] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in photos:
            stem = path.stem.replace(" ", "_")  # neither tool takes a space
            names = (folder / f"{stem}{mark}{suffix}" for mark in ("", *(f"-{n}" for n in range(2, len(photos) + 2))))
            target = next(name for name in names if name not in written)
            array = recipe.array(load_rgb(path), str(path))
            if recipe.npy:
                np.save(target, array)
            else:
                target.write_bytes(array.tobytes())
            written[target] = None
    except OSError as error:
        raise DataError(f"{folder}: cannot be written ({error})", hint="Name another folder with --out.") from error
    return list(written)
