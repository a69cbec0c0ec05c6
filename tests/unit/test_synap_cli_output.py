"""``synap_cli`` and its relatives, read from what they print, the ugly cases too."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpsearch.candidate import Candidate
from mpsearch.device import profiling
from mpsearch.device.runtime import od, synap
from mpsearch.errors import CandidateError, MpsearchError, SetupError, TransientError
from mpsearch.graph.read import read
from mpsearch.testing.models import save, small_detector

_BLANK = " "  # the tool prints a space in its blank lines
GOOD = f"""Loading network: model.synap
Flush/invalidate: yes
Loop period (ms): 0
Network inputs: 1
Network outputs: 2
Input buffer: input_0 size: 150528 : random
Output buffer: attach_Conv_Conv 1/out0 size: 1001
Output buffer: output_67 size: 12 (secure)
{_BLANK}
Predict #0: 2.68 ms
Predict #1: 1.81 ms
Predict #2: 1.82 ms
{_BLANK}
Inference timings (ms):  load: 55.91  init: 3.84  min: 1.81  median: 1.82  max: 2.68  stddev: 0.13  mean: 1.85
"""


def test_a_run_gives_every_prediction_and_the_outputs_in_order() -> None:
    found = synap.parse_timing(0, GOOD, "", repeat=3)
    assert found.samples_ms == (2.68, 1.81, 1.82)
    assert (found.median_ms, found.load_ms, found.init_ms) == (1.82, 55.91, 3.84)
    assert found.outputs == (synap.Buffer("attach_Conv_Conv 1/out0", 1001), synap.Buffer("output_67", 12))


@pytest.mark.parametrize(
    "text",
    [
        GOOD.replace("\n", "\r\n"),
        GOOD.replace("Predict #1", "W:SyNAP: something about buffers\nPredict #1"),
        "E:SyNAP: allocator(): falling back\n" + GOOD,
        GOOD.replace("ms\n", "ms    Top5:   1: 18.99, 2: 3.0\n", 1),
    ],
    ids=["carriage returns", "a warning in between", "a warning before", "top 5"],
)
def test_noise_around_the_lines_does_not_matter(text: str) -> None:
    assert synap.parse_timing(0, text, "", repeat=3).samples_ms == (2.68, 1.81, 1.82)


def test_firmware_without_lines_for_predictions_still_gives_its_median() -> None:
    text = "\n".join(line for line in GOOD.splitlines() if not line.startswith("Predict"))
    assert synap.parse_timing(0, text, "", repeat=3).samples_ms == (1.82,)


def test_a_time_below_the_tools_resolution_is_not_zero() -> None:
    text = GOOD.replace("1.81", "0.00").replace("1.82", "0.00").replace("2.68", "0.01")
    assert min(synap.parse_timing(0, text, "", repeat=3).samples_ms) == synap.RESOLUTION_MS / 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no line like"),
        (GOOD.partition("Inference")[0], "no line like"),
        (GOOD.replace("1.85", "nan"), "no line like"),
        (GOOD.replace("Predict #2: 1.82 ms\n", ""), "2 lines 'Predict #' for 3"),
        (GOOD.replace("median: 1.82", "median: 18.2"), "not among"),
        (GOOD.replace("median: 1.82", "median: 1.8.2"), "broken number"),
    ],
)
def test_output_that_makes_no_sense_is_transient_and_says_what_was_missing(text: str, words: str) -> None:
    with pytest.raises(TransientError, match=words):
        synap.parse_timing(0, text, "", repeat=3, log="run.log")


@pytest.mark.parametrize(
    ("code", "stderr", "error"),
    [
        (1, "Error, NPU unavailable", TransientError),
        (1, "Error, NPU lock failed", TransientError),
        (1, "E:SyNAP: load_model():51:Failed to prepare network\nFailed to load network", TransientError),
        (1, "Failed to load network", CandidateError),
        (1, "Prediction 3 failed", CandidateError),
        (1, "Error assigning input to tensor 0", CandidateError),
        (1, "Illegal option(s): --out", SetupError),
        (1, "Error: can't find model file: /x", SetupError),
        (127, "sh: synap_cli: not found", SetupError),
        (126, "sh: synap_cli: Permission denied", SetupError),
        (137, "Killed", TransientError),
        (1, "", TransientError),
    ],
)
def test_a_failed_run_is_somebodys_fault(code: int, stderr: str, error: type[MpsearchError]) -> None:
    with pytest.raises(error):
        synap.parse_timing(code, "Loading network: model.synap\n", stderr, repeat=3)


@given(st.text(max_size=200), st.integers(0, 255))
def test_whatever_is_printed_is_a_value_or_a_typed_error(text: str, code: int) -> None:
    with contextlib.suppress(MpsearchError):
        assert synap.parse_timing(code, text, text, repeat=1).samples_ms


def test_options_stand_before_inputs() -> None:
    assert synap.timing_argv(("synap_cli",), "m.synap", 20) == ("synap_cli", "-m", "m.synap", "-r", "20", "random")


@pytest.mark.parametrize(
    ("text", "value"),
    [("45000\n61500\n", 61.5), ("", None), ("-40000\n255000\n", None), ("cat: no\n52000", 52.0)],
)
def test_the_hottest_believable_zone_is_the_temperature(text: str, value: float | None) -> None:
    assert synap.parse_temperature(text) == value


_HEAD = (
    "pid: 21756, nid: 1, inference_count: 2, inference_time: 9908, inference_last: 3108, iobuf_count: 2, iobuf_size: 1"
)
PROFILE = f"""{_HEAD}, layers: 1
| lyr |    cycle | time_us |  byte_rd |  byte_wr | ot | name
|   0 |   153811 |     202 |    151344|        0 | TP | Old
{_HEAD}, layers: 3
| lyr |    cycle | time_us |  byte_rd |  byte_wr | ot | name
|   0 |   153811 |      202 |    151344 |         0 | TP | TensorTranspose
|   1 |   181903 |      461 |      6912 |         0 | NN | ConvolutionReluPoolingLayer2
|  30 |   137129 |      196 |       640 |         0 | SH | Softmax2Layer
"""


def test_a_profiling_table_is_read_and_the_last_network_counts() -> None:
    rows = profiling.parse(PROFILE)
    assert [(row.index, row.engine, row.time_us) for row in rows] == [(0, "TP", 202), (1, "NN", 461), (30, "SH", 196)]
    assert rows[1].name == "ConvolutionReluPoolingLayer2"


def test_an_older_table_without_engines_is_read_too() -> None:
    text = PROFILE.replace("| TP |", "|").replace("| NN |", "|").replace("| SH |", "|").replace("| ot | name", "| type")
    assert [(row.engine, row.name) for row in profiling.parse(text)][2] == ("", "Softmax2Layer")


def test_an_empty_table_says_what_to_check() -> None:
    with pytest.raises(SetupError, match="no row"):
        profiling.parse("Unable to read profiling info\n")


def test_rows_get_units_only_where_the_numbers_of_layers_agree(tmp_path: object) -> None:
    from pathlib import Path

    graph = read(save(small_detector(), Path(str(tmp_path)) / "m.onnx"))
    convolutions = [unit.name for unit in graph.units if unit.kind in ("conv", "depthwise")]
    rows = tuple(profiling.Layer(i, 1, 1, 1, 1, "NN", "ConvolutionLayer") for i in range(len(convolutions)))
    assert [row.unit for row in profiling.join(rows, graph, Candidate())] == convolutions
    assert {row.unit for row in profiling.join(rows[1:], graph, Candidate())} == {""}


ITEM = {
    "bounding_box": {"origin": {"x": 507, "y": 310}, "size": {"x": 106, "y": 135}},
    "class_index": 0,
    "confidence": 0.88,
    "landmarks": {"points": [{"visibility": -1.0, "x": 530, "y": 350, "z": 0}]},
}


def test_detections_of_several_photographs_are_told_apart() -> None:
    images = [{"items": [ITEM, ITEM], "success": True}, {"items": None, "success": True}, {"items": [ITEM]}]
    text = "".join(f"Input image: {{odd name\nDetection time: 24.03 ms\n{json.dumps(i, indent=2)}\n" for i in images)
    found = od.parse(text.replace("{odd name", "odd name"))
    assert [len(faces) for faces in found] == [2, 0, 1]
    assert found[0][0] == od.Detection(0.88, (507, 310, 106, 135), ((530, 350),))


@pytest.mark.parametrize("text", ["", "Class  Confidence\n", '{"items": [{}]}', '{"items": ['])
def test_detections_that_are_no_json_are_transient(text: str) -> None:
    with pytest.raises(TransientError, match="JSON"):
        od.parse(text)
