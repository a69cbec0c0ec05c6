"""``cat`` of the lab's device while a copy shall go wrong: takes half, then breaks the connection or finds no space.

Only the standard library is imported, and it is started as a file.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

if __package__:
    from mpsearch.testing.lab.faults import Faults
else:  # started as a file, with its folder as the only path, which is fast
    from faults import Faults  # type: ignore[import-not-found, no-redef]


def main() -> int:
    faults = Faults.of_environment()
    cut, full = faults.take("cut-push"), faults.take("disk-full")
    data = sys.stdin.buffer.read(1000) if cut else sys.stdin.buffer.read()
    sys.stdout.buffer.write(data[: len(data) // 2] if cut or full else data)
    sys.stdout.buffer.flush()
    if cut:
        os.kill(session(os.getppid()), signal.SIGKILL)
        return 1
    if full:
        print("cat: write error: No space left on device", file=sys.stderr)
        return 1
    return 0


def session(number: int) -> int:
    """The nearest sshd above a process: the one that serves this connection."""
    while number > 1:
        words = Path(f"/proc/{number}/stat").read_text()
        if words.partition("(")[2].startswith("sshd"):
            return number
        number = int(words.rpartition(")")[2].split()[1])
    raise RuntimeError("no sshd above this process")


if __name__ == "__main__":
    sys.exit(main())
