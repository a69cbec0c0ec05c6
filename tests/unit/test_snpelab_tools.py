"""The lab's SNPE tools of the host are as strict, and as silent, as the vendor's are documented to be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpsearch.graph.read import read
from mpsearch.testing.lab.snpe import convert, diagview, dlc, info, netrun, prepare, quantize, throughput
from mpsearch.testing.lab.snpe.faults import SnpeFaults
from mpsearch.testing.lab.snpe.overrides import BadOverrides
from mpsearch.testing.lab.snpe.overrides import read as read_overrides
from mpsearch.testing.lab.snpe.words import Refused, parse
from mpsearch.testing.models import save, small_detector
from mpsearch.toolchain.snpe import dlcinfo, messages
from mpsearch.toolchain.snpe.diagview import parse as parse_diagview

Say = Callable[[], str]
UPPER = {"t14": [{"bitwidth": 16, "dtype": "int"}], "no such tensor": [{"bitwidth": 16}]}


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lab's folder and a model, and both are where programs start."""
    monkeypatch.setenv("MPSEARCH_LAB", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    save(small_detector(), tmp_path / "m.onnx")
    rng = np.random.default_rng(0)
    for index in range(2):
        rng.random((1, 32, 32, 3), dtype=np.float32).tofile(tmp_path / f"{index}.raw")
    (tmp_path / "inputs.txt").write_text("".join(f"input:={tmp_path}/{index}.raw\n" for index in range(2)))


def overrides(path: Path, activations: object, params: object = None, **more: object) -> str:
    data = {"activation_encodings": activations, "param_encodings": {} if params is None else params, **more}
    path.write_text(json.dumps(data))
    return str(path)


def converted(*more: str, code: int = 0) -> dlc.Dlc | None:
    assert convert.main(["-i", "m.onnx", "-o", "f.dlc", *more], qairt=False) == code
    return dlc.read("f.dlc") if code == 0 else None


def quantized(*more: str) -> dlc.Dlc:
    assert quantize.snpe(["--input_dlc=f.dlc", "--input_list=inputs.txt", "--output_dlc=q.dlc", *more]) == 0
    return dlc.read("q.dlc")


def types(made: dlc.Dlc) -> dict[str, str]:
    return {name: tensor["type"] for name, tensor in made.tensors.items()}


# --- the converter


def test_a_plain_conversion_simplifies_and_says_the_documented_lines(capsys: pytest.CaptureFixture[str]) -> None:
    converted()
    said = capsys.readouterr().err
    assert "INFO - Successfully simplified the onnx model in child process" in said
    for line in ("INFO_INITIALIZATION_SUCCESS", "INFO_CONVERSION_SUCCESS: Conversion completed", "INFO_WRITE_SUCCESS"):
        assert line in said


def test_overrides_turn_simplification_off_with_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    converted("--quantization_overrides", overrides(tmp_path / "o.json", UPPER))
    said = capsys.readouterr().err
    assert "WARNING - Can't simplify the model when custom ops or quantization overrides are specified" in said
    assert "Successfully simplified" not in said
    converted("-n", "--quantization_overrides", "o.json")
    assert "simplif" not in capsys.readouterr().err


def test_overrides_of_unknown_tensors_are_skipped_without_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = converted("-n", "--quantization_overrides", overrides(tmp_path / "o.json", UPPER))
    said = capsys.readouterr().err
    assert messages.processed(said) == 1
    assert "no such tensor" not in said
    assert made is not None
    assert list(made.about["overrides"]) == ["t14"]


def test_a_network_of_another_layout_has_its_channels_last_after_the_older_converter_only() -> None:
    made = converted()
    assert made is not None
    assert made.tensors["input"]["dims"] == [1, 32, 32, 3]
    assert made.tensors["t16"]["dims"] == [1, 2, 16, 16, 3]  # a Transpose decides by itself
    assert convert.main(["-i", "m.onnx", "-o", "q.dlc"], qairt=True) == 0
    assert dlc.read("q.dlc").tensors["input"]["dims"] == [1, 3, 32, 32]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--out_name", "nowhere"], "nowhere"),
        (["--input_layout", "x", "NCHW"], "x is not an input"),
        (["--input_layout", "input", "CHW"], "Unsupported input layout CHW"),
        (["--input_dim", "input", "1,three"], "Invalid input dimension"),
        (["--quantization_overrides", "none.json"], "none.json"),
    ],
)
def test_what_does_not_fit_the_network_is_refused(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    converted(*words, code=1)
    assert said in capsys.readouterr().err


def test_a_flag_of_the_other_converter_is_unknown() -> None:
    with pytest.raises(SystemExit) as ended:
        convert.main(["-i", "m.onnx", "--float_fallback"], qairt=True)
    assert ended.value.code == 2


# --- overrides

BAD: list[tuple[dict[str, Any], str]] = [
    ({"activation_encodings": {}}, "KeyError: 'param_encodings'"),
    ({"activation_encodings": {"a": [{"dtype": "int"}]}, "param_encodings": {}}, "KeyError: 'bitwidth'"),
    (
        {"activation_encodings": {"a": [{"bitwidth": 8, "min": 0.0}]}, "param_encodings": {}},
        "pairs must be present together",
    ),
    (
        {"activation_encodings": {}, "param_encodings": {"w": [{"bitwidth": 8, "is_symmetric": True}]}},
        "'bool' object has no attribute 'lower'",
    ),
    (
        {
            "activation_encodings": {},
            "param_encodings": {"w": [{"bitwidth": 8, "is_symmetric": "True", "scale": 0.1, "offset": -3}]},
        },
        r"Invalid offset overridden for symmetric encodings got -3, expected -128",
    ),
    (
        {"activation_encodings": {}, "param_encodings": {"w": [{"bitwidth": 8}, {"bitwidth": 16}]}},
        "Mismatching bitwidths 8 and 16 for encoding w",
    ),
    ({"version": "1.0.0", "activation_encodings": {}, "param_encodings": []}, "string indices"),
    ({"version": "1.0.0", "activation_encodings": [{"name": "a"}], "param_encodings": []}, "KeyError: 'bw'"),
    (
        {"version": "1.0.0", "activation_encodings": [{"name": "a", "bw": 8, "offset": [0]}], "param_encodings": []},
        "Offset without scale",
    ),
]


@pytest.mark.parametrize(("data", "said"), BAD)
def test_a_file_that_the_parser_refuses_is_refused(data: dict[str, Any], said: str, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text(json.dumps(data))
    with pytest.raises(BadOverrides, match=said):
        read_overrides(tmp_path / "bad.json")


def test_a_missing_dtype_means_int_in_one_form_and_float_in_the_other(tmp_path: Path) -> None:
    overrides(tmp_path / "0.json", {"a": [{"bitwidth": 16}]})
    overrides(tmp_path / "1.json", [{"name": "a", "bw": 16}], [], version="1.0.0")
    assert read_overrides(tmp_path / "0.json").activations["a"].kind == "int"
    assert read_overrides(tmp_path / "1.json").activations["a"].kind == "float"


# --- the quantizer


def test_cached_overrides_are_applied_only_when_asked_for(tmp_path: Path) -> None:
    converted("-n", "--quantization_overrides", overrides(tmp_path / "o.json", UPPER))
    assert types(quantized())["t14"] == "uFxp_8"
    assert types(quantized("--override_params"))["t14"] == "uFxp_16"


def test_one_float_tensor_makes_a_convolution_all_float(tmp_path: Path) -> None:
    graph = read(tmp_path / "m.onnx")
    weight, bias = graph.node["Conv_9"].params
    override = overrides(tmp_path / "o.json", {}, {weight: [{"bitwidth": 16, "dtype": "float"}]})
    converted("-n", "--quantization_overrides", override)
    made = quantized("--override_params")
    found = types(made)
    assert {found[name] for name in (weight, bias, *graph.node["Conv_9"].outputs)} == {"Float_16"}
    converts = [op for op in made.ir["ops"] if op["type"] == "Convert"]
    assert len(converts) == 2  # into the convolution, and out of it for both of its readers


def test_a_sixteen_bit_sigmoid_has_its_own_scale(tmp_path: Path) -> None:
    converted("-n", "--quantization_overrides", overrides(tmp_path / "o.json", {"t18": [{"bitwidth": 16}]}))
    entry = quantized("--override_params").tensors["t18"]["encoding"]
    assert (entry["scale"], entry["offset"]) == (1 / 65536, 0)


def test_with_float_fallback_only_what_has_an_encoding_is_fixed_point(tmp_path: Path) -> None:
    entry = {"bitwidth": 8, "dtype": "int", "min": 0.0, "max": 2.55, "scale": 0.01, "offset": 0}
    converted("-n", "--quantization_overrides", overrides(tmp_path / "o.json", {"t7": [entry], "t14": [entry]}))
    assert quantize.snpe(["--input_dlc=f.dlc", "--output_dlc=q.dlc", "--float_fallback", "--override_params"]) == 0
    found = types(dlc.read("q.dlc"))
    assert found["t7"] == "uFxp_8"
    assert found["t14"] == "Float_16"  # its weights have none, and a convolution is float as a whole
    assert found["t8"] == "Float_16"
    converted("-n", "--quantization_overrides", overrides(tmp_path / "o.json", {"t7": [{"bitwidth": 8}]}))
    with pytest.raises(Refused, match="Encoding of t7 has no scale"):
        quantize.snpe(["--input_dlc=f.dlc", "--float_fallback", "--override_params"])


REFUSED = [
    (["--float_fallback", "--input_list=inputs.txt", "--override_params"], "float_fallback"),
    (["--float_fallback"], "float_fallback"),
    (["--input_list=none.txt"], "none.txt"),
    (["--input_list=inputs.txt", "--act_bitwidth=12"], "Invalid value 12"),
    (["--input_list=inputs.txt", "--restrict_quantization_steps=-0x8000 0x7F7F"], "MIN,MAX"),
    (["--input_list=inputs.txt", "--act_quantizer_calibration=mse"], "unrecognized option"),
    (["--input_list=inputs.txt", "--override_params=yes"], "doesn't allow an argument"),
    (["--input_list"], "requires an argument"),
    ([], "--input_list was not specified"),
]


@pytest.mark.parametrize(("words", "said"), REFUSED)
def test_the_quantizer_refuses_what_is_documented(words: list[str], said: str) -> None:
    converted()
    with pytest.raises(Refused, match=said):
        quantize.snpe(["--input_dlc=f.dlc", *words])


@pytest.mark.parametrize("size", [100, 4 * 32 * 32 * 3 - 4, 2 * 4 * 32 * 32 * 3])
def test_a_raw_file_of_another_size_is_refused(size: int, tmp_path: Path) -> None:
    converted()
    (tmp_path / "0.raw").write_bytes(bytes(size))
    with pytest.raises(Refused, match="Please check all raw sizes"):
        quantize.snpe(["--input_dlc=f.dlc", "--input_list=inputs.txt"])


def test_deprecated_flags_warn_and_work(capsys: pytest.CaptureFixture[str]) -> None:
    converted()
    made = quantized("--axis_quant", "--use_enhanced_quantizer")
    said = capsys.readouterr().out
    assert "[WARNING] --axis_quant is deprecated, use --use_per_channel_quantization option." in said
    assert "use --param_quantizer and --act_quantizer options." in said
    assert made.about["run"]["candidate"]["options"]["weights"] == "per_channel"
    assert made.about["run"]["candidate"]["options"]["act_quantizer"] == "enhanced"


def test_a_quantized_model_is_not_quantized_again() -> None:
    converted()
    quantized()
    with pytest.raises(Refused, match="quantized already"):
        quantize.snpe(["--input_dlc=q.dlc", "--input_list=inputs.txt"])


QAIRT = [
    ("--input_list inputs.txt --float_fallback", "Invalid combination: --input_list and --float_fallback"),
    ("--ignore_encodings --float_fallback", "--ignore_encodings cannot be provided with --float_fallback flag"),
    ("--input_list inputs.txt --act_quantizer tf --param_quantizer_calibration mse", "legacy quantizer options"),
    ("--input_list inputs.txt --percentile_calibration_value 95", "should be used with"),
    (
        "--input_list inputs.txt --act_quantizer_calibration percentile --percentile_calibration_value 50",
        "must lie with 90 and 100",
    ),
]


@pytest.mark.parametrize(("line", "said"), QAIRT)
def test_the_newer_quantizer_refuses_in_its_own_words(line: str, said: str) -> None:
    converted()
    with pytest.raises(Refused, match=said):
        quantize.qairt(["--input_dlc", "f.dlc", *line.split()])


def test_the_newer_quantizer_applies_overrides_by_itself(tmp_path: Path) -> None:
    converted("-n", "--quantization_overrides", overrides(tmp_path / "o.json", UPPER))
    words = ["--input_dlc", "f.dlc", "--input_list", "inputs.txt", "--output_dlc", "q.dlc"]
    assert quantize.qairt(words) == 0
    assert types(dlc.read("q.dlc"))["t14"] == "uFxp_16"
    assert quantize.qairt([*words, "--ignore_encodings"]) == 0
    assert types(dlc.read("q.dlc"))["t14"] == "uFxp_8"


# --- preparation and listing


def test_preparation_is_for_another_chip_unless_told(capsys: pytest.CaptureFixture[str]) -> None:
    converted()
    quantized()
    assert prepare.main(["--input_dlc=q.dlc", "--output_dlc=p.dlc"]) == 0
    assert [cache["soc"] for cache in dlc.read("p.dlc").about["caches"]] == ["sm8650"]
    assert "Successfully created cache for SM8650" in capsys.readouterr().out
    with pytest.raises(Refused, match="sm9999"):
        prepare.main(["--input_dlc=q.dlc", "--htp_socs=sm9999"])
    with pytest.raises(Refused, match="Output tensor x is not in the graph"):
        prepare.main(["--input_dlc=q.dlc", "--set_output_tensors=x"])


def test_the_listing_ends_with_255_for_no_file_and_254_for_no_dlc(tmp_path: Path) -> None:
    assert info.main(["-i", "none.dlc"]) == 255
    (tmp_path / "bad.dlc").write_bytes(b"no")
    assert info.main(["-i", "bad.dlc"]) == 254


@pytest.mark.parametrize("more", [[], ["--use_per_channel_quantization"]])
def test_text_and_csv_of_the_listing_say_the_same(
    more: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    converted()
    made = quantized(*more)
    capsys.readouterr()
    assert info.main(["-i", "q.dlc", "-s", "i.csv"]) == 0
    text = capsys.readouterr().out
    found, again = dlcinfo.parse(text), dlcinfo.parse((tmp_path / "i.csv").read_text())
    assert found.outputs == again.outputs
    assert [(op.name, op.type, op.outputs) for op in found.ops] == [(op.name, op.type, op.outputs) for op in again.ops]
    assert {name: tensor.type for name, tensor in found.tensors.items()} == types(made)
    assert ("above encoding is only for the first (channel_0)" in text) is bool(more)


# --- the device's programs, before they ask for anything

NET_RUN = [
    ("--use_native_input_files", "Cannot use native file I/O without specifying user buffer"),
    ("--userbuffer_auto --userbuffer_tf8_output", "Cannot specify user buffer outputs while using user buffer auto"),
    ("--userbuffer_floatN_output 32", "Cannot use override user buffer output without specifying user buffer"),
    ("--runtime_order dsp --use_dsp", "Invalid option cannot mix --runtime_order"),
    ("--container q.dlc --input_list none.txt", "Could not open input list file: none.txt"),
    ("--container q.dlc --perf_profile fast --input_list inputs.txt", "Invalid value fast for --perf_profile"),
    ("--container q.dlc --set_output_tensors x --input_list inputs.txt", "Output tensor x is not in the graph"),
    ("--container q.dlc --use_dsp --use_gpu --input_list inputs.txt", "Multiple runtimes"),
    ("--container q.dlc --input_list inputs.txt --userbuffer_auto --use_native_input_files", "check all raw sizes"),
]


@pytest.mark.parametrize(("line", "said"), NET_RUN)
def test_net_run_refuses_what_is_documented(line: str, said: str, tmp_path: Path) -> None:
    converted()
    quantized()
    (tmp_path / "0.raw").write_bytes(bytes(3 * 32 * 32 + 1))
    with pytest.raises(Refused, match=said):
        netrun.main(line.split(), SnpeFaults(tmp_path / "faults.json"))


def test_a_raw_file_that_is_a_fraction_of_the_input_is_taken_several_times(tmp_path: Path) -> None:
    """As on the device, where only the list of file names gives it away."""
    (tmp_path / "half.raw").write_bytes(bytes(6))
    assert netrun._group(["half.raw"], [(1, 12)]) == ["half.raw", "half.raw"]


@pytest.mark.parametrize(("line", "said"), [("--container q.dlc", "Duration"), ("--duration 1", "--container")])
def test_throughput_needs_a_duration_and_a_container(
    line: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["program", "snpe-throughput-net-run"])
    with pytest.raises(Refused, match=said):
        throughput.main(line.split(), SnpeFaults(tmp_path / "faults.json"))


LOG = {
    "layers": [["Input", 2142], ["conv/MatMul", 0], ["Output", 6038]], "unit": "cycles", "runtime": "DSP",
    "times_us": {"init": 154620, "total": 1328, "rpc": 290, "accelerator": 59}, "level": "detailed", "graph": "m",
    "inferences": 2,
}  # fmt: skip


@pytest.mark.parametrize("version", ["1", "2"])
def test_a_log_is_read_in_every_form_that_it_comes_in(
    version: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "d.log").write_text("SNPEDIAG" + json.dumps(LOG))
    assert diagview.main(["--input_log", "d.log", "--output", "d.csv", "--csv_format_version", version]) == 0
    text, table = capsys.readouterr().out, (tmp_path / "d.csv").read_text()
    assert table.startswith("Msg Timestamp, Message, Layer Id" if version == "1" else "Msg Timestamp,Message,Layer Id,")
    for found in (parse_diagview(text), parse_diagview(table)):
        assert [layer.samples[0] for layer in found.layers] == [2142, 0, 6038]
    assert [layer.name for layer in parse_diagview(text).layers] == ["Input", "conv/MatMul", "Output"]
    SnpeFaults(tmp_path / "faults.json").set(old_log=-1)
    diagview.main(["--input_log", "d.log"])
    old = parse_diagview(capsys.readouterr().out)
    assert [(layer.name, layer.samples) for layer in old.layers] == [("", (2142,)), ("", (0,)), ("", (6038,))]


def test_a_log_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "SNPEDiag.log").write_text("no")
    with pytest.raises(Refused, match="Could not read log"):
        diagview.main(["--input_log", "SNPEDiag.log"])


def test_both_spellings_of_a_value_are_read() -> None:
    assert parse("x", ["--a=1", "--a", "2"], ["--a"], [])["--a"] == ["1", "2"]
    with pytest.raises(Refused, match="unrecognized option '--b'"):
        parse("x", ["--b"], ["--a"], [])


def test_an_unknown_fault_is_a_mistake_of_the_test(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such fault: overrides-gone"):
        SnpeFaults(tmp_path / "faults.json").set(overrides_gone=1)
