"""What the vendor's own front end did with 40 metafiles, against our parsers and against the stand-in converter."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from mpsearch.candidate import Candidate, DataType
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.read import read
from mpsearch.testing.lab import convert, faults
from mpsearch.testing.models import save, small_detector
from mpsearch.toolchain.synap import modelinfo, realised
from mpsearch.toolchain.synap.layers import read_ids, read_map
from mpsearch.toolchain.synap.messages import Fault, judge

FAULTS = {
    "arg_bad_target": Fault.SETUP,
    "arg_model_missing": Fault.SETUP,
    "arg_meta_missing": Fault.SETUP,
    "arg_unknown_option": Fault.SETUP,
    "arg_lowercase_target": Fault.SETUP,
    "bad_yaml": Fault.SETUP,
    "bad_field": Fault.SETUP,
    "bad_quant_field": Fault.SETUP,
    "bad_algorithm": Fault.CANDIDATE,
    "bad_type": Fault.CANDIDATE,
    "plain_float16": Fault.CANDIDATE,
    "uint8_and_int8": Fault.CANDIDATE,
    "input_name_without_shape": Fault.SETUP,
    "scale_zero": Fault.SETUP,
    "means_wrong_length": Fault.SETUP,
    "no_inputs_entry": Fault.SETUP,
    "two_inputs_entries": Fault.SETUP,
    "some_outputs_unnamed": Fault.CANDIDATE,
    "output_not_in_model": Fault.CANDIDATE,
    "dataset_empty": Fault.SETUP,
    "dataset_spaces": Fault.SETUP,
    "bad_mode": Fault.CANDIDATE,
    "bad_preprocess": Fault.CANDIDATE,
    "bad_scheme": Fault.CANDIDATE,
    "unknown_layer": Fault.CANDIDATE,
    "unknown_layer_id": Fault.CANDIDATE,
    "entry_equal_to_base": Fault.CANDIDATE,
    "tail_int16": Fault.UNSURE,
    "heads_and_outputs_int16": Fault.UNSURE,
    "heads_float16": Fault.UNSURE,
    "one_output": Fault.UNSURE,
    "perchannel_int8_int16_tail": Fault.CANDIDATE,
}
LATE = {"unknown_layer", "unknown_layer_id"}
"""Recorded without the beginning of a line of thousands of characters."""


@pytest.fixture(scope="module")
def recorded(shared: Path) -> dict[str, dict[str, Any]]:
    lines = (shared / "reference/synap_toolkit/recorded.jsonl").read_text().splitlines()
    return {case["name"]: case for case in map(json.loads, lines)}


@pytest.fixture(scope="module")
def graph(shared: Path) -> ModelGraph:
    return read(shared / "data/models/yolov5n-0.5-face_480x640.onnx")


def listing(shared: Path, name: str) -> str:
    return (shared / "reference/synap_toolkit" / name).read_text()


def test_every_recorded_failure_is_somebodys_fault_and_no_other_case_failed(recorded: dict[str, Any]) -> None:
    assert {name for name, case in recorded.items() if case["exit_code"]} == set(FAULTS)


@pytest.mark.parametrize("name", sorted(set(FAULTS) - LATE))
def test_a_recorded_failure_is_judged_by_what_it_said(recorded: dict[str, Any], name: str) -> None:
    case = recorded[name]
    verdict = judge(case["exit_code"], case["stdout"], case["stderr"])
    assert verdict.fault is FAULTS[name], verdict
    assert verdict.said


def test_a_table_of_an_engine_that_names_layers_by_tensors_maps_every_node(shared: Path, graph: ModelGraph) -> None:
    text = listing(shared, "ok_uint8.quantization_info.yaml")
    found = read_map(text, graph, Candidate())
    assert not found.missing
    assert not found.ambiguous
    assert found.unused == ("input_316",)
    assert found.ids["output:951"] == "attach_951/out0_1"
    assert len(read_ids(text)) == 290


@pytest.mark.parametrize(
    ("file", "base"), [("ok_uint8", "uint8"), ("int16", "int16"), ("perchannel_int8", "int8-pc")]
)  # fmt: skip
def test_built_types_of_recorded_conversions_are_those_asked_for(
    shared: Path, graph: ModelGraph, file: str, base: str
) -> None:
    text = listing(shared, f"{file}.quantization_info.yaml")
    found = realised.compare(text, graph, Candidate(base))
    assert not found.differs
    assert not found.unmapped
    assert set(found.types.values()) == {Candidate(base).base_type}


def test_another_type_than_asked_is_seen(shared: Path, graph: ModelGraph) -> None:
    head = "/model.21/m.0/Conv"
    asked = Candidate("uint8", overrides=((head, DataType.INT16),))
    found = realised.compare(listing(shared, "ok_uint8.quantization_info.yaml"), graph, asked)
    assert found.differs == {head: "uint8"}


def test_recorded_outputs_are_those_of_the_model_and_a_swap_is_seen(shared: Path, graph: ModelGraph) -> None:
    info = modelinfo.parse(listing(shared, "ok_uint8.model_info.txt"))
    assert info.toolkit == "3.2.0"
    assert [t.shape for t in info.outputs] == [(1, 48, 60, 80), (1, 48, 30, 40), (1, 48, 15, 20)]
    assert info.outputs[0].format.startswith("yolov5 landmarks=5 transposed=1 anchors=[[],[],[],[4,5,")
    assert info.inputs[0].scale == pytest.approx(1 / 255)
    assert modelinfo.misdelivered(info, graph, ["output", "951", "952"]) == ()
    assert "output 1 is 951, not 952" in modelinfo.misdelivered(info, graph, ["output", "952", "951"])
    assert modelinfo.misdelivered(info, graph, ["output"]) == ("3 outputs were built, 1 asked for",)


def test_recorded_inputs_say_how_they_are_quantized(shared: Path) -> None:
    (wide,) = modelinfo.parse(listing(shared, "int16.model_info.txt")).inputs
    assert (wide.type, wide.scale, wide.size_bytes) == ("i16", 2.0**-15, 2 * 3 * 480 * 640)
    y, uv = modelinfo.parse(listing(shared, "nv12_preprocess.model_info.txt")).inputs
    assert (y.format, y.shape, uv.format, uv.shape) == ("y8", (1, 768, 1024, 1), "uv8", (1, 384, 512, 2))


SKIPPED = {
    "entry_equal_to_base", "tail_int16", "heads_and_outputs_int16", "heads_float16",
    "perchannel_int8_int16_tail",
    "one_output", "one_output_again",
}  # fmt: skip
"""Their metafiles name layers of the recorded network."""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("strict")
    save(small_detector(), folder / "model.onnx")
    run = folder / "run"
    rng = np.random.default_rng(0)
    for name in ("qdataset/0.jpg", "q space/a b.jpg"):
        (run / name).parent.mkdir(parents=True)
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(run / name)
    return run


def test_the_stand_in_ends_every_recorded_case_as_the_vendors_tool_did(
    recorded: dict[str, Any], bench: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(bench)
    monkeypatch.setenv(faults.VARIABLE, str(bench))
    wrong = []
    for name, case in recorded.items():
        if name in SKIPPED:
            continue
        (bench / "meta.yaml").write_text(adapted(case["metafile"]))
        capsys.readouterr()
        try:
            code = convert.main(case["args"])
        except SystemExit as end:  # argparse
            code = int(str(end.code))
        said = capsys.readouterr()
        expected, got = error_line(case["stderr"], case["stdout"]), error_line(said.err, said.out)
        if code != case["exit_code"] or (name not in LATE and expected != got):
            wrong.append(f"{name}: {code} {got!r}, recorded {case['exit_code']} {expected!r}")
    assert wrong == []


def adapted(metafile: str) -> str:
    """For the small network: its own outputs in place of the recorded network's three."""
    try:
        data = yaml.safe_load(metafile)
    except yaml.YAMLError:
        return metafile
    if isinstance(data, dict) and [o.get("name") for o in data.get("outputs") or ()] == ["output", "951", "952"]:
        data["outputs"] = [{"dequantize": True}, {"dequantize": True}]
    elif (
        isinstance(data, dict)
        and "some" not in metafile
        and data.get("outputs") == [{"name": "output"}, {"dequantize": True}]
    ):
        data["outputs"][0]["name"] = "t17"
    return yaml.safe_dump(data, sort_keys=False)


def error_line(stderr: str, stdout: str) -> str:
    """The message, without folders."""
    found = re.search(r"^Error: (.*)$", stderr, re.M) or re.search(r"^(KeyError: .*)$", stdout, re.M)
    found = found or re.search(r"error: (.*)$", stderr, re.M) or re.search(r"specified output '(\w+)'", stdout)
    return re.sub(r"\S*/(?=[\w ]+(?:/[\w ]+)?\.\w+$)", "", found[1]).replace("q space/", "") if found else ""
