"""Installs AIMET into an environment of its own and talks to :mod:`aimet_trial` there."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PACKAGE = "aimet-onnx"
INSTALL_S = 1800
MARK = "answer: "


def install(environment: Path) -> str:
    """Make ``environment`` where it is missing, and put AIMET into it; "" when it is ready, else the reason."""
    python = environment / "bin" / "python"
    check = [str(python), "-c", "import aimet_onnx.quantsim"]
    if python.exists() and subprocess.run(check, capture_output=True, check=False).returncode == 0:
        return ""
    steps = (
        [sys.executable, "-m", "venv", str(environment)],
        [str(python), "-m", "pip", "install", "--quiet", PACKAGE],
        check,
    )
    for step in steps:
        try:
            done = subprocess.run(step, capture_output=True, text=True, timeout=INSTALL_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"{' '.join(step)}: {error}"
        if done.returncode:
            last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
            return f"{' '.join(step)}: exit code {done.returncode}: {''.join(last)}"
    return ""


class Aimet:
    """A running simulation; raises ``RuntimeError`` with its last words where it ends early."""

    def __init__(
        self, environment: Path, model: Path, calibration: NDArray[np.float32], evaluation: NDArray[np.float32]
    ) -> None:
        self._scratch = tempfile.TemporaryDirectory()
        folder = Path(self._scratch.name)
        np.save(folder / "calibration.npy", calibration)
        np.save(folder / "evaluation.npy", evaluation)
        script = Path(__file__).with_name("aimet_trial.py")
        self._log = (folder / "log.txt").open("w+")
        self._process = subprocess.Popen(
            [str(environment / "bin" / "python"), str(script), str(model)]
            + [str(folder / f"{name}.npy") for name in ("calibration", "evaluation")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self._read()

    def trial(self, wide: Sequence[str]) -> float:
        """Seconds for one candidate whose tensors ``wide`` are in 16 bits."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(list(wide)) + "\n")
        self._process.stdin.flush()
        return float(self._read())

    def _read(self) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(MARK):  # AIMET prints too
                return line.removeprefix(MARK)
        self._log.seek(0)
        raise RuntimeError("AIMET ended early: " + " | ".join(self._log.read().splitlines()[-3:]))

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()
        self._scratch.cleanup()
