"""How commands that take ONNX files beside studies feed them: options, and what comes of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mpsearch.cli.options import numbers
from mpsearch.cli.output import say
from mpsearch.errors import ConfigError

if TYPE_CHECKING:
    from mpsearch.fed import Fed, Feed

PhotosOption = Annotated[str | None, typer.Option("--photos", help="Photographs: folder, glob or list.")]
CalibrationOption = Annotated[
    str | None, typer.Option("--calibration", help="Of ONNX files: photographs that choose ranges. Default: the same.")
]
MeansOption = Annotated[
    str, typer.Option("--means", help="Of ONNX files: subtracted from pixels; one number, or three with commas.")
]
ScaleOption = Annotated[str, typer.Option("--scale", help="Of ONNX files: divides the rest; one number, or three.")]
BgrOption = Annotated[bool, typer.Option("--bgr", help="Of ONNX files: channels in the order BGR.")]
DecoderOption = Annotated[
    str | None, typer.Option("--decoder", help="Of ONNX files: a name, or YAML such as '{name: yolo, classes: 3}'.")
]
ShapeOption = Annotated[str | None, typer.Option("--input-shape", help="For a dynamic input, e.g. 1,3,480,640.")]
CACHE = Path("mpsearch-runs") / "models" / "cache"
"""For what can be computed again about an ONNX file that no study names."""


def feed_of(photos: str | None, means: str, scale: str, bgr: bool, calibration: str | None = None) -> Feed | None:
    """None without photographs."""
    from mpsearch.fed import Feed

    if photos is None:
        return None
    return Feed(photos, calibration, numbers(means, "--means"), numbers(scale, "--scale"), "bgr" if bgr else "rgb")


def is_model(name: str | None) -> bool:
    """An ONNX file, not a study."""
    return name is not None and name.lower().endswith(".onnx")


def open_fed(
    name: str | None,
    feed: Feed | None,
    *,
    limit: int,
    shape: tuple[int, ...] | None = None,
    decoder: Mapping[str, Any] | None = None,
) -> Fed:
    """A study, or an ONNX file with its photographs.

    Raises:
        ConfigError, DataError, ModelError: with the file, the thing and the next step.
    """
    from mpsearch import members
    from mpsearch.fed import from_model, from_study

    if name is not None and is_model(name):
        fed = from_model(Path(name), feed, limit=limit, cache=CACHE, shape=shape, decoder=decoder)
    else:
        fed = from_study(members.one(name), limit=limit)
    if fed.same_photographs:
        count = len(fed.evaluation)
        say(f"note: calibrated on the {count} photographs it is measured on; --calibration keeps them apart")
    return fed


def read_decoder(text: str | None) -> dict[str, Any] | None:
    """``--decoder`` as a study would have it.

    Raises:
        ConfigError: neither a name nor a mapping with one.
    """
    import yaml

    from mpsearch.scoring import decoders

    if text is None:
        return None
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--decoder {text!r}: not YAML: {error}") from error
    if isinstance(found, str):
        return {"name": found}
    if not isinstance(found, dict) or not isinstance(found.get("name"), str):
        known = ", ".join(decoders.names())
        raise ConfigError(f"--decoder {text!r}: a name, or a mapping with one", hint=f"Decoders: {known}")
    return dict(found)
