"""The application, and how errors become exit codes.

Exit codes: 0 done; 1 failed; 2 wrong usage or configuration; 3 ``doctor`` found something missing; 4 finished with no
candidate within the budget; 130 interrupted, with the finished trials stored.
"""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from pathlib import Path

import typer

from mpsearch import __version__
from mpsearch.cli import (
    bench,
    calibrate,
    data,
    demo_data,
    doctor,
    evaluate,
    explain,
    export,
    fidelity,
    inspect,
    pareto,
    profile,
    report,
    run,
    show,
    stats,
    status,
    toolchain,
)
from mpsearch.errors import MpsearchError

_INTERRUPTED = 130

app = typer.Typer(
    name="mpsearch",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Mixed-precision search for NPUs: error against latency, and the metafile that gets you there.",
)
for module in (
    run,
    status,
    explain,
    pareto,
    export,
    evaluate,
    fidelity,
    inspect,
    profile,
    bench,
    report,
    stats,
    show,
    data,
    calibrate,
    doctor,
    toolchain,
    demo_data,
):
    module.register(app)


@app.callback(invoke_without_command=True)
def _version(version: bool = typer.Option(False, "--version", help="Print the version and stop.")) -> None:
    if version:
        print(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line and exit."""
    try:
        code = app(standalone_mode=False)
    except MpsearchError as error:
        print(f"mpsearch: error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except Exception as error:
        if hasattr(error, "show") and hasattr(error, "exit_code"):  # click's usage errors, with their own wording
            error.show()
            raise SystemExit(2) from None
        raise SystemExit(_internal_error(error)) from None
    if code == _INTERRUPTED:  # typer turns Ctrl-C into this result itself
        print("mpsearch: interrupted; everything that was finished is stored", file=sys.stderr)
    raise SystemExit(code if isinstance(code, int) else 0)


def _internal_error(error: Exception) -> int:
    """A bug of mpsearch: keep the traceback in a file, or show it with MPSEARCH_DEBUG=1."""
    if os.environ.get("MPSEARCH_DEBUG"):
        traceback.print_exception(error)
        return 1
    handle, name = tempfile.mkstemp(prefix="mpsearch-", suffix=".log")
    with os.fdopen(handle, "w") as file:
        file.write(f"mpsearch {__version__}\n{' '.join(sys.argv)}\n\n")
        traceback.print_exception(error, file=file)
    print(
        f"mpsearch: internal error: {type(error).__name__}: {error}\n"
        f"  This is a bug. Details: {Path(name)} (MPSEARCH_DEBUG=1 shows them here)",
        file=sys.stderr,
    )
    return 1
