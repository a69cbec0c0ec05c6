"""Several models on one device: one lease, one budget, whichever model it is a multiple of."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from mpsearch.testing import spots
from mpsearch.testing.lab.bench import Lab


def mpsearch(folder: Path, *arguments: str) -> tuple[list[dict[str, Any]], str]:
    argv = [sys.executable, "-c", "from mpsearch.cli import main; main()", *arguments, "--format", "json"]
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert done.returncode in (0, 4), done.stderr
    return json.loads(done.stdout), done.stderr


def test_two_models_take_turns_on_one_board(lab: Lab, tmp_path: Path) -> None:
    spots.several(tmp_path)
    board = str(lab.board_file("local"))
    _, said = mpsearch(tmp_path, "run", "--target", board, "--trials", "4", "--no-final", "--budget-ms", "1000")
    rows, _ = mpsearch(tmp_path, "pareto", "--all", "--target", board)
    assert {row["model"] for row in rows} == {"small", "large"}
    assert len(rows) == 4
    assert all(row["source"] == "board" and row["latency_ms"] > 0 for row in rows), said


def test_a_multiple_of_a_measured_latency_is_that_of_the_named_model(tmp_path: Path) -> None:
    path = spots.several(tmp_path, more="target: host\nmeasuring: {limit_s: 1, most: 15}\n")
    (tmp_path / "space.yaml").write_text(
        "vendor: host\nbases: [int8-pc]\nuniforms: [float16]\ntypes: [float16]\ngrouping: each\n"
    )
    path.write_text(path.read_text().replace("of: uint8, model: large", "of: float16, model: large"))
    mpsearch(tmp_path, "run", "--trials", "3", "--no-final")
    whole = mpsearch(tmp_path, "status")[0][0]
    large = mpsearch(tmp_path, "status", "mpsearch.yaml:large")[0][0]
    small = mpsearch(tmp_path, "status", "mpsearch.yaml:small")[0][0]
    assert whole["budget_ms"] == large["budget_ms"] == small["budget_ms"] > 0
    # One alone asks for the same budget, and so measures the other model first.
    _, said = mpsearch(tmp_path, "run", "mpsearch.yaml:small", "--trials", "1", "--no-final")
    assert "mpsearch:small: the budget is a multiple of what large.onnx takes: it is timed first" in said
