"""Photographs: found, loaded, letterboxed, normalised (``docs/metric.md``, "Input")."""

from __future__ import annotations

import glob
import hashlib
import math
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mpsearch import canonical
from mpsearch.errors import ConfigError, DataError

Pixels = NDArray[np.uint8]
FloatArray = NDArray[np.float32]

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
BORDER = 114
"""Grey of the letterbox border, and what shows through transparent pixels."""


@dataclass(frozen=True, slots=True)
class Preprocess:
    """How a photograph becomes the network's input: ``(x - means) / scale`` on 0..255.

    Attributes:
        height, width: of the network's input, px.
        means, scale: one value, or three in the network's own channel order; kept as three.
        order: channel order that the network expects.

    Raises:
        ConfigError: a size that is not positive, a scale of zero, a wrong number of channels, an unknown order.
    """

    height: int
    width: int
    means: tuple[float, ...] = (0.0,)
    scale: tuple[float, ...] = (255.0,)
    order: Literal["rgb", "bgr"] = "rgb"

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise ConfigError(f"preprocess: size {self.height}x{self.width} must be positive")
        if self.order not in ("rgb", "bgr"):
            raise ConfigError(f"preprocess: order {self.order!r} is unknown", hint="One of: rgb, bgr")
        means, scale = _three("means", self.means), _three("scale", self.scale)
        if 0.0 in scale:
            raise ConfigError("preprocess: scale must not be zero", hint="norm = (x - means) / scale")
        object.__setattr__(self, "means", means)
        object.__setattr__(self, "scale", scale)

    def to_json(self) -> dict[str, Any]:
        """Plain data for digests and messages."""
        return {
            "height": self.height,
            "width": self.width,
            "means": list(self.means),
            "scale": list(self.scale),
            "order": self.order,
        }

    def normalise(self, pixels: Pixels) -> FloatArray:
        """``pixels``  # [n, H, W, 3] uint8 RGB  ->  [n, 3, H, W] float32 in the network's channel order."""
        channels = pixels if self.order == "rgb" else pixels[..., ::-1]
        batch = np.ascontiguousarray(channels.transpose(0, 3, 1, 2), dtype=np.float32)
        batch -= np.asarray(self.means, np.float32)[:, None, None]
        batch /= np.asarray(self.scale, np.float32)[:, None, None]
        return batch


def _three(key: str, values: tuple[float, ...]) -> tuple[float, ...]:
    if len(values) not in (1, 3) or not all(math.isfinite(v) for v in values):
        raise ConfigError(f"preprocess: {key} {values!r} must be one finite number, or three")
    return tuple(float(v) for v in (values if len(values) == 3 else tuple(values) * 3))


def find(spec: str | Path, base: Path = Path()) -> tuple[Path, ...]:
    """The photographs that ``spec`` names, relative to ``base``.

    ``spec`` is a folder (its images, sorted by name, folders inside not entered), a glob (sorted), one image, or
    a list file: one path a line relative to the list, ``#`` comments; the list's own order is kept, as it is
    somebody's choice.

    Raises:
        DataError: nothing there, no image in it, or a line of the list that names no image.
    """
    place = base / Path(spec).expanduser()
    if place.is_dir():
        found = sorted(p for p in place.iterdir() if _is_image(p))
    elif _is_image(place):
        found = [place]
    elif place.is_file():
        found = _listed(place)
    elif any(c in str(spec) for c in "*?["):
        found = sorted(p for p in map(Path, glob.glob(str(place), recursive=True)) if _is_image(p))
    else:
        raise DataError(f"{place}: no such file or folder", hint="Name a folder, a glob or a list file.")
    if not found:
        raise DataError(f"{place}: no photograph in it", hint=f"Looked for {', '.join(sorted(SUFFIXES))}.")
    return tuple(found)


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file()


def _listed(file: Path) -> list[Path]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: neither an image nor a readable list: {error}") from error
    found: dict[Path, None] = {}
    for number, line in enumerate(lines, 1):
        name = line.partition("#")[0].strip()
        if not name:
            continue
        path = file.parent / name
        if not _is_image(path):
            raise DataError(f"{file}:{number}: no photograph {name!r}", hint="Paths are relative to the list.")
        found[path] = None
    return list(found)


def load_rgb(path: Path) -> Pixels:
    """``[h, w, 3]`` uint8 RGB, EXIF orientation applied.

    Grey is repeated; 16-bit grey is divided by 257; CMYK is converted without a profile; transparent pixels show
    the letterbox's grey, because the colour behind them is whatever the editor left there.

    Raises:
        DataError: unreadable, truncated, or a mode that is no photograph (floating point).
    """
    try:
        with Image.open(path) as opened:
            opened.load()
            image = ImageOps.exif_transpose(opened)
        if image.mode == "F":
            raise DataError(f"{path}: floating point pixels", hint="Save it as 8-bit PNG or JPEG.")
        if image.mode.startswith("I"):  # 16-bit PNG and TIFF; older Pillow versions open them as 32-bit "I"
            grey = np.clip(np.round(np.asarray(image, np.float64) / 257), 0, 255).astype(np.uint8)
            return np.repeat(grey[..., None], 3, axis=2)
        if image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, (BORDER,) * 3 + (255,)), image)
        return np.array(image.convert("RGB"))
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error) as error:
        raise DataError(f"{path}: cannot be read as an image: {error}", hint="Replace or remove it.") from error
    except Image.DecompressionBombError as error:
        raise DataError(f"{path}: {error}", hint="Scale it down first.") from error


