"""The main job through the command line, on a small real model."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import yaml
from cli_types import Run

from mpsearch.candidate import Candidate


def rows(text: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(text)
    return found


def test_a_study_runs_shows_a_front_and_exports_what_it_chose(folder: Path, run: Run) -> None:
    ran = run("run")
    assert ran.code == 0, ran.err
    assert "Pareto front" in ran.out
    assert "simulated" in ran.err

    front = rows(run("pareto", "--format", "json").out)
    assert {"trial", "latency_ms", "output_noise_ppm", "feasible", "candidate"} <= set(front[0])
    latencies = [row["latency_ms"] for row in front]
    errors = [row["output_noise_ppm"] for row in front]
    assert latencies == sorted(latencies)  # type: ignore[type-var]
    assert errors == sorted(errors, reverse=True)  # type: ignore[type-var]
    assert all(row["source"] == "simulated" for row in front)

    every = list(csv.DictReader(io.StringIO(run("pareto", "--all", "--format", "csv").out)))
    assert len(every) == 8

    exported = run("export", "--pick", "budget", "--out", "bundle")
    assert exported.code == 0, exported.err
    names = {path.name for path in (folder / "bundle").iterdir()}
    assert names == {"metafile.yaml", "candidate.json", "record.json", "command.txt", "lock.json", "README.md"}
    assert yaml.safe_load((folder / "bundle/metafile.yaml").read_text())["quantization"]["dataset"]
    assert (folder / "bundle/command.txt").read_text().startswith("synap convert --model model.onnx")
    again = run("export", "--pick", "budget", "--out", "bundle")
    assert again.code == 0, "an earlier bundle is replaced"


def test_what_was_exported_scores_the_same_again(folder: Path, run: Run) -> None:
    run("run", "--trials", "6")
    run("export", "--pick", "knee", "--out", "bundle")
    record = json.loads((folder / "bundle/record.json").read_text())
    evaluated = rows(run("eval", "bundle/candidate.json", "--format", "json").out)[0]
    assert evaluated["record"]["measured"]["score"] == record["measured"]["score"]  # type: ignore[index]
    assert evaluated["record"]["measured"]["timing"] == record["measured"]["timing"]  # type: ignore[index]


def test_a_hand_written_metafile_is_scored_like_the_candidate_that_it_means(folder: Path, run: Run) -> None:
    (folder / "meta.yaml").write_text(
        "inputs:\n- means: [0, 0, 0]\n  scale: 255\nquantization:\n  data_type: int16\n  dataset:\n  - q/*.jpg\n"
    )
    (folder / "same.json").write_text(json.dumps(Candidate(base="int16").to_json()))
    a = rows(run("eval", "meta.yaml", "--format", "json").out)[0]
    b = rows(run("eval", "same.json", "--format", "json").out)[0]
    assert a["digest"] == b["digest"]
    assert a["output_noise_ppm"] == b["output_noise_ppm"]


def test_a_study_goes_on_where_it_stopped_and_can_be_extended(folder: Path, run: Run) -> None:
    run("run", "--trials", "4")
    first = rows(run("pareto", "--all", "--format", "json").out)
    run("run", "--trials", "9")
    assert rows(run("pareto", "--all", "--format", "json").out)[: len(first)] == first
    assert rows(run("status", "--format", "json").out)[0]["trials"] == 9
    assert run("resume", "--trials", "2").code == 0
    assert rows(run("status", "--format", "json").out)[0]["trials"] == 11


def test_another_budget_reads_the_records_again_and_measures_nothing(folder: Path, run: Run) -> None:
    run("run")
    front = rows(run("pareto", "--format", "json").out)
    slowest = max(float(str(row["latency_ms"])) for row in front)
    before = rows(run("status", "--format", "json").out)[0]
    ran = run("run", "--budget-ms", str(slowest + 1))
    assert ran.code == 0
    assert rows(run("status", "--format", "json").out)[0]["trials"] == before["trials"]
    assert all(row["feasible"] for row in rows(run("pareto", "--format", "json").out))
    tight = run("run", "--budget-ms", "0.0001")
    assert tight.code == 4
    assert "nearest" in tight.err
    assert run("export", "--pick", "budget", "--out", "none").code == 4
    assert not (folder / "none").exists()


def test_caches_may_be_deleted_at_any_time(folder: Path, run: Run) -> None:
    run("run", "--trials", "5")
    before = rows(run("pareto", "--all", "--format", "json").out)
    shutil.rmtree(folder / "mpsearch-runs/mpsearch/cache")
    assert run("run", "--trials", "6").code == 0
    assert rows(run("pareto", "--all", "--format", "json").out)[:5] == before


def test_a_changed_model_is_refused_with_what_differs(folder: Path, run: Run) -> None:
    from mpsearch.testing.models import save, small_detector

    run("run", "--trials", "4")
    save(small_detector(seed=5), folder / "model.onnx")
    ran = run("run", "--trials", "5")
    assert ran.code == 2
    assert "model" in ran.err


def test_dry_run_measures_and_stores_nothing(folder: Path, run: Run) -> None:
    ran = run("run", "--dry-run", "--format", "json")
    assert ran.code == 0, ran.err
    assert rows(ran.out)[0]["metafile"]
    assert not (folder / "mpsearch-runs").exists()


def test_a_plot_is_written(folder: Path, run: Run) -> None:
    run("run", "--trials", "4")
    assert run("pareto", "--plot", "pictures/front.png").code == 0
    assert (folder / "pictures/front.png").read_bytes().startswith(b"\x89PNG")


def test_inspect_lists_units_and_cuts(folder: Path, run: Run) -> None:
    shown = run("inspect", "model.onnx", "--format", "json")
    assert {row["role"] for row in rows(shown.out)} == {"compute", "transparent", "output"}
    assert "may be cut at" in shown.err


def test_doctor_says_what_is_there(run: Run) -> None:
    shown = run("doctor", "--format", "json")
    assert shown.code == 0
    assert {"python", "onnxruntime", "adb"} <= {row["what"] for row in rows(shown.out)}


def test_storage_in_another_place_is_used(folder: Path, run: Run) -> None:
    url = f"sqlite:///{folder}/elsewhere/s.db"
    assert run("run", "--trials", "3", "--storage", url).code == 0
    assert (folder / "elsewhere/s.db").is_file()
    assert rows(run("status", "--storage", url, "--format", "json").out)[0]["trials"] == 3
