"""``mpsearch bench MODEL...``: latency, error, size and layers of one model or many, in one table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mpsearch.cli.feeding import (
    CACHE,
    BgrOption,
    CalibrationOption,
    DecoderOption,
    MeansOption,
    PhotosOption,
    ScaleOption,
    ShapeOption,
    feed_of,
    open_fed,
    read_decoder,
)
from mpsearch.cli.inspect import shape_option
from mpsearch.cli.layers import chosen
from mpsearch.cli.output import Format, FormatOption, emit, say
from mpsearch.errors import CandidateError, ConfigError, MpsearchError

if TYPE_CHECKING:
    from mpsearch.bench.table import Row
    from mpsearch.board.measure import Plan
    from mpsearch.candidate import Candidate
    from mpsearch.fed import Fed, Feed

RESULTS = "results"


def register(app: typer.Typer) -> None:
    app.command("bench")(bench)


def bench(
    models: Annotated[
        list[str],
        typer.Argument(metavar="MODEL...", help="ONNX files (float or quantized), .tflite with a board, or studies."),
    ],
    target: Annotated[
        str | None, typer.Option(help="host, a simulated board, or a board's file. Default: the study's; host.")
    ] = None,
    base: Annotated[
        list[str] | None, typer.Option("--base", help="Repeatable: uniform candidates. Default: 8 bits.")
    ] = None,
    candidate: Annotated[
        list[Path] | None, typer.Option("--candidate", help="Repeatable: candidate.json files, or metafiles.")
    ] = None,
    pick: Annotated[
        list[str] | None, typer.Option("--pick", help="Repeatable, of a study: budget, knee, or a trial's number.")
    ] = None,
    photos: PhotosOption = None,
    calibration: CalibrationOption = None,
    decoder: DecoderOption = None,
    means: MeansOption = "0",
    scale: ScaleOption = "255",
    bgr: BgrOption = False,
    input_shape: ShapeOption = None,
    limit: Annotated[int, typer.Option(min=1, help="Photographs to score on.")] = 16,
    float_model: Annotated[
        str | None, typer.Option("--float", help="The float model of quantized files, as the truth of their error.")
    ] = None,
    limit_s: Annotated[float, typer.Option(min=0.1, help="Seconds for each timing on the host.")] = 20.0,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder: results.csv and .json over runs, and each model's layers and info.json."),
    ] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Build, time, score and weigh models; float models also as they are, quantized files too."""
    from mpsearch.board.measure import Plan

    feed = feed_of(photos, means, scale, bgr, calibration)
    run = _Run(feed, read_decoder(decoder), shape_option(input_shape), limit, target, Plan(limit_s=limit_s), out)
    for name in models:
        say(f"{name}:")
        before = len(run.rows)
        try:
            run.add(name, base or [], candidate or [], pick or [], float_model)
        except MpsearchError as error:
            if len(models) == 1:
                raise
            say(f"error: {error}")
            run.failed(name, error)
        for row in run.rows[before:]:
            if row.latency_ms is None and not row.variant:
                continue  # said above
            say(f"  {row.variant} on {row.target}: {_short(row)}")
    rows = run.finish()
    from mpsearch.bench.table import COLUMNS

    columns = [name for name in COLUMNS if any(row.shown()[name] not in (None, "") for row in rows)]
    emit([row.shown() for row in rows], form, columns=columns)
    if any(row.latency_ms is None for row in run.rows):
        raise typer.Exit(1)


