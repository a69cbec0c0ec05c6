"""``mpsearch profile STUDY|MODEL``: where quantization hurts, unit by unit and tensor by tensor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mpsearch.candidate import DataType
from mpsearch.cli.inspect import shape_option
from mpsearch.cli.output import Format, FormatOption, emit, say, stderr_console
from mpsearch.errors import ConfigError

if TYPE_CHECKING:
    from rich.progress import Progress

    from mpsearch.graph.model import ModelGraph
    from mpsearch.images import PhotoSet
    from mpsearch.quant.profile import Measure

UNIT_COLUMNS = ("unit", "kind", "alone_error", "widened_error", "gain", "sqnr_db", "cosine", "entropy")
TENSOR_COLUMNS = ("tensor", "unit", "sqnr_db", "cosine", "entropy")


def register(app: typer.Typer) -> None:
    app.command("profile")(profile)


def profile(
    subject: Annotated[
        str | None, typer.Argument(metavar="STUDY|MODEL", help="Study file or name, or an ONNX file with --photos.")
    ] = None,
    photos: Annotated[Path | None, typer.Option(help="Photographs for an ONNX file: folder, glob or list.")] = None,
    means: Annotated[float, typer.Option(help="With an ONNX file: subtracted from each pixel.")] = 0.0,
    scale: Annotated[float, typer.Option(help="With an ONNX file: divides each pixel.")] = 255.0,
    bgr: Annotated[bool, typer.Option("--bgr", help="With an ONNX file: channels in the order BGR.")] = False,
    input_shape: Annotated[str | None, typer.Option(help="For a dynamic input, e.g. 1,3,480,640.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Photographs to measure on.")] = 16,
    base: Annotated[str, typer.Option(help="Base that everything is quantized in.")] = "uint8",
    high: Annotated[DataType, typer.Option(help="Type that each unit is widened to.")] = DataType.INT16,
    tensors: Annotated[bool, typer.Option("--tensors", help="A row for each tensor instead of each unit.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Also draw it into this file.")] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Measure how much each unit suffers from quantization, and what widening it would gain."""
    from mpsearch.quant.profile import profile as run
    from mpsearch.report import profile as report

    if subject is not None and subject.endswith(".onnx"):
        graph, calibration, chosen, measure, error, cache = _model(
            Path(subject), photos, (means,) * 3, (scale,) * 3, bgr, shape_option(input_shape), limit
        )
    else:
        graph, calibration, chosen, measure, error, cache = _study(subject, limit)
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


def _study(subject: str | None, limit: int) -> tuple[ModelGraph, PhotoSet, PhotoSet, Measure, str, Path | None]:
    from mpsearch import config
    from mpsearch.study.folder import cache_folder
    from mpsearch.workbench import open_workbench

    study = config.load(config.find(subject))
    fewer = min(limit, study.data.evaluation_limit or limit)
    data = study.data.model_copy(update={"evaluation_limit": fewer})
    study = study.model_copy(update={"data": data})
    bench = open_workbench(study, cache=cache_folder(study), say=say)

    def measure(batches: Iterator[Mapping[str, Any]]) -> float:
        return bench.scorer.score(batches).objective_px2

    error = "landmark error in px^2" if bench.scorer.decoder.heads else "outputs' mean squared error"
    return bench.graph, bench.calibration, bench.evaluation, measure, error, cache_folder(study)


def _model(
    path: Path,
    photos: Path | None,
    means: tuple[float, ...],
    scale: tuple[float, ...],
    bgr: bool,
    shape: tuple[int, ...] | None,
    limit: int,
) -> tuple[ModelGraph, PhotoSet, PhotoSet, Measure, str, Path | None]:
    """Without a decoder: the outputs' noise over their signal; calibrated on the very photographs, which is said."""
    from mpsearch.graph.read import read
    from mpsearch.images import PhotoSet, Preprocess, find
    from mpsearch.quant.profile import output_noise

    if photos is None:
        raise ConfigError(f"{path}: an ONNX file needs photographs", hint="Add --photos DIR, or name a study instead.")
    graph = read(path, input_shape=shape)
    size = graph.tensors[graph.inputs[0]].shape
    if len(size) != 4 or size[1] != 3:
        raise ConfigError(f"{path}: its input is {list(size)}; photographs need [1, 3, height, width]")
    chosen = PhotoSet(find(photos), Preprocess(size[2], size[3], means, scale, "bgr" if bgr else "rgb"), limit=limit)
    say(f"note: calibrated on the {len(chosen)} photographs it is measured on; a study keeps the two apart")
    return graph, chosen, chosen, output_noise(graph, chosen), "outputs' noise over signal", None
