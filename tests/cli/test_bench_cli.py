"""One command for everything: float, quantized, several models, a study, boards; each with its files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from cli_types import Run
from onnxruntime import quantization

from mpsearch.layers.info import KEYS
from mpsearch.testing.models import save, small_detector

FED = ("--photos", "evaluation", "--calibration", "calibration", "--limit-s", "0.2")


def prequantized(folder: Path) -> Path:
    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = [{"input": np.random.default_rng(0).random((1, 3, 32, 32), np.float32)}]

        def get_next(self) -> dict[str, np.ndarray] | None:
            return self.left.pop() if self.left else None

    target = folder / "prequantized.onnx"
    quantization.quantize_static(str(folder / "model.onnx"), str(target), Reader())
    return target


def test_a_model_gets_a_row_in_float_and_in_each_base_and_its_files(run: Run, folder: Path) -> None:
    bases = ("--base", "uint8", "--base", "int8-pc")
    done = run("bench", "model.onnx", *FED, *bases, "--out", "out", "--format", "json")
    assert done.code == 0, done.err
    rows = json.loads(done.out)
    assert [row["variant"] for row in rows] == ["float32", "uint8", "int8-pc"]
    assert rows[0]["error"] == 0
    assert all(row["latency_ms"] > 0 and row["size_mb"] > 0 for row in rows)
    assert all(row["error"] > 0 for row in rows[1:])
    made = folder / "out" / "model-uint8-host"
    names = {
        "similarity.csv",
        "similarity.json",
        "layer_stats.csv",
        "info.json",
        "all_model_info.json",
        "throughput.txt",
    }
    assert {path.name for path in made.iterdir()} == names | {"onnx_layers.json"}
    about = json.loads((made / "info.json").read_text())
    assert tuple(about) == KEYS
    assert (about["model_h"], about["model_w"], about["model_name"]) == (32, 32, "model")
    assert about["FPS"] == pytest.approx(rows[1]["fps"], rel=0.01)
    assert run("report", "similarities", str(made / "similarity.json"), "--out", "page.html").code == 0


def test_the_table_grows_over_runs_and_replaces_its_own_rows(run: Run, folder: Path) -> None:
    for _ in range(2):
        assert run("bench", "model.onnx", "--limit-s", "0.2", "--out", "out").code == 0
    save(small_detector(seed=1), folder / "other.onnx")
    done = run("bench", "other.onnx", "--limit-s", "0.2", "--out", "out", "--format", "json")
    assert [row["model"] for row in json.loads(done.out)] == ["model", "other"]
    with (folder / "out" / "results.csv").open() as file:
        assert [row["model"] for row in csv.DictReader(file)] == ["model", "other"]


def test_a_simulated_board_says_how_its_integers_become_numbers(run: Run, folder: Path) -> None:
    done = run("bench", "mpsearch.yaml", "--target", "vs640", "--limit-s", "0.2", "--out", "out", "--format", "json")
    assert done.code == 0, done.err
    rows = json.loads(done.out)
    assert [(row["variant"], row["target"], row["source"]) for row in rows] == [
        ("float32", "host", "host"),
        ("uint8", "vs640", "simulated"),
    ]
    about = json.loads((folder / "out" / "model-uint8-vs640" / "info.json").read_text())
    for output in about["dequantize_info"].values():
        assert (output["type"], output["bit_width"]) == ("uFxp_8", 8)
        assert output["scale"] * (0 + output["offset"]) == pytest.approx(output["min"])
        assert output["scale"] * (255 + output["offset"]) == pytest.approx(output["max"])


def test_on_a_simulated_htp_the_usual_8_bits_are_taken(run: Run, folder: Path) -> None:
    done = run("bench", "model.onnx", *FED, "--target", "rvc4", "--format", "json")
    assert done.code == 0, done.err
    assert [row["variant"] for row in json.loads(done.out)] == ["float32", "a8w8"]


def test_a_prequantized_model_is_timed_as_it_is_and_scored_against_its_float_self(run: Run, folder: Path) -> None:
    prequantized(folder)
    done = run("bench", "prequantized.onnx", "--limit-s", "0.2", "--format", "json")
    assert done.code == 0, done.err
    (row,) = json.loads(done.out)
    assert (row["variant"], row["target"], row["error"]) == ("as it is", "host", None)
    done = run("bench", "prequantized.onnx", "--float", "model.onnx", *FED, "--format", "json")
    assert done.code == 0, done.err
    (row,) = json.loads(done.out)
    assert row["error"] > 0
    assert row["error_is"] == "output_noise_ppm"


def test_a_prequantized_model_of_another_network_is_timed_and_the_rest_is_said(run: Run, folder: Path) -> None:
    prequantized(folder)
    save(small_detector(size=64), folder / "large.onnx")
    done = run("bench", "prequantized.onnx", "--float", "large.onnx", *FED, "--format", "json")
    (row,) = json.loads(done.out)
    assert row["latency_ms"] > 0
    assert "the float model's is [1, 3, 64, 64]: not scored" in row["note"]


def test_one_bad_model_of_several_does_not_stop_the_others(run: Run, folder: Path) -> None:
    (folder / "broken.onnx").write_bytes(b"no model")
    done = run("bench", "broken.onnx", "model.onnx", "absent.onnx", "--limit-s", "0.2", "--format", "json")
    assert done.code == 1
    rows = json.loads(done.out)
    assert [row["model"] for row in rows] == ["broken", "model", "absent"]
    assert "not a readable ONNX file" in rows[0]["note"]
    assert rows[1]["latency_ms"] > 0
    assert rows[2]["note"] == "absent.onnx: no such file"


def test_a_candidate_that_the_target_refuses_is_a_row_with_the_reason(run: Run, folder: Path) -> None:
    done = run("bench", "model.onnx", *FED, "--base", "int16", "--format", "json")
    assert done.code == 1
    row = json.loads(done.out)[1]
    assert (row["variant"], row["latency_ms"]) == ("int16", None)
    assert "no 16-bit kernels" in row["note"]


def test_what_a_study_found_is_benched_beside_the_rest(run: Run, folder: Path) -> None:
    assert run("run", "--trials", "2").code in (0, 4)
    done = run("bench", "mpsearch.yaml", "--pick", "0", "--limit-s", "0.2", "--format", "json")
    assert done.code == 0, done.err
    assert [row["variant"] for row in json.loads(done.out)] == ["float32", "trial-0"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("bench", "absent.onnx"), "absent.onnx: no such file"),
        (("bench", "nothing"), "no study 'nothing'"),
        (("bench", "model.onnx", "--photos", "evaluation", "--target", "vs999"), "no board profile 'vs999'"),
        (("bench", "model.onnx", "--photos", "evaluation", "--base", "x"), "--base x: unknown"),
        (("bench", "model.onnx", "--photos", "evaluation", "--decoder", "yunet"), "does not fit"),
        (("bench", "model.onnx", "--photos", "evaluation", "--pick", "budget"), "an ONNX file has none"),
        (("bench", "mpsearch.yaml", "--candidate", "absent.json"), "absent.json: cannot be read"),
    ],
)
def test_bad_input_is_named(run: Run, folder: Path, arguments: tuple[str, ...], said: str) -> None:
    done = run(*arguments)
    assert done.code == 2, done.err
    assert said in done.err


def test_a_tflite_file_needs_a_board(run: Run, folder: Path) -> None:
    (folder / "m.tflite").write_bytes(b"TFL3")
    done = run("bench", "m.tflite")
    assert done.code == 2
    assert "only a SyNAP board runs .tflite files" in done.err


def test_a_model_without_fixed_sizes_is_named(run: Run, folder: Path) -> None:
    model = small_detector()
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    onnx.save(model, str(folder / "dynamic.onnx"))
    done = run("bench", "dynamic.onnx", "--limit-s", "0.2")
    assert done.code == 2
    assert "numbers of a fixed shape" in done.err