class _Run:
    """The rows of one command."""

    def __init__(
        self,
        feed: Feed | None,
        decoder: dict[str, Any] | None,
        shape: tuple[int, ...] | None,
        limit: int,
        target: str | None,
        plan: Plan,
        out: Path | None,
    ) -> None:
        self._feed, self._decoder, self._shape, self._limit = feed, decoder, shape, limit
        self._target, self._plan, self._out = target, plan, out
        self.rows: list[Row] = []
        from mpsearch.bench.table import read

        self._old = read(out / f"{RESULTS}.json") if out else ()

    def add(self, name: str, bases: list[str], files: list[Path], picks: list[str], float_model: str | None) -> None:
        """Everything about one model."""
        from mpsearch.bench import run
        from mpsearch.device import spec as device

        path = Path(name)
        if path.suffix.lower() in (".onnx", ".tflite") and not path.is_file():
            raise ConfigError(f"{name}: no such file")
        if path.suffix.lower() == ".tflite" or (path.suffix.lower() == ".onnx" and run.is_quantized(path)):
            board = Path(self._target) if self._target and device.is_spec(self._target) else None
            if path.suffix.lower() == ".tflite" and board is None:
                raise ConfigError(f"{name}: only a SyNAP board runs .tflite files", hint="Give its file with --target.")
            if board is not None:
                self.rows.append(run.baseline_row(path, board, cache=CACHE, say=say))
            elif float_model is None:
                self.rows.append(run.as_it_is(path, self._plan))
            else:
                self.rows.append(run.Bench(self._fed(float_model), "host", self._plan, say).prequantized_row(path))
            return
        if path.suffix.lower() == ".onnx" and self._feed is None:
            say("  note: without --photos only the float model is timed")
            self.rows.append(run.as_it_is(path, self._plan, run.FLOAT))
            return
        self._candidates(self._fed(name), bases, files, picks)

    def failed(self, name: str, error: MpsearchError) -> None:
        """A row for a model that gave none."""
        from mpsearch.bench.table import Row

        self.rows.append(Row(Path(name).stem, "", self._target or "", name, note=error.message.splitlines()[0]))

    def finish(self) -> tuple[Row, ...]:
        """All rows, those of earlier runs in the same folder included, and written there."""
        from mpsearch.bench.table import merged, to_csv, to_json
        from mpsearch.cli.layers import write

        rows = merged(self._old, self.rows)
        if self._out is not None:
            write(self._out / f"{RESULTS}.json", to_json(rows))
            write(self._out / f"{RESULTS}.csv", to_csv(rows))
        return rows

    def _fed(self, name: str) -> Fed:
        return open_fed(name, self._feed, limit=self._limit, shape=self._shape, decoder=self._decoder)

    def _candidates(self, fed: Fed, bases: list[str], files: list[Path], picks: list[str]) -> None:
        from mpsearch.bench import files as folders
        from mpsearch.bench.run import Bench

        target = self._target or (fed.study.target if fed.study else "host")
        wanted = [(base, chosen(fed, base, None)) for base in bases]
        wanted += [(file.stem, chosen(fed, "", file)) for file in files]
        wanted += [_picked(fed, how, self._target) for how in picks]
        bench = Bench(fed, target, self._plan, say)
        if not wanted:
            wanted = [(bench.usual_base, chosen(fed, bench.usual_base, None))]
        try:
            if not fed.graph.reshaped:
                self.rows.append(bench.float_row())
            for variant, candidate in wanted:
                row, artifact = bench.candidate_row(candidate, variant)
                self.rows.append(row)
                if artifact is not None and self._out is not None:
                    try:
                        say(f"  wrote {folders.write(self._out, row, fed, artifact, target, say=say)}")
                    except CandidateError as error:
                        say(f"  note: {variant}: no layers: {error.message}")
        finally:
            bench.close()


def _picked(fed: Fed, how: str, target: str | None) -> tuple[str, Candidate]:
    """A candidate that a study's search found."""
    from mpsearch.cli.options import open_ledger
    from mpsearch.pareto.pick import pick

    if fed.study is None:
        raise ConfigError("--pick chooses among a study's trials; an ONNX file has none", hint="Name a study.")
    _, ledger, limits = open_ledger(fed.study.address, None, target, None)
    trial = pick(ledger.trials, how, limits)
    return f"trial-{trial.number}", trial.record.candidate


def _short(row: Row) -> str:
    parts = [f"{row.latency_ms:.2f} ms ({row.source})"] if row.latency_ms is not None else []
    parts += [f"{row.error_is} {row.error:.4g}"] if row.error is not None else []
    return ", ".join(parts + ([row.note] if row.note else []))
