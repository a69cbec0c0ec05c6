"""``mpsearch stats`` with the answers of a board: the lab's, through its own tools."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from mpsearch.testing import spots
from mpsearch.testing.lab.bench import Lab


def test_candidates_are_counted_by_what_the_board_answers_and_how_long_it_takes(lab: Lab, tmp_path: Path) -> None:
    spots.study(tmp_path)
    spots.labels(tmp_path / "labels.json")
    board = lab.board_file("local", accuracy="board")
    argv = [
        sys.executable,
        "-c",
        "from mpsearch.cli import main; main()",
        "stats",
        "mpsearch.yaml",
        "--target",
        str(board),
        "--pick",
        "uint8",
    ]
    argv += ["--labels", "labels.json", "--format", "json"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    rows = {row["model_name"]: row for row in json.loads(done.stdout)}
    assert rows["uint8"]["source"] == "board"
    assert rows["uint8"]["FPS"] > 0
    assert rows["uint8"]["detections"] == rows["float"]["detections"] == 6
    assert rows["uint8"]["AP50"] == 1
