"""``mpsearch data to-raw PHOTOS --out DIR``: photographs in a device's bytes, with the list its tool reads."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mpsearch.cli.inspect import shape_option
from mpsearch.cli.options import numbers
from mpsearch.cli.output import say
from mpsearch.errors import ConfigError
from mpsearch.inputlist import LIST_NAME, ListForm, RawType, input_list


class Fit(StrEnum):
    LETTERBOX = "letterbox"
    STRETCH = "stretch"


class Layout(StrEnum):
    NHWC = "nhwc"
    NCHW = "nchw"


def register(group: typer.Typer) -> None:
    group.command("to-raw")(to_raw)


def to_raw(
    photos: Annotated[str, typer.Argument(help="Photographs: folder, glob, list file or one image.")],
    out: Annotated[Path, typer.Option(help="Folder to write; made if it is not there.")],
    model: Annotated[Path | None, typer.Option(help="ONNX file that gives the input's size and name.")] = None,
    size: Annotated[str | None, typer.Option(help="Instead of --model: height x width, e.g. 480x640.")] = None,
    kind: Annotated[RawType, typer.Option("--type", help="Of one element.")] = RawType.FLOAT32,
    bgr: Annotated[bool, typer.Option("--bgr", help="Channels in the order BGR.")] = False,
    layout: Annotated[Layout | None, typer.Option(help="Default: nhwc, and nchw with --list synap.")] = None,
    fit: Annotated[Fit, typer.Option(help="letterbox keeps the aspect ratio, with grey 114.")] = Fit.LETTERBOX,
    means: Annotated[str, typer.Option(help="Subtracted from pixels: one number, or three with commas.")] = "0",
    scale: Annotated[str, typer.Option(help="Divides what is left: one number, or three with commas.")] = "1",
    step: Annotated[float, typer.Option(help="Of integer types: element = round(value / step) + zero.")] = 1.0,
    zero: Annotated[int | None, typer.Option(help="Of integer types. Default: 0; int8: -128.")] = None,
    npy: Annotated[bool, typer.Option("--npy", help="npy files with a batch of 1 instead of raw bytes.")] = False,
    form: Annotated[ListForm, typer.Option("--list", help=f"{LIST_NAME} in SNPE's form, SyNAP's, or none.")] = (
        ListForm.SNPE
    ),
    input_name: Annotated[str | None, typer.Option(help="For name:=path. Default: the model's; '' for none.")] = None,
    first_line: Annotated[str, typer.Option(help="SNPE: '#layer ...' or '%tensor ...' asks for outputs.")] = "",
    prefix: Annotated[str, typer.Option(help="The files' folder where the list will be read. Default: as here.")] = "",
) -> None:
    """Write photographs in the bytes that a device's tool takes, and the list of them."""
    from mpsearch.images import Preprocess, find
    from mpsearch.raw import Encoding, Recipe, write

    height, width, name = _input(model, size)
    preprocess = Preprocess(
        height, width, numbers(means, "--means"), numbers(scale, "--scale"), "bgr" if bgr else "rgb"
    )
    last = layout is Layout.NHWC if layout is not None else form is not ListForm.SYNAP
    recipe = Recipe(preprocess, Encoding(kind, step, zero), fit is Fit.STRETCH, last, npy)
    chosen = "" if form is not ListForm.SNPE else name if input_name is None else input_name
    if form is not ListForm.NONE:  # refused before anything is written
        input_list([], form, name=chosen, first_line=first_line, prefix=prefix)
    files = write(find(photos), out, recipe)
    shape = f"{height}x{width} {kind} {'NHWC' if last else 'NCHW'} {preprocess.order}"
    said = f"{len(files)} photographs, {shape}, {files[0].stat().st_size} bytes each"
    if form is not ListForm.NONE:
        place = out / LIST_NAME
        text = input_list(files, form, name=chosen, first_line=first_line, prefix=prefix)
        try:
            place.write_text(text, encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{place}: cannot be written ({error})") from error
        print(place)
    else:
        print(out)
    say(said)
    if form is ListForm.SYNAP and npy:
        say(f"in a metafile: quantization: {{dataset: [{out.name}/*.npy]}}; means and scale are not applied again")


def _input(model: Path | None, size: str | None) -> tuple[int, int, str]:
    """Height, width and name of the network's input."""
    if (model is None) == (size is None):
        raise ConfigError("give the input's size: either --model FILE.onnx or --size HEIGHTxWIDTH")
    if model is not None:
        from mpsearch.graph.read import read

        graph = read(model)
        shape = graph.tensors[graph.inputs[0]].shape
        if len(shape) != 4 or shape[1] != 3:
            raise ConfigError(f"{model}: its input is {list(shape)}; photographs need [1, 3, height, width]")
        return shape[2], shape[3], graph.inputs[0]
    sizes = shape_option(size) or ()
    if len(sizes) != 2:
        raise ConfigError(f"--size {size}: write height x width, e.g. 480x640")
    return sizes[0], sizes[1], ""
