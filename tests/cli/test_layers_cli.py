"""Layers on the command line: profile --layers, --time and --across, data to-raw, report similarities."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from cli_types import Run

from mpsearch.graph.read import read
from mpsearch.layers.similarity import COLUMNS
from mpsearch.layers.times import COLUMNS as TIME_COLUMNS

MODEL = ("model.onnx", "--photos", "evaluation", "--calibration", "calibration")


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize("subject", [("mpsearch.yaml",), (), MODEL])
def test_layers_of_a_study_or_model_are_the_six_columns(run: Run, folder: Path, subject: tuple[str, ...]) -> None:
    done = run("profile", *subject, "--layers", "--limit", "2", "--format", "csv")
    assert done.code == 0, done.err
    rows = table(done.out)
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) > 5
    assert "layers of both, on 2 photograph(s)" in done.err
    assert "only in the float model" in done.err


def test_every_source_gives_the_same_columns_and_files(run: Run, folder: Path) -> None:
    for against in ("simulator", "host"):
        done = run("profile", *MODEL, "--layers", "--against", against, "--out", f"{against}.json")
        assert done.code == 0, done.err
        assert "CosSim" in done.out
    tables = [json.loads((folder / f"{name}.json").read_text()) for name in ("simulator", "host")]
    assert len(tables[1]["layers"]) > len(tables[0]["layers"])
    assert run("profile", *MODEL, "--layers", "--against", "host", "--out", "host.csv").code == 0
    assert table((folder / "host.csv").read_text())[0].keys() == dict.fromkeys(COLUMNS).keys()


def test_a_folder_of_dumps_with_everything_wrong_still_gives_a_table(run: Run, folder: Path) -> None:
    from mpsearch.graph.onnxio import FloatModel
    from mpsearch.images import PhotoSet, Preprocess, find

    graph = read(folder / "model.onnx")
    layers = [node.outputs[0] for node in graph.nodes]
    (image,) = PhotoSet(find("evaluation"), Preprocess(32, 32), limit=1).batches(1)
    dump = folder / "dump" / "Result_0"
    dump.mkdir(parents=True)
    for index, (name, values) in enumerate(FloatModel(graph, tensors=layers).run(image).items()):
        data = np.moveaxis(values, 1, -1) if values.ndim == 4 else values
        data = np.ascontiguousarray(data, "<f4") * (np.nan if index == 2 else 1)
        if index != 3:
            (dump / f"_{name}.raw").write_bytes(data.tobytes()[: 40 if index == 1 else None])
    done = run("profile", "model.onnx", "--photos", "evaluation", "--layers", "--against", "dump", "--format", "json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert len(found["problems"]) == 2
    assert len(found["model_only"]) == 1
    assert [row["CosSim"] for row in found["layers"]].count(None) == 2
    assert "problem: " in done.err
    assert "truncated" in done.err
    assert "NaN" in done.err
    assert "NHWC" in done.err


@pytest.mark.parametrize(("target", "said"), [("vs640", "simulated"), ("host", "onnxruntime")])
def test_times_are_the_seven_columns(run: Run, folder: Path, target: str, said: str) -> None:
    done = run("profile", *MODEL, "--time", "--target", target, "--format", "csv", "--out", "t.csv")
    assert done.code == 0, done.err
    rows = table(done.out)
    assert tuple(rows[0]) == TIME_COLUMNS
    assert (folder / "t.csv").read_text() == done.out
    assert sum(float(row["Percentage_of_Total_Time"]) for row in rows) == pytest.approx(1, abs=0.01)
    assert said in done.err


def test_a_recorded_profile_needs_no_model(run: Run, folder: Path) -> None:
    (folder / "log.csv").write_text(
        "Msg Timestamp, Message, Layer Id, Time, Runtime\n"
        "1,FORWARD_PROPAGATE,,90,\n2,FORWARD_PROPAGATE_LAYER,0,80,DSP\n"
    )
    done = run("profile", "--time", "--log", "log.csv", "--format", "json")
    assert done.code == 0, done.err
    assert json.loads(done.out)[0]["time_mean"] == 80.0
    assert "FORWARD_PROPAGATE: 90" in done.err


def test_kinds_of_layers_are_ranked_over_runs(run: Run, folder: Path) -> None:
    for base in ("uint8", "int8-pc"):
        assert run("profile", *MODEL, "--layers", "--base", base, "--out", f"{base}.json").code == 0
    done = run("profile", "--across", "uint8.json", "int8-pc.json", "--format", "json")
    assert done.code == 0, done.err
    rows = json.loads(done.out)
    assert {row["by"] for row in rows} >= {"op", "position"}
    assert all(row["low"] <= row["factor"] * 1.2 and row["verdict"] in ("worse", "better", "open") for row in rows)
    assert "rank correlation" in done.err


def test_the_page_marks_what_a_studys_search_chose(run: Run, folder: Path) -> None:
    assert run("run", "--trials", "4").code in (0, 4)
    assert run("profile", "--layers", "--out", "uint8.csv").code == 0
    done = run("report", "similarities", "uint8.csv", "--study", "mpsearch.yaml", "--pick", "0", "--out", "page.html")
    assert done.code == 0, done.err
    assert done.out == "page.html\n"
    assert "nothing is marked" in done.err, "trial 0 is uniform"
    candidate = {"base": "uint8", "overrides": {read(folder / "model.onnx").compute_units[0].name: "int16"}}
    (folder / "best.json").write_text(json.dumps(candidate))
    marked = ("report", "similarities", "uint8.csv", "--candidate", "best.json", "--model", "model.onnx")
    assert run(*marked, "--out", "page.html").code == 0
    assert '"mark":"int16"' in (folder / "page.html").read_text()


def test_photographs_become_raw_files_and_a_list(run: Run, folder: Path) -> None:
    done = run("data", "to-raw", "evaluation", "--model", "model.onnx", "--type", "uint8", "--out", "raw")
    assert (done.code, done.out) == (0, "raw/input_list.txt\n"), done.err
    lines = (folder / "raw" / "input_list.txt").read_text().splitlines()
    assert lines[0] == f"input:={folder}/raw/0.raw"
    assert len(lines) == 4
    assert (folder / "raw" / "0.raw").stat().st_size == 32 * 32 * 3
    done = run("data", "to-raw", "evaluation", "--size", "32x24", "--npy", "--list", "synap", "--out", "npy")
    assert done.code == 0, done.err
    assert np.load(folder / "npy" / "0.npy").shape == (1, 3, 32, 24)
    assert "dataset: [npy/*.npy]" in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("profile", "--layers", "--time"), "ask one at a time"),
        (("profile", "--across"), "--across needs tables"),
        (("profile", "--across", "absent.csv"), "absent.csv: cannot be read"),
        (("profile", "a.onnx", "b.onnx"), "2 models at once"),
        (("profile", "model.onnx", "--layers"), "an ONNX file needs photographs"),
        (("profile", "--layers", "--photos", "evaluation"), "--photos is for ONNX files"),
        (("profile", "--layers", "--base", "uint9"), "--base uint9: unknown"),
        (("profile", "--layers", "--against", "nothing"), "no such file or folder"),
        (("profile", "--layers", "--against", "calibration"), "no .raw, .npy, .bin or .dat file"),
        (("profile", "--layers", "--against", "evaluation", "--dump-type", "int8"), "dumps of type 'int8'"),
        (("profile", "--layers", "--candidate", "model.onnx"), "cannot be read"),
        (("profile", "--time", "--log", "absent"), "absent: cannot be read"),
        (("profile", "--time", "--target", "vs999"), "no board profile 'vs999'"),
        (("profile", "model.onnx", "--photos", "evaluation", "--means", "1,2"), "neither a number nor three"),
        (("report", "similarities", "mpsearch.yaml", "--out", "p.html"), "no column"),
        (("data", "to-raw", "evaluation", "--out", "raw"), "either --model FILE.onnx or --size"),
        (("data", "to-raw", "evaluation", "--size", "32", "--out", "raw"), "write height x width"),
        (("data", "to-raw", "evaluation", "--size", "8x8", "--type", "int8", "--zero", "99", "--out", "r"), "cannot"),
        (("data", "to-raw", "absent", "--size", "32x32", "--out", "raw"), "no such file or folder"),
    ],
)  # fmt: skip
def test_bad_input_is_named(run: Run, folder: Path, arguments: tuple[str, ...], said: str) -> None:
    done = run(*arguments)
    assert done.code == 2, done.err
    assert said in done.err
    assert "internal error" not in done.err
