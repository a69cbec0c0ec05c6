"""The host target on a trained network, and the benchmark that times it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mpsearch.candidate import Candidate
from mpsearch.graph.onnxio import FloatModel
from mpsearch.graph.read import read
from mpsearch.images import PhotoSet, Preprocess, find
from mpsearch.quant.simulator import Simulator
from mpsearch.toolchain.host.build import HostExecutor, HostToolchain


def test_a_trained_network_is_as_far_from_float_as_the_vendors_arithmetic_makes_it(
    shared: Path, tmp_path: Path
) -> None:
    graph = read(shared / "data" / "models" / "yolov5n-0.5-face_480x640.onnx")
    preprocess = Preprocess(480, 640, (0.0,), (255.0,), "rgb")
    calibration = PhotoSet(find(shared / "data" / "images" / "calib"), preprocess, limit=2)
    evaluation = PhotoSet(find(shared / "data" / "images" / "eval"), preprocess, limit=1)
    candidate = Candidate("int8-pc")
    artifact = HostToolchain(graph, calibration, tmp_path).build(candidate)
    assert artifact.differs == {}
    image = next(iter(evaluation.batches(1)))
    real = next(iter(HostExecutor(graph, evaluation).batches(artifact)))
    simulated = Simulator(graph, calibration, evaluation, threads=1).outputs(candidate, image)
    for name, reference in FloatModel(graph).run(image).items():
        off, expected = (float(np.mean((found - reference) ** 2)) for found in (real[name], simulated[name]))
        assert off == pytest.approx(expected, rel=0.25)


def test_the_benchmark_measures_against_float_and_against_an_earlier_run(
    shared: Path, root: Path, tmp_path: Path
) -> None:
    out = tmp_path / "host.json"
    argv = [sys.executable, str(root / "benchmarks" / "host.py"), "--smoke", "--out", str(out)]
    argv += [str(shared / "data" / "models" / "yunet_n_480x640.onnx"), "--scale", "1", "--order", "bgr"]
    argv += ["--calibration", str(shared / "data" / "images" / "calib")]
    subprocess.run(argv, check=True, capture_output=True, timeout=120)
    rows = json.loads(out.read_text())["rows"]
    assert [line["candidate"] for line in rows] == ["uint8", "int8-pc"]
    assert all(line["median_ms"] > 0 and len(line["samples_ms"]) == line["runs"] for line in rows)
    again = subprocess.run([*argv, "--against", str(out)], check=True, capture_output=True, text=True, timeout=120)
    assert again.stdout.count("since then") == 2
