"""What is said to a device's shell, and what it answers. Pure.

Written for the poorest shell among them (Android's toybox, busybox, dash). Exit codes come back in a last line of
our own, because ``adb shell`` of old devices loses them, and because its absence tells a broken connection from a
program that ended.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

_END = "mpsearch-exit"
_PID = "mpsearch-pid"
_CODE = re.compile(rf"(?:\r?\n)?{_END} (\d+)\r?\n?\Z")
_NUMBER = re.compile(rf"{_PID} (\d+)\r?\n")


def script(argv: Sequence[str], cwd: str = "") -> str:
    """One line for ``sh``: run ``argv``, say the process id first and the exit code last.

    Raises:
        ValueError: a NUL byte, which no argument can hold.
    """
    if any("\0" in word for word in (*argv, cwd)):
        raise ValueError(f"a NUL byte in {argv!r}")
    inner = f"""echo "{_PID} $$" >&2; exec "$0" "$@" </dev/null"""
    go = f"cd {shlex.quote(cwd)} && " if cwd else ""
    return f"{go}sh -c {shlex.quote(inner)} {shlex.join(argv)}; printf '\\n{_END} %s\\n' $?"


def ending(stdout: str) -> tuple[str, int | None]:
    """Standard output without our last line, and the exit code; None when the line is missing."""
    found = _CODE.search(stdout)
    return (stdout[: found.start()], int(found[1])) if found else (stdout, None)


def process_id(text: str) -> tuple[str, int | None]:
    """A stream without the line that tells the process id, and the id."""
    found = _NUMBER.search(text)
    if found is None:
        return text, None
    return text[: found.start()] + text[found.end() :], int(found[1])
