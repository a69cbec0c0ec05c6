"""``python -m mpsearch.cli.reference > docs/cli.md``: the command line reference, from ``--help``."""

from __future__ import annotations

from typing import Any

import typer

from mpsearch.cli.app import app

_HEAD = """# Command line

Generated: `python -m mpsearch.cli.reference > docs/cli.md`.

stdout is data, stderr is talk. Listing commands take `--format table|json|csv`. Exit codes: 0 done, 1 failed, 2 wrong
usage or configuration, 3 `doctor` found something missing, 4 finished with no candidate within the budget,
130 interrupted, with the finished trials stored.
"""


def text() -> str:
    """The whole page."""
    group = typer.main.get_command(app)
    commands = getattr(group, "commands", {})
    return _HEAD + "".join(_command(name, command) for name, command in commands.items())


def _command(name: str, command: Any) -> str:
    context = command.context_class(command, info_name=f"mpsearch {name}")
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [f"\n## mpsearch {name}\n", f"`mpsearch {name} {usage}`\n", f"{(command.help or '').strip()}\n"]
    rows = []
    for parameter in command.params:
        names = ", ".join(f"`{opt}`" for opt in (*parameter.opts, *parameter.secondary_opts))
        if parameter.param_type_name == "argument":
            names = f"`{(parameter.metavar or parameter.name or '').strip('[]').upper()}`"
        default = parameter.get_default(context)
        shown = "" if default in (None, False, ()) else f" Default: {getattr(default, 'value', default)}."
        rows.append(f"| {names} | {getattr(parameter, 'help', '') or ''}{shown} |")
    if rows:
        lines += ["| option | meaning |", "|---|---|", *rows, ""]
    inner = getattr(command, "commands", {})
    return "\n".join(lines) + "".join(_command(f"{name} {part}", found) for part, found in inner.items())


if __name__ == "__main__":
    print(text(), end="")
