"""``mpsearch calibrate BOARD FILE...``: a board's profile from the user's own timings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mpsearch.cli.output import Format, FormatOption, emit, say
from mpsearch.errors import ConfigError


def register(app: typer.Typer) -> None:
    app.command("calibrate")(calibrate)


def calibrate(
    board: Annotated[str, typer.Argument(help="The profile to start from: vs680, vs640, rvc4, or a file.")],
    files: Annotated[list[Path], typer.Argument(help="Timings: CSV (model,ms or unit,ms) or records as JSON.")],
    model: Annotated[Path | None, typer.Option(help="The network of a per-layer profile or of records.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where to write the profile; by default BOARD-calibrated.yaml.")
    ] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Fit a board's cost model to timings, say how well it does, and write the profile."""
    from mpsearch.board import measurements, profile
    from mpsearch.board.calibrate import calibrate as fit
    from mpsearch.graph.read import read

    start = profile.load(board)
    graph = read(model) if model is not None else None
    found = fit(start, [item for file in files for item in measurements.read(file, model=graph)])
    rows: list[dict[str, Any]] = [
        {
            "measurement": row.label,
            "measured_ms": row.measured_ms,
            "before_ms": row.before_ms,
            "model_ms": row.after_ms,
            "left_out_ms": row.left_out_ms,
            "left_out_error": row.left_out_ms / row.measured_ms - 1,
        }
        for row in found.rows
    ]
    emit(rows, form, title=found.profile.name)
    for field, (before, after) in found.fitted.items():
        say(f"{field}: {before:.4g} -> {after:.4g}")
    for field, what in found.silent.items():
        say(f"{field}: not determined; it would take {what}")
    if found.skipped:
        say(f"left out, because the model charges nothing for them: {', '.join(found.skipped)}")
    say(f"median error {found.error:.1%}, of rows left out of the fit {found.left_out_error:.1%}")
    path = out or Path(f"{found.profile.name}.yaml")
    try:
        path.write_text(found.text(), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error})") from error
    say(f"written: {path}; use it as `target: {path}`")
