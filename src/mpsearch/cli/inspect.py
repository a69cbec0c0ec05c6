"""``mpsearch inspect MODEL``: the units, their names and costs, the outputs and where they may be cut."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mpsearch.cli.output import Format, FormatOption, emit, say


def register(app: typer.Typer) -> None:
    app.command("inspect")(inspect)


def shape_option(text: str | None) -> tuple[int, ...] | None:
    """``"1,3,480,640"`` -> the numbers.

    Raises:
        typer.BadParameter: anything else.
    """
    if text is None:
        return None
    try:
        shape = tuple(int(part) for part in text.replace("x", ",").split(","))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise typer.BadParameter(f"{text!r} is no shape; write it like 1,3,480,640", param_hint="--input-shape")
    return shape


def inspect(
    model: Annotated[Path, typer.Argument(help="An ONNX file.")],
    input_shape: Annotated[str | None, typer.Option(help="For a dynamic input, e.g. 1,3,480,640.")] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Show a model's units, outputs and cut points, or say why it cannot be searched."""
    from mpsearch.graph.read import read

    graph = read(model, input_shape=shape_option(input_shape))
    rows: list[dict[str, Any]] = [
        {
            "unit": unit.name,
            "kind": unit.kind,
            "role": str(unit.role),
            "nodes": list(unit.nodes),
            "output": list(unit.outputs),
            "shape": list(graph.tensors[unit.outputs[0]].shape) if unit.outputs else [],
            "macs": unit.macs,
            "weights": unit.weights,
            "cuts": [list(cut) for cut in graph.cut_points[unit.outputs[0]]] if unit.kind == "output" else [],
        }
        for unit in graph.units
    ]
    emit(rows, form, columns=("unit", "kind", "role", "shape", "macs", "weights"), title=str(model))
    say(f"{len(graph.compute_units)} units choose a type, {graph.macs / 1e9:.3f} GMAC, opset {graph.opset}")
    source = graph.inputs[0]
    say(f"input {source} {list(graph.tensors[source].shape)}")
    for output in graph.outputs:
        say(f"output {output} {list(graph.tensors[output].shape)}")
        for cut in graph.cut_points[output]:
            say(f"  may be cut at {', '.join(cut)}")
    for note in graph.notes:
        say(f"note: {note}")
