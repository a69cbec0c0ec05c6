"""``mpsearch profile``: where quantization hurts, layer by layer; where the time goes; what is bad in every model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mpsearch.candidate import DataType
from mpsearch.cli import across, layers, times
from mpsearch.cli.feeding import (
    BgrOption,
    CalibrationOption,
    MeansOption,
    PhotosOption,
    ScaleOption,
    ShapeOption,
    feed_of,
    is_model,
    open_fed,
)
from mpsearch.cli.inspect import shape_option
from mpsearch.cli.options import check_plot
from mpsearch.cli.output import Format, FormatOption, emit, say, stderr_console
from mpsearch.errors import ConfigError

if TYPE_CHECKING:
    from rich.progress import Progress

    from mpsearch.fed import Feed
    from mpsearch.quant.profile import Measure

UNIT_COLUMNS = ("unit", "kind", "alone_error", "widened_error", "gain", "sqnr_db", "cosine", "entropy")
TENSOR_COLUMNS = ("tensor", "unit", "sqnr_db", "cosine", "entropy")
_LIMIT, _LIMIT_LAYERS = 16, 4


class Layout(StrEnum):
    AUTO = "auto"
    NCHW = "nchw"
    NHWC = "nhwc"


def register(app: typer.Typer) -> None:
    app.command("profile")(profile)


def profile(
    subjects: Annotated[
        list[str] | None,
        typer.Argument(metavar="STUDY|MODEL|FILE...", help="Study (file or name) or ONNX file; tables with --across."),
    ] = None,
    by_layer: Annotated[bool, typer.Option("--layers", help="Every layer's output against the float model's.")] = False,
    by_time: Annotated[bool, typer.Option("--time", help="Every layer's time.")] = False,
    over_models: Annotated[
        bool, typer.Option("--across", help="Which kinds of layers are bad in several tables of --layers.")
    ] = False,
    photos: PhotosOption = None,
    calibration: CalibrationOption = None,
    means: MeansOption = "0",
    scale: ScaleOption = "255",
    bgr: BgrOption = False,
    input_shape: ShapeOption = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help=f"Photographs. Default: {_LIMIT}, with --layers {_LIMIT_LAYERS}.")
    ] = None,
    base: Annotated[str, typer.Option(help="Base that everything is quantized in.")] = "uint8",
    candidate: Annotated[
        Path | None, typer.Option(help="--layers, --time: candidate.json or metafile instead of --base.")
    ] = None,
    against: Annotated[
        str,
        typer.Option(help="--layers: simulator, host, a board's file, a quantized ONNX file, or a folder of dumps."),
    ] = "simulator",
    layout: Annotated[Layout, typer.Option(help="--layers: of dumps without a shape.")] = Layout.AUTO,
    dump_type: Annotated[str, typer.Option(help="--layers: of dumps without a header.")] = "float32",
    shapes: Annotated[
        Path | None, typer.Option(help="--layers: of dumps: what snpe-dlc-info printed, or wrote with -s.")
    ] = None,
    target: Annotated[str | None, typer.Option(help="--time: replaces the study's target; vs680 for a model.")] = None,
    log: Annotated[
        Path | None, typer.Option(help="--time: read this instead: of snpe-diagview, synap_cli or onnxruntime.")
    ] = None,
    high: Annotated[
        DataType | None, typer.Option(help="Type that each unit is widened to; the base's next if left out.")
    ] = None,
    tensors: Annotated[bool, typer.Option("--tensors", help="A row for each tensor instead of each unit.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Also draw it: .png, .svg or .pdf.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="--layers, --time: also write a table, .csv (the usual columns) or .json.")
    ] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Measure how much each unit suffers from quantization, and what widening it would gain.

    With --layers, --time or --across, answer another question about the layers.
    """
    if by_layer + by_time + over_models > 1:
        raise ConfigError("--layers, --time and --across are three questions: ask one at a time")
    check_plot(plot)
    if over_models:
        across.show(subjects or [], form)
        return
    if by_time and log is not None:
        times.show_log(log, out, form)
        return
    name = subjects[0] if subjects else None
    if len(subjects or []) > 1:
        raise ConfigError(f"{len(subjects or [])} models at once", hint="One at a time; --across compares tables.")
    feed = feed_of(photos, means, scale, bgr, calibration)
    if feed is not None and not is_model(name):
        raise ConfigError("--photos is for ONNX files; a study names its own")
    shape = shape_option(input_shape)
    if by_layer:
        fed = open_fed(name, feed, shape=shape, limit=limit or _LIMIT_LAYERS)
        chosen = layers.chosen(fed, base, candidate)
        layers.show(fed, chosen, against, layout.value, dump_type, shapes, out, form)
    elif by_time:
        fed = open_fed(name, feed, shape=shape, limit=limit or _LIMIT_LAYERS)
        times.show(fed, layers.chosen(fed, base, candidate), target, out, form)
    else:
        _sensitivity(name, feed, shape, limit or _LIMIT, base, high, tensors=tensors, plot=plot, form=form)


