"""The demo's photographs: parts of one portrait, and its head set anew into other pictures, with a fixed seed.

What is varied: background, number of faces, place, size, mirroring, rotation, light, colour, blur and noise.
What is not: the person and the expression. Enough to show the search at work, too little to judge a network by.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from mpsearch.demo.packages import locate

Pixels = NDArray[np.float32]

_PORTRAIT = "astronaut.png"
_HEAD = (112, 0, 336, 232)
"""Left, top, right, bottom of head and collar in the portrait, px."""
_FACE_WIDTH = 92
"""Ear to ear in the portrait, px."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One set of photographs.

    Attributes:
        stream: which random numbers; different for each set.
        backgrounds: files of scikit-image's data folder; no two sets share one.
    """

    stream: int
    backgrounds: tuple[str, ...]


CALIBRATION = Recipe(1, ("motorcycle_left.png", "gravel.png", "coffee.png", "grass.png"))
# Calm ones: in the others the float network sees doubtful faces, which any rounding loses or moves far.
EVALUATION = Recipe(2, ("rocket.jpg", "brick.png", "hubble_deep_field.jpg", "moon.png"))


def make(recipe: Recipe, count: int, height: int, width: int, *, seed: int = 0) -> list[Image.Image]:
    """``count`` RGB photographs; the same arguments give the same pixels.

    Raises:
        SetupError: scikit-image is not installed.
    """
    portrait = _read(_PORTRAIT)
    backgrounds = [_read(name) for name in recipe.backgrounds]
    return [
        _scene(
            np.random.default_rng((seed, recipe.stream, index)),
            portrait,
            backgrounds[index % len(backgrounds)],
            height,
            width,
        )
        for index in range(count)
    ]


def _read(name: str) -> Image.Image:
    with Image.open(locate("scikit-image", f"skimage/data/{name}")) as image:
        return image.convert("RGB")


def _head(portrait: Image.Image) -> Image.Image:
    """The head as RGBA, its outline soft, so that no edge invites the network."""
    cut = portrait.crop(_HEAD)
    mask = Image.new("L", cut.size, 0)
    ImageDraw.Draw(mask).ellipse((22, 8, cut.width - 22, cut.height - 8), fill=255)
    cut.putalpha(mask.filter(ImageFilter.GaussianBlur(6)))
    return cut


def _scene(rng: Generator, portrait: Image.Image, background: Image.Image, height: int, width: int) -> Image.Image:
    grids = ((1, 1), (2, 1), (2, 2), (3, 2))
    columns, rows = grids[int(rng.integers(len(grids)))]
    if columns * rows == 1:
        canvas = _whole(rng, portrait, height, width)
    else:
        canvas = _background(rng, background, height, width)
        head = _head(portrait)
        for row in range(rows):
            for column in range(columns):
                slot = (width * column // columns, height * row // rows, width // columns, height // rows)
                _paste(rng, canvas, head, slot)
    pixels = _light(rng, np.asarray(canvas, np.float32), strength=1.0)
    pixels += rng.normal(0.0, rng.uniform(0.0, 4.0), pixels.shape).astype(np.float32)
    return _image(pixels)


def _image(pixels: Pixels) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def _whole(rng: Generator, portrait: Image.Image, height: int, width: int) -> Image.Image:
    """A random part of the portrait with the head in it, mirrored half of the time: one large face."""
    _, _, right, bottom = _HEAD
    w = rng.uniform(bottom * width / height, min(portrait.width, portrait.height * width / height))
    left = rng.uniform(max(0.0, right - w), min(_HEAD[0], portrait.width - w))
    box = (left, 0.0, left + w, w * height / width)
    part = portrait.resize((width, height), Image.Resampling.BICUBIC, box=box)
    return ImageOps.mirror(part) if rng.random() < 0.5 else part


def _background(rng: Generator, picture: Image.Image, height: int, width: int) -> Image.Image:
    """A random part of ``picture``, mirrored half of the time, a little out of focus as behind a person."""
    share = rng.uniform(0.6, 1.0)
    scale = share * min(picture.width / width, picture.height / height)
    w, h = width * scale, height * scale
    left, top = rng.uniform(0, picture.width - w), rng.uniform(0, picture.height - h)
    part = picture.resize((width, height), Image.Resampling.BICUBIC, box=(left, top, left + w, top + h))
    if rng.random() < 0.5:
        part = ImageOps.mirror(part)
    return part.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 3.0)))


def _paste(rng: Generator, canvas: Image.Image, head: Image.Image, slot: tuple[int, int, int, int]) -> None:
    """Set one varied head somewhere inside ``slot`` (left, top, width, height)."""
    left, top, width, height = slot
    largest = min(width / head.width, height / head.height) * 0.72  # leaves room to turn
    smallest = 40 / _FACE_WIDTH
    scale = math.exp(rng.uniform(math.log(smallest), math.log(max(largest, smallest))))
    patch = head.resize((round(head.width * scale), round(head.height * scale)), Image.Resampling.LANCZOS)
    if rng.random() < 0.5:
        patch = ImageOps.mirror(patch)
    alpha = patch.getchannel("A")
    patch = _image(_light(rng, np.asarray(patch.convert("RGB"), np.float32), strength=0.5))
    patch = patch.filter(ImageFilter.GaussianBlur(rng.uniform(0.0, 0.012) * patch.width * _FACE_WIDTH / head.width))
    patch.putalpha(alpha)
    patch = patch.rotate(rng.uniform(-25, 25), Image.Resampling.BICUBIC, expand=True)
    x = left + int(rng.integers(max(1, width - patch.width)))
    y = top + int(rng.integers(max(1, height - patch.height)))
    canvas.paste(patch, (x, y), patch)


def _light(rng: Generator, pixels: Pixels, *, strength: float) -> Pixels:
    """Exposure, contrast, colour of the light, and a slope of brightness across the picture; ``[h, w, 3]``."""
    height, width = pixels.shape[:2]

    def spread(most: float) -> float:
        return strength * rng.uniform(-most, most)

    gain = (1 + spread(0.25)) * np.array([1 + spread(0.06) for _ in "rgb"])
    across = np.linspace(-1, 1, width)[None, :, None] * spread(0.15)
    down = np.linspace(-1, 1, height)[:, None, None] * spread(0.15)
    lit = 255 * (pixels / 255) ** (1 + spread(0.25)) * gain * (1 + across + down)
    return np.asarray(lit, np.float32)
