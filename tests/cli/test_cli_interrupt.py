"""Ctrl-C in the middle of a search: exit code 130, and everything that was finished is kept."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from cli_types import Run


def _as_in_a_terminal() -> None:
    """A shell's background jobs ignore SIGINT, and what they start inherits that; a user's terminal does not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_keeps_all_that_was_finished(folder: Path, run: Run) -> None:
    command = [sys.executable, "-c", "from mpsearch.cli import main; main()", "run", "--trials", "5000"]
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True, preexec_fn=_as_in_a_terminal)
    deadline = time.monotonic() + 60
    finished = 0
    while finished < 3 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.3)
        shown = run("status", "--format", "json")
        finished = json.loads(shown.out)[0]["trials"] if shown.code == 0 else 0
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "interrupted" in err
    stored = json.loads(run("status", "--format", "json").out)[0]["trials"]
    assert stored >= finished >= 3
    assert run("run", "--trials", str(stored + 2)).code == 0
    assert json.loads(run("status", "--format", "json").out)[0]["trials"] == stored + 2
