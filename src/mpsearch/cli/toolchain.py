"""``mpsearch toolchain``: what can judge and build candidates here, and how to get the vendor's engine."""

from __future__ import annotations

import shutil
from typing import Annotated, Any

import typer

from mpsearch.cli.output import Format, FormatOption, emit, say
from mpsearch.errors import ConfigError

_INSTALLABLE = ("acuity",)


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Toolchains: which there are, and how to get the vendor's engine.")
    group.command("list")(list_)
    group.command("install")(install)
    app.add_typer(group, name="toolchain")


def list_(form: FormatOption = Format.TABLE) -> None:
    """List the toolchains, with what was found of each."""
    emit(rows(), form, columns=("toolchain", "state", "found", "for"))


def install(
    name: Annotated[str, typer.Argument(help="acuity: the engine behind SyNAP's converter, from PyPI.")],
    python: Annotated[str | None, typer.Option("--python", help="The Python 3.10 to use.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Throw away an earlier installation.")] = False,
) -> None:
    """Install a toolchain (about 2 GB, in the user's cache or where MPSEARCH_ACUITY says); goes on where it stopped."""
    from mpsearch.toolchain.acuity import environment
    from mpsearch.toolchain.acuity.install import install as make

    if name not in _INSTALLABLE:
        raise ConfigError(
            f"toolchain {name!r} cannot be installed by mpsearch",
            hint=f"It installs: {', '.join(_INSTALLABLE)}. See: mpsearch toolchain list",
        )
    make(environment.find(), python=python, fresh=fresh, say=say)


def rows() -> list[dict[str, Any]]:
    """One a toolchain; plain data."""
    from mpsearch.toolchain.acuity import environment

    engine = environment.find()
    toolkit = shutil.which("synap_convert") or shutil.which("docker")
    return [
        {"toolchain": "simulator", "state": "built in", "found": "-", "for": "scores in milliseconds, on the host"},
        {"toolchain": "host", "state": "built in", "found": "-", "for": "onnxruntime on this computer (--target host)"},
        {
            "toolchain": "acuity",
            "state": engine.state,
            "found": f"{environment.ENGINE} in {engine.folder}" if engine.state == "installed" else str(engine.folder),
            "for": "the vendor's own quantizer and compiler on a PC (--toolchain acuity)",
        },
        {
            "toolchain": "synap",
            "state": "found" if toolkit else "absent",
            "found": toolkit or "-",
            "for": "models for SyNAP boards (a board's file as --target)",
        },
    ]
