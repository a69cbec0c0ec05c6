"""The lab's quantizers and its Hexagon are as strict as Qualcomm's documents say of theirs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpsearch.graph.model import ModelGraph
from mpsearch.graph.read import read
from mpsearch.testing.lab.snpe import convert, dlc, info, quantize
from mpsearch.testing.lab.snpe.faults import SnpeFaults
from mpsearch.testing.lab.snpe.validate import refused_by_htp
from mpsearch.testing.lab.snpe.words import Refused
from mpsearch.testing.models import save, small_detector
from mpsearch.toolchain.snpe import clean, dlcinfo

WIDE = ("--act_bitwidth=16", "--weights_bitwidth=16", "--param_quantizer=symmetric")
STEPS = "--restrict_quantization_steps=-0x8000,0x7F7F"


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lab's folder and a float DLC, and both are where programs start."""
    monkeypatch.setenv("MPSEARCH_LAB", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    save(small_detector(), tmp_path / "m.onnx")
    np.random.default_rng(0).random((1, 32, 32, 3), dtype=np.float32).tofile(tmp_path / "0.raw")
    (tmp_path / "inputs.txt").write_text(f"input:={tmp_path}/0.raw\n")
    converted()


@pytest.fixture
def graph(tmp_path: Path) -> ModelGraph:
    return read(tmp_path / "m.onnx")


def converted(*more: str) -> None:
    assert convert.main(["-i", "m.onnx", "-o", "f.dlc", "-n", *more], qairt=False) == 0


def overridden(activations: object, params: object) -> None:
    """The float DLC again, with overrides in it."""
    Path("o.json").write_text(json.dumps({"activation_encodings": activations, "param_encodings": params}))
    converted("--quantization_overrides", "o.json")


def quantized(*more: str) -> dlc.Dlc:
    assert quantize.snpe(["--input_dlc=f.dlc", "--input_list=inputs.txt", "--output_dlc=q.dlc", *more]) == 0
    return dlc.read("q.dlc")


def listed(capsys: pytest.CaptureFixture[str]) -> dlcinfo.DlcInfo:
    capsys.readouterr()
    assert info.main(["-i", "q.dlc"]) == 0
    return dlcinfo.parse(capsys.readouterr().out)


# --- what the listing says of weights and biases


@pytest.mark.parametrize(
    ("flags", "kind", "width", "by_channel", "bias"),
    [
        ((), "uFxp_8", 8, False, "uFxp_8"),
        (("--bias_bitwidth=32",), "uFxp_8", 8, False, "sFxp_32"),
        (("--weights_bitwidth=4",), "uFxp_8", 4, False, "uFxp_8"),
        (("--use_per_channel_quantization",), "sFxp_8", 8, True, "uFxp_8"),
        (("--use_per_channel_quantization", "--weights_bitwidth=4"), "sFxp_8", 4, True, "uFxp_8"),
        (("--use_per_row_quantization",), "uFxp_8", 8, False, "uFxp_8"),  # no MatMul here
        ((*WIDE, STEPS), "uFxp_16", 16, False, "uFxp_8"),
    ],
)
def test_the_listing_shows_what_was_built(
    flags: tuple[str, ...], kind: str, width: int, by_channel: bool, bias: str, capsys: pytest.CaptureFixture[str]
) -> None:
    quantized(*flags)
    found = listed(capsys).tensors
    assert (found["c0"].type, found["c0"].width) == (kind, width)
    assert found["c0"].encoding is not None
    assert found["c0"].encoding.by_channel is by_channel
    assert found["c1"].type == bias


def test_flags_can_get_lost_without_a_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    SnpeFaults(tmp_path / "faults.json").set(flags_ignored=1)
    quantized("--weights_bitwidth=4", "--bias_bitwidth=32", "--use_per_channel_quantization")
    assert "ignored" not in capsys.readouterr().out
    found = listed(capsys).tensors
    assert (found["c0"].type, found["c0"].width, found["c1"].type) == ("uFxp_8", 8, "uFxp_8")


# --- what the quantizers take


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--weights_bitwidth 16", "argument --weights_bitwidth: invalid choice: '16'"),
        ("--act_bitwidth 4", "argument --act_bitwidth: invalid choice: '4'"),
        ("--algorithms none", "argument --algorithms: invalid choice: 'none'"),
        ("--act_quantizer_calibration tf", "argument --act_quantizer_calibration: invalid choice: 'tf'"),
        ("--param_quantizer_schema both", "argument --param_quantizer_schema: invalid choice: 'both'"),
    ],
)
def test_the_newer_quantizer_ends_with_2_for_values_that_it_does_not_know(
    words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        quantize.qairt(["--input_dlc", "f.dlc", "--input_list", "inputs.txt", *words.split()])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("algorithm", ["adaround", "amp"])
def test_what_needs_aimet_is_refused_where_there_is_none(algorithm: str) -> None:
    with pytest.raises(Refused, match="AIMET"):
        quantize.qairt(["--input_dlc", "f.dlc", "--input_list", "inputs.txt", "--algorithms", algorithm])


def test_the_older_quantizer_knows_one_algorithm() -> None:
    with pytest.raises(Refused, match="Invalid value none for --algorithms"):
        quantized("--algorithms=none")
    assert quantized("--algorithms=cle").about["run"]["candidate"]["options"]["equalization"] == "cle"


# --- what HTP validates


def test_sixteen_bit_weights_are_symmetric_restricted_and_per_tensor() -> None:
    assert refused_by_htp(quantized(*WIDE, STEPS)) is None
    assert refused_by_htp(quantized(*WIDE)) is not None
    assert refused_by_htp(quantized(*WIDE[:2], STEPS)) is not None
    refused = refused_by_htp(quantized(*WIDE, STEPS, "--use_per_channel_quantization"))
    assert refused == {"name": "Conv_0", "type": "Conv2d"}


def test_sixteen_bit_weights_need_sixteen_bit_activations() -> None:
    refused = refused_by_htp(quantized("--weights_bitwidth=16", "--param_quantizer=symmetric", STEPS))
    assert refused == {"name": "Conv_0", "type": "Conv2d"}


@pytest.mark.parametrize(("last", "ok"), [(0x7F7F, True), (0x7FFF, False)])
def test_an_override_of_a_wide_weight_keeps_to_the_steps_too(last: int, ok: bool, graph: ModelGraph) -> None:
    largest = float(clean.constants(graph)["c0"].max())
    entry = {"bitwidth": 16, "dtype": "int", "is_symmetric": "True", "scale": largest / last, "offset": -32768}
    overridden({"t0": [{"bitwidth": 16}], "t1": [{"bitwidth": 16}]}, {"c0": [entry]})
    assert (refused_by_htp(quantized("--override_params")) is None) is ok


def tampered(made: dlc.Dlc, name: str, **fields: Any) -> dlc.Dlc:
    made.tensors[name] |= fields
    return made


@pytest.mark.parametrize(
    ("tensor", "kind", "op"),
    [
        ("t2", "Float_16", "Mul_2"),
        ("input", "Float_16", "Conv_0"),
        ("input", "uFxp_16", "Conv_0"),
        ("c0", "Float_16", "Conv_0"),
        ("c1", "Float_16", "Conv_0"),
        ("c1", "uFxp_16", "Conv_0"),
        ("c0", "sFxp_16", "Conv_0"),
        ("t7", "Float_32", "Add_7"),
    ],
)
def test_operands_that_do_not_go_together_are_refused(tensor: str, kind: str, op: str) -> None:
    made = quantized()
    assert refused_by_htp(made) is None
    refused = refused_by_htp(tampered(made, tensor, type=kind))
    assert refused is not None
    assert refused["name"] == op


def test_weights_by_channel_are_signed_and_symmetric() -> None:
    made = quantized("--use_per_channel_quantization")
    assert refused_by_htp(made) is None
    assert refused_by_htp(tampered(made, "c0", type="uFxp_8")) is not None


def test_float_activations_take_signed_eight_bit_weights_and_no_others() -> None:
    made = quantized()
    for op in made.ir["ops"]:
        for name in (*op["inputs"], *op["outputs"]):
            made.tensors[name]["type"] = "Float_16"
    assert refused_by_htp(made) is None
    assert refused_by_htp(tampered(made, "c0", type="sFxp_8")) is None
    assert refused_by_htp(tampered(made, "c0", type="uFxp_8")) is not None


def test_a_mixed_build_of_the_quantizers_own_making_is_accepted(graph: ModelGraph) -> None:
    weight, bias = graph.node["Conv_9"].params
    half = [{"bitwidth": 16, "dtype": "float"}]
    overridden({"t7": [{"bitwidth": 16}], "t9": half, "t10": half}, {weight: half, bias: half})
    assert refused_by_htp(quantized("--override_params")) is None