def _sensitivity(
    name: str | None,
    feed: Feed | None,
    shape: tuple[int, ...] | None,
    limit: int,
    base: str,
    high: DataType | None,
    *,
    tensors: bool,
    plot: Path | None,
    form: Format,
) -> None:
    from mpsearch.quant.profile import output_noise
    from mpsearch.quant.profile import profile as run
    from mpsearch.report import profile as report

    if is_model(name):
        fed = open_fed(name, feed, shape=shape, limit=limit)
        graph, calibration, chosen, cache = fed.graph, fed.calibration, fed.evaluation, None
        measure, error = output_noise(graph, chosen), "outputs' noise over signal"
    else:
        graph, calibration, chosen, measure, error, cache = _study(name, limit)
    with _bar() as bar:
        task = bar.add_task(graph.path.name, total=None)
        found = run(
            graph, calibration, chosen, measure, base=base, high=high, cache=cache,
            on_unit=lambda done, total: bar.update(task, completed=done, total=total),
        )  # fmt: skip
    if plot is not None:
        report.plot(found, plot, error=error)
    rows = report.tensor_rows(found) if tensors else report.unit_rows(found)
    emit(rows, form, columns=TENSOR_COLUMNS if tensors else UNIT_COLUMNS, title=f"{graph.path.name} in {found.base}")
    worst = max(found.units, key=lambda unit: unit.alone_error)
    best = min(found.units, key=lambda unit: unit.widened_error)
    say(
        f"errors are the {error}, on {found.photographs} photographs; all in {found.base}: {found.base_error:.4g}\n"
        f"noisiest alone: {worst.unit} ({worst.alone_error:.4g}); most gained by {found.high}: {best.unit} "
        f"(down to {best.widened_error:.4g})\n"
        f"took {found.seconds:.0f} s, as long as {found.seconds / found.float_pass_s:.0f} float passes"
    )


def _bar() -> Progress:
    from rich.progress import Progress

    console = stderr_console()
    return Progress(console=console, transient=True, disable=not console.is_terminal)


def _study(subject: str | None, limit: int) -> tuple[Any, Any, Any, Measure, str, Path]:
    from mpsearch import members
    from mpsearch.study.folder import cache_folder
    from mpsearch.workbench import open_workbench

    study = members.one(subject)
    fewer = min(limit, study.data.evaluation_limit or limit)
    data = study.data.model_copy(update={"evaluation_limit": fewer})
    study = study.model_copy(update={"data": data})
    bench = open_workbench(study, cache=cache_folder(study), say=say)

    def measure(batches: Iterator[Mapping[str, Any]]) -> float:
        return bench.scorer.score(batches).objective

    return bench.graph, bench.calibration, bench.evaluation, measure, bench.scorer.task.label, cache_folder(study)
