"""Several models in one study, through the command line: two small face detectors with inputs of different sizes."""

from __future__ import annotations

import csv
import io
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from cli_types import Run

from mpsearch.testing import spots

RANDOM = ("--sampler", "random")
"""Where it does not matter who proposes: the guided search's models take longer than these networks."""


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    spots.several(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows(text: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(text)
    return found


def test_two_models_share_trials_a_budget_and_a_front(two: Path, run: Run) -> None:
    ran = run("run", "--trials", "9")
    assert ran.code == 0, ran.err
    assert "mpsearch:small: the reference, 3 faces in 2 photographs" in ran.err
    assert "mpsearch:large: landmark error of its float version" in ran.err
    assert "2 models, 9 trials, 0 done" in ran.err
    assert "in the end: trial" in ran.err

    every = rows(run("pareto", "--all", "--format", "json").out)
    assert len(every) == 9
    assert {row["model"] for row in every} == {"small", "large"}
    front = rows(run("pareto", "--format", "json").out)
    points = [(row["latency_ms"], row["landmark_mse_px2"]) for row in every]
    best = {p for p in points if not any(q != p and q[0] <= p[0] and q[1] <= p[1] for q in points)}
    assert {(row["latency_ms"], row["landmark_mse_px2"]) for row in front} == best
    assert "model" in run("pareto").out
    assert {row["model"] for row in csv.DictReader(io.StringIO(run("pareto", "--format", "csv").out))} <= {
        "small",
        "large",
    }

    status = rows(run("status", "--format", "json").out)[0]
    assert (status["study"], status["trials"], status["asked"]) == ("mpsearch", 9, 9)
    assert sum(model["trials"] for model in status["models"]) == 9
    assert sum(model["on_the_front"] for model in status["models"]) == len(front)
    budgets = {json.dumps(part["budget_ms"]) for part in (status, *_statuses(run))}
    assert len(budgets) == 1, "1.5 times all-uint8 of the large one, for both"
    assert {row["of"] for row in rows(run("explain", "--format", "json").out)} == {"small", "large"}
    assert "small: Models" in run("explain").out


def _statuses(run: Run) -> list[dict[str, Any]]:
    return [rows(run("status", f"mpsearch.yaml:{name}", "--format", "json").out)[0] for name in ("small", "large")]


def test_what_is_exported_names_its_model_and_scores_the_same_again(two: Path, run: Run) -> None:
    run("run", "--trials", "6")
    exported = run("export", "--pick", "budget", "--out", "bundle")
    assert exported.code == 0, exported.err
    best = rows(run("status", "--format", "json").out)[0]
    name = best["best_model"]
    assert f"trial {best['best_trial']} of {name}: {name}.onnx" in exported.err
    readme = (two / "bundle/README.md").read_text()
    assert f"# Trial {best['best_trial']} of mpsearch:{name}" in readme
    assert f"against the float version of small.onnx: {best['best_landmark_mse_px2']:.4g} px²" in readme
    assert (two / "bundle/command.txt").read_text().startswith(f"synap convert --model {name}.onnx")
    record = json.loads((two / "bundle/record.json").read_text())
    evaluated = run("eval", "bundle/candidate.json", "--study", f"mpsearch.yaml:{name}", "--format", "json")
    assert rows(evaluated.out)[0]["record"]["measured"]["score"] == record["measured"]["score"]

    refused = run("export", "--pick", "0", "--out", "other")
    assert refused.code == 2
    assert "each of the models large, small counts its own trials" in refused.err
    assert run("export", "mpsearch.yaml:large", "--pick", "0", "--out", "other").code == 0
    assert "large.onnx" in (two / "other/command.txt").read_text()


def test_one_of_them_can_go_on_alone_and_all_go_on_from_there(two: Path, run: Run) -> None:
    run("run", "--trials", "4", "--no-final", *RANDOM)
    assert run("run", "mpsearch.yaml:large", "--trials", "5", "--no-final", *RANDOM).code == 0
    before = rows(run("pareto", "--all", "--format", "json").out)
    assert sum(row["model"] == "large" for row in before) == 5
    resumed = run("resume", "--trials", "2", "--no-final", *RANDOM)
    assert resumed.code == 0, resumed.err
    after = rows(run("pareto", "--all", "--format", "json").out)
    assert len(after) == len(before) + 2
    assert all(row in after for row in before)


def test_another_budget_reads_all_models_anew(two: Path, run: Run) -> None:
    run("run", "--trials", "6", "--no-final", *RANDOM)
    tight = run("run", "--trials", "6", "--budget-ms", "0.0001", "--no-final", *RANDOM)
    assert tight.code == 4
    for name in ("small", "large"):
        assert re.search(rf"{name}: the budget of \S+ ms cannot be met", tight.err)
    assert "nearest: trial" in tight.err
    assert rows(run("status", "--format", "json").out)[0]["trials"] == 6


def test_a_model_that_cannot_meet_the_budget_gets_no_trial(two: Path, run: Run) -> None:
    run("run", "--trials", "4", "--no-final", *RANDOM)
    every = rows(run("pareto", "--all", "--format", "json").out)
    least = {name: min(row["latency_ms"] for row in every if row["model"] == name) for name in ("small", "large")}
    between = (least["small"] + least["large"]) / 2
    shown = run("run", "--trials", "8", "--budget-ms", str(between), "--storage", f"sqlite:///{two}/other.db")
    assert "large: the budget of" in shown.err, shown.err
    status = rows(run("status", "--storage", f"sqlite:///{two}/other.db", "--format", "json").out)[0]
    assert {model["model"]: model["trials"] for model in status["models"]} == {"small": 8, "large": 0}


def test_a_killed_search_goes_on_without_losing_a_finished_trial(two: Path, run: Run) -> None:
    command = [
        sys.executable,
        "-c",
        "from mpsearch.cli import main; main()",
        "run",
        "--trials",
        "500",
        "--no-final",
        *RANDOM,
    ]
    process = subprocess.Popen(command, cwd=two, stderr=subprocess.DEVNULL)
    deadline, finished = time.monotonic() + 60, 0
    while finished < 3 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.3)
        shown = run("status", "--format", "json")
        finished = rows(shown.out)[0]["trials"] if shown.code == 0 else 0
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert finished >= 3
    kept = rows(run("pareto", "--all", "--format", "json").out)
    assert run("run", "--trials", str(len(kept) + 2), "--no-final", *RANDOM).code == 0
    after = rows(run("pareto", "--all", "--format", "json").out)
    assert len(after) == len(kept) + 2
    assert all(row in after for row in kept)


def test_commands_for_one_model_ask_which(two: Path, run: Run) -> None:
    for command in (["profile"], ["data", "check"], ["stats"]):
        refused = run(*command, "mpsearch.yaml")
        assert refused.code == 2, command
        assert "has several models: small, large" in refused.err
        assert "mpsearch.yaml:small" in refused.err
    wrong = run("status", "mpsearch.yaml:smal")
    assert (wrong.code, "nearest: 'small'" in wrong.err) == (2, True)


def test_another_reference_is_another_study(two: Path, run: Run) -> None:
    run("run", "--trials", "3", "--no-final", *RANDOM)
    study = two / "mpsearch.yaml"
    study.write_text(study.read_text() + "reference: large\n")
    refused = run("run", "--trials", "4")
    assert refused.code == 2
    assert "was made with something else: scoring" in refused.err
    exported = run("export", "--pick", "budget", "--out", "bundle")
    assert exported.code == 2
    assert "study file changed since" in exported.err


def test_dry_run_shows_the_seeds_of_all(two: Path, run: Run) -> None:
    shown = run("run", "--dry-run", "--format", "json")
    assert shown.code == 0, shown.err
    assert {row["model"] for row in rows(shown.out)} == {"small", "large"}
    assert "Seed 0 of large would be built with:" in shown.err
    assert not (two / "mpsearch-runs").exists()


def test_a_picture_of_the_shared_front_is_drawn(two: Path, run: Run) -> None:
    run("run", "--trials", "4", "--no-final", *RANDOM)
    assert run("pareto", "--plot", "front.svg").code == 0
    drawn = (two / "front.svg").read_text()
    assert "<!-- small -->" in drawn
    assert "<!-- large -->" in drawn


def test_errors_while_a_model_is_opened_name_it(two: Path, run: Run) -> None:
    spots.faces(two / "large.onnx", scale=2, seed=1, points=(1, 0, 2, 4, 3))
    refused = run("run", "--trials", "3")
    assert refused.code == 2
    assert "mpsearch:large: large.onnx: its landmarks are in another order" in refused.err
    (two / "large.onnx").write_bytes(b"none")
    assert "large.onnx" in run("run", "--dry-run").err
