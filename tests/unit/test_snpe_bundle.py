"""What ``mpsearch export`` writes for SNPE, and that Luxonis' modelconverter takes it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import yaml
from PIL import Image

from mpsearch.candidate import Candidate, DataType
from mpsearch.errors import CandidateError
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.read import read
from mpsearch.pareto.export import shell_line
from mpsearch.testing.models import Builder, save, small_detector
from mpsearch.toolchain.snpe import clean
from mpsearch.toolchain.snpe.bundle import SnpeBundle, render
from mpsearch.toolchain.snpe.commands import Preparation
from mpsearch.toolchain.snpe.modelconverter import InputIO

A16W8, A16W16, FLOAT16 = DataType.A16W8, DataType.A16W16, DataType.FLOAT16
IO = InputIO(means=(0.0, 0.0, 0.0), scale=(255.0, 255.0, 255.0), order="bgr", images=24)
MIXED = Candidate("a8w8", overrides=(("Conv_3", A16W16), ("Conv_9", FLOAT16)), options=(("act_quantizer", "enhanced"),))


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> ModelGraph:
    return read(save(small_detector(), tmp_path_factory.mktemp("model") / "small.onnx"))


def bundle(graph: ModelGraph, candidate: Candidate) -> SnpeBundle:
    return render(graph, candidate, IO, name="small")


def section(made: SnpeBundle) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(made.texts["modelconverter.yaml"])["rvc4"]
    return config


def test_the_commands_build_from_the_files_beside_them(graph: ModelGraph) -> None:
    made = bundle(graph, MIXED)
    assert [shell_line(argv).split()[0] for argv in made.commands] == [
        "snpe-onnx-to-dlc",
        "snpe-dlc-quant",
        "snpe-dlc-graph-prepare",
        "snpe-dlc-info",
    ]
    words = [word.partition("=")[2] or word for argv in made.commands for word in argv]
    assert {"model.onnx", "overrides.json", "inputs.txt"} <= set(words)
    assert {"model.onnx", "overrides.json"} <= {*made.blobs, *made.texts}
    assert any("inputs.txt" in note for note in made.notes)


def test_a_uniform_candidate_needs_no_overrides(graph: ModelGraph) -> None:
    made = bundle(graph, Candidate("a8w8"))
    assert set(made.texts) == {"modelconverter.yaml"}
    assert "--override_params" not in made.commands[1]
    assert "encodings" not in section(made)


def test_modelconverter_runs_in_the_mode_that_keeps_ones_own_arguments(graph: ModelGraph) -> None:
    config = section(bundle(graph, MIXED))
    assert config["quantization_mode"] == "CUSTOM"
    assert config["encodings"] == "overrides.json"
    assert config["use_per_channel_quantization"] is False
    assert config["htp_socs"] == ["sm8550"]
    assert config["snpe_dlc_quant_args"] == [
        "--act_bitwidth=8",
        "--weights_bitwidth=8",
        "--bias_bitwidth=8",
        "--act_quantizer=enhanced",
    ]
    assert config["normalize_io_encodings"] is True


def test_a_float_model_is_converted_without_calibration(graph: ModelGraph) -> None:
    config = section(bundle(graph, Candidate("fp16")))
    assert config["disable_calibration"] is True
    assert config["snpe_onnx_to_dlc_args"] == ["-n", "--float_bitwidth", "16"]
    assert config["snpe_dlc_graph_prepare_args"] == ["--use_float_io"]
    assert "snpe_dlc_quant_args" not in config


def test_wide_outputs_are_kept_and_said_to_be_nothing_for_depthai(graph: ModelGraph) -> None:
    made = bundle(graph, Candidate("a8w8", overrides=(("Sigmoid_18", A16W8), ("output:t18", A16W8))))
    assert section(made)["normalize_io_encodings"] is False
    assert any("t18" in note and "DepthAI" in note for note in made.notes)


def test_ranges_that_modelconverter_would_make_wrong_are_pointed_out(graph: ModelGraph) -> None:
    made = bundle(graph, Candidate("a8w8", overrides=(("Conv_0", A16W16),)))
    assert any("c0" in note and "8-bit weights" in note for note in made.notes)


def test_what_cannot_be_built_is_not_exported(graph: ModelGraph) -> None:
    with pytest.raises(CandidateError, match="no int16"):
        bundle(graph, Candidate("a8w8", overrides=(("Conv_3", DataType.INT16),)))


def test_qairts_tools_have_their_own_lines_and_no_modelconverter(graph: ModelGraph) -> None:
    made = render(graph, MIXED, IO, name="small", family="qairt", schema="1.0.0", how=Preparation("qcs8550"))
    assert made.commands[0][0] == "qairt-converter"
    assert made.commands[2][-1] == "--htp_socs=qcs8550"
    assert set(made.texts) == {"overrides.json"}
    assert json.loads(made.texts["overrides.json"])["version"] == "1.0.0"


def test_the_model_in_the_bundle_computes_what_the_users_model_computes(graph: ModelGraph, tmp_path: Path) -> None:
    bundle(graph, MIXED).blobs["model.onnx"](tmp_path / "model.onnx")
    image = np.random.default_rng(0).normal(size=(1, 3, 32, 32)).astype(np.float32)
    outs = [
        ort.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"input": image})
        for path in (graph.path, tmp_path / "model.onnx")
    ]
    for mine, theirs in zip(*outs, strict=True):
        assert np.array_equal(mine, theirs)


def test_constants_that_the_file_computes_are_computed_once(tmp_path: Path) -> None:
    b = Builder()
    x = b.conv("input", 3, 4)
    two = b.node("Constant", value=onnx.numpy_helper.from_array(np.float32(2)))
    doubled = b.node("Mul", two, two)
    model = save(b.model([b.node("Mul", x, doubled)]), tmp_path / "computed.onnx")
    whole = clean.clean(read(model))
    assert [node.op_type for node in whole.graph.node] == ["Conv", "Mul"]
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in whole.graph.initializer}
    assert values[doubled] == np.float32(4)
    assert clean.largest(values)[doubled] == 4.0


READ_CONFIG = """
import json, sys
from modelconverter.utils.config import Config
stage = next(iter(Config.get_config(sys.argv[1]).stages.values()))
print(json.dumps(stage.rvc4.model_dump(mode="json")))
"""


def modelconv_python() -> str:
    """modelconv brings an S3 client, docker and HubAI's SDK along, so it has an environment of its own."""
    if named := os.environ.get("MPSEARCH_MODELCONV_PYTHON"):
        return named
    if find_spec("modelconverter") is not None:
        return sys.executable
    pytest.skip("needs PyPI's modelconv, 1.5 GB: make modelconv-test")


@pytest.mark.parametrize("candidate", [MIXED, Candidate("a8w8"), Candidate("fp16"), Candidate("a16w16")])
def test_modelconverters_own_schema_takes_the_configuration(
    candidate: Candidate, graph: ModelGraph, tmp_path: Path
) -> None:
    python = modelconv_python()
    made = bundle(graph, candidate)
    for name, text in made.texts.items():
        (tmp_path / name).write_text(text)
    made.blobs["model.onnx"](tmp_path / "model.onnx")
    (tmp_path / "calibration").mkdir()
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(tmp_path / "calibration" / "a.png")
    ran = subprocess.run(
        [python, "-c", READ_CONFIG, "modelconverter.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    read_back = json.loads(ran.stdout.splitlines()[-1])
    for key, value in section(made).items():
        assert read_back[key] == value