def letterbox(image: Pixels, height: int, width: int) -> tuple[Pixels, float, int, int]:
    """Fit ``image``  # [h, w, 3]  into ``height`` x ``width``, keeping its aspect ratio.

    Returns:
        Canvas ``[height, width, 3]``, ratio, top, left: a point ``p`` of the photograph lies at
        ``p * ratio + (left, top)``.
    """
    h, w = image.shape[:2]
    ratio = min(height / h, width / w)
    new_h, new_w = max(1, round(h * ratio)), max(1, round(w * ratio))
    top, left = (height - new_h) // 2, (width - new_w) // 2
    canvas = np.full((height, width, 3), BORDER, np.uint8)
    if (new_h, new_w) != (h, w):
        image = cv2.resize(image, (new_w, new_h), interpolation=cv2.INTER_AREA if ratio < 1 else cv2.INTER_LINEAR)
    canvas[top : top + new_h, left : left + new_w] = image
    return canvas, ratio, top, left


class PhotoSet:
    """Photographs in a fixed order, loaded once at the first need and kept as uint8 (0.9 MB each at 480x640).

    Args:
        paths: image files, see :func:`find`.
        limit: take only the first so many.

    Raises:
        DataError: no path.
    """

    def __init__(self, paths: Sequence[Path], preprocess: Preprocess, *, limit: int | None = None) -> None:
        if limit is not None and limit < 1:
            raise DataError(f"a limit of {limit} photographs leaves none", hint="Leave it out, or at least 1.")
        self.paths = tuple(paths)[:limit]
        self.preprocess = preprocess
        self._arrays: tuple[Pixels, ...] | None = None
        if not self.paths:
            raise DataError("no photograph given")

    @classmethod
    def from_arrays(cls, names: Sequence[str], images: Sequence[Pixels], preprocess: Preprocess) -> PhotoSet:
        """Photographs that are in memory already: ``images``  # each [h, w, 3] uint8 RGB."""
        if len(names) != len(images):
            raise ValueError(f"{len(names)} names for {len(images)} images")
        for name, image in zip(names, images, strict=True):
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
                raise ValueError(f"{name}: want uint8 [h, w, 3], got {image.dtype} {list(image.shape)}")
        photos = cls([Path(name) for name in names], preprocess)
        photos._arrays = tuple(images)
        return photos

    def __len__(self) -> int:
        return len(self.paths)

    @cached_property
    def pixels(self) -> Pixels:
        """``[N, H, W, 3]`` uint8 RGB, letterboxed."""
        height, width = self.preprocess.height, self.preprocess.width
        pixels = np.empty((len(self), height, width, 3), np.uint8)
        for index, path in enumerate(self.paths):
            image = load_rgb(path) if self._arrays is None else self._arrays[index]
            pixels[index] = letterbox(image, height, width)[0]
        return pixels

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """sha256 of each file's bytes (of the array, where there is no file)."""
        if self._arrays is not None:
            return tuple(
                hashlib.sha256(repr(a.shape).encode() + np.ascontiguousarray(a).tobytes()).hexdigest()
                for a in self._arrays
            )
        try:
            return tuple(canonical.file_digest(path) for path in self.paths)
        except OSError as error:
            raise DataError(f"{error.filename}: cannot be read: {error.strerror}") from error

    @cached_property
    def digest(self) -> str:
        """sha256 over the files' bytes in order and the preprocessing; names do not matter."""
        return canonical.digest({"photos": list(self.sources), "preprocess": self.preprocess.to_json()})

    def batches(self, size: int) -> Iterator[FloatArray]:
        """Normalised ``[n, 3, H, W]`` float32, ``n <= size``, in order."""
        for start in range(0, len(self), size):
            yield self.preprocess.normalise(self.pixels[start : start + size])


def overlap(a: PhotoSet, b: PhotoSet) -> tuple[tuple[str, str], ...]:
    """Pairs ``(name in a, name in b)`` of the same photograph: the same bytes, or the same letterboxed pixels.

    So a renamed copy is found, and one saved again without loss; a copy saved again with loss, cropped or rescaled
    is not. Pixels are compared only where both sets have the same input size.
    """
    same_size = (a.preprocess.height, a.preprocess.width) == (b.preprocess.height, b.preprocess.width)

    def keys(photos: PhotoSet) -> list[tuple[str, ...]]:
        if not same_size:
            return [(source,) for source in photos.sources]
        pixels = (hashlib.sha256(image.tobytes()).hexdigest() for image in photos.pixels)
        return list(zip(photos.sources, pixels, strict=True))

    seen: dict[str, list[int]] = {}
    for index, found in enumerate(keys(a)):
        for key in found:
            seen.setdefault(key, []).append(index)
    pairs = {(index, other) for other, found in enumerate(keys(b)) for key in found for index in seen.get(key, ())}
    return tuple((str(a.paths[i]), str(b.paths[j])) for i, j in sorted(pairs))
