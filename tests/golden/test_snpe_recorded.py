"""What Qualcomm's tools print, as their users recorded it, and what we make of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpsearch.errors import SetupError
from mpsearch.toolchain.snpe import dlcinfo, messages, tools
from mpsearch.toolchain.snpe.dlcinfo import DlcInfo, Encoding
from mpsearch.toolchain.verdict import Fault

RECORDED = Path(__file__).parent / "snpe"


def read(name: str) -> DlcInfo:
    return dlcinfo.parse((RECORDED / name).read_text(), name)


def test_an_operators_rows_belong_together() -> None:
    (conv,) = read("float_head.txt").ops
    assert (conv.id, conv.name, conv.type) == (198, "/model.24/m.1/Conv", "Conv2d")
    assert [t.name for t in conv.inputs] == [
        "/model.20/cv3/act/Mul_output_0",
        "model.24.m.1.weight",
        "model.24.m.1.bias",
    ]
    assert [t.kind for t in conv.inputs] == ["NATIVE", "STATIC", "STATIC"]
    assert conv.inputs[1].shape == (1, 1, 256, 21)
    assert conv.outputs[0].name == "onnx::Sigmoid_331"
    assert "stride: [1, 1]" in conv.parameters
    assert "MACs per inference: 8M (0.109%)" in conv.parameters


def test_a_float_dlc_has_no_encodings_and_no_cache() -> None:
    info = read("float_head.txt")
    assert all(tensor.is_float and tensor.encoding is None for tensor in info.tensors.values())
    assert info.inputs[0].shape == (1, 640, 640, 3)
    assert info.caches == ()
    assert info.facts["DLC created with converter version"] == "2.15.1.230927125905_64025"


@pytest.mark.parametrize("name", ["quantized.txt", "quantized.csv"])
def test_text_and_csv_give_the_same_ends(name: str) -> None:
    info = read(name)
    assert info.inputs[0].encoding == Encoding(8, -1.0, 0.9921875, 0.0078125, -128.0)
    assert info.outputs[0].encoding == Encoding(8, -5.121949195862, 647.926574707031, 2.560974597931, -2.0)
    assert (info.outputs[0].name, info.outputs[0].shape, info.outputs[0].type) == ("output0", (1, 84, 8400), "uFxp_8")
    conv = info.ops[-1]
    assert [(t.name, t.type, t.bits) for t in conv.inputs] == [("x", "uFxp_8", 8), ("w", "sFxp_8", 8)]


def test_encodings_of_tensors_channels_and_conversions_are_read() -> None:
    info = read("quantized.txt")
    sigmoid = info.tensors["/model.22/Sigmoid_output_0"]
    assert sigmoid.encoding is not None
    assert sigmoid.encoding.scale == pytest.approx(1 / 65536, abs=1e-12)
    assert info.tensors["w"].encoding == Encoding(8, -0.7066, 0.7011, 0.00552, -128.0, by_channel=True)
    assert [op.inputs[0].name for op in info.converts] == ["/model.22/Sigmoid_output_0"]
    assert info.caches == ("backend.metadata0.HTP.SM8550",)


@pytest.mark.parametrize("text", ["", "Segmentation fault\n", "| Id | Name | Type | Inputs | Outputs |\n"])
def test_a_listing_without_its_tables_is_refused_with_its_source(text: str) -> None:
    with pytest.raises(SetupError, match=r"info\.txt: no table of operators"):
        dlcinfo.parse(text, "info.txt")


CONVERTER_LOG = """2023-07-20 13:09:41,264 - 214 - INFO - Processing user provided quantization encodings: 
2023-07-20 13:09:41,901 - 214 - INFO - Processed 2 quantization encodings
2023-07-20 13:09:41,901 - 214 - INFO - INFO_INITIALIZATION_SUCCESS: 
2023-07-20 13:09:41,948 - 214 - INFO - INFO_CONVERSION_SUCCESS: Conversion completed successfully
2023-07-20 13:09:41,968 - 214 - INFO - INFO_WRITE_SUCCESS: 
"""  # noqa: W291


def test_the_number_of_overrides_that_met_a_tensor_is_read() -> None:
    assert messages.processed(CONVERTER_LOG) == 2
    assert messages.processed("INFO_CONVERSION_SUCCESS: Conversion completed successfully") is None


@pytest.mark.parametrize(
    ("code", "text", "fault"),
    [
        (1, "error_code=1002; error_message=Layer parameter value is invalid. No backend could validate "
            "Op=/model.22/Sigmoid Type=ElementWiseNeuron error code=3110; error_component=Model Validation; "
            "line_no=156; thread_id=512378832120", Fault.CANDIDATE),
        (1, "Invalid combination: --input_list and --float_fallback cannot be provided at the same time.",
            Fault.CANDIDATE),
        (1, "--percentile_calibration_value must lie with 90 and 100", Fault.CANDIDATE),
        (1, "ValueError: Invalid offset overridden for symmetric encodings got -3, expected -128.", Fault.CANDIDATE),
        (1, "Min/max or scale/offset pairs must be present together.", Fault.CANDIDATE),
        (1, "snpe-onnx-to-dlc: error: unrecognized arguments: --float_fallback", Fault.SETUP),
        (1, "ModuleNotFoundError: No module named 'qti'", Fault.SETUP),
        (127, "snpe-dlc-quant: error while loading shared libraries: libc++.so.1: cannot open", Fault.SETUP),
        (1, "OSError: [Errno 28] No space left on device", Fault.SETUP),
        (137, "", Fault.TRANSIENT),
        (139, "Segmentation fault", Fault.TRANSIENT),
        (1, "2023-07-20 13:09:41,264 - 214 - ERROR - Encountered Error: something new", Fault.UNSURE),
        (3, "what is this", Fault.UNSURE),
    ],
)  # fmt: skip
def test_each_known_message_has_somebody_who_must_act(code: int, text: str, fault: Fault) -> None:
    verdict = messages.judge(code, text, "", "snpe-dlc-quant")
    assert verdict.fault is fault
    assert verdict.said


def test_the_deciding_line_is_shown_not_the_last_one() -> None:
    text = "[WARNING] --axis_quant is deprecated, use another option.\n[ERROR] Unable to do it\nbye\n"
    assert "Unable to do it" in messages.judge(1, text, "", "snpe-dlc-quant").said


@pytest.mark.parametrize(
    ("text", "version", "release"),
    [
        ("SNPE v2.32.0.250228225014_116386", "2.32.0.250228225014_116386", (2, 32, 0)),
        ("snpe-dlc-quant 2.10.0.4541", "2.10.0.4541", (2, 10, 0)),
        ("[INFO] InitializeStderr: DebugLog initialized.\n2.41.0\n", "2.41.0", (2, 41, 0)),
        ("command not found", "", ()),
    ],
)
def test_versions_are_read_from_whatever_stands_around_them(text: str, version: str, release: tuple[int, ...]) -> None:
    assert tools.version(text) == version
    assert tools.release(version) == release
