"""Every command line and file that is made for Qualcomm's tools, word for word."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mpsearch.candidate import Candidate, DataType
from mpsearch.errors import CandidateError, ConfigError
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.read import read
from mpsearch.testing.models import save, small_detector
from mpsearch.toolchain.snpe import clean, commands
from mpsearch.toolchain.snpe.commands import Files, Preparation
from mpsearch.toolchain.snpe.encodings import overrides, to_json
from mpsearch.toolchain.snpe.tools import Tools

FILES = Files("model.onnx")
A16W8, A16W16, FLOAT16 = DataType.A16W8, DataType.A16W16, DataType.FLOAT16


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> ModelGraph:
    return read(save(small_detector(), tmp_path_factory.mktemp("model") / "small.onnx"))


def line(words: list[str] | None) -> str:
    return " ".join(words or ["nothing"])


def test_onnx_to_dlc(graph: ModelGraph) -> None:
    assert line(commands.convert(graph, Candidate("a8w8"), "snpe", FILES, overrides=False)) == (
        "snpe-onnx-to-dlc -i model.onnx -o float.dlc --input_dim input 1,3,32,32 --input_dtype input float32 "
        "--input_layout input NCHW --out_name t16 --out_name t18 -n"
    )
    cut = Candidate("a8w8", cuts=(("t16", ("t15",)),), dropped=("t18",))
    assert line(commands.convert(graph, cut, "snpe", FILES, overrides=True)) == (
        "snpe-onnx-to-dlc -i model.onnx -o float.dlc --input_dim input 1,3,32,32 --input_dtype input float32 "
        "--input_layout input NCHW --out_name t15 -n --quantization_overrides overrides.json"
    )
    assert line(commands.convert(graph, Candidate("fp16"), "snpe", FILES, overrides=False)).endswith(
        "-n --float_bitwidth 16"
    )


def test_qairt_converter(graph: ModelGraph) -> None:
    assert line(commands.convert(graph, Candidate("a8w8"), "qairt", FILES, overrides=True)) == (
        "qairt-converter --input_network model.onnx --output_path float.dlc --out_tensor_node t16 "
        "--out_tensor_node t18 --onnx_skip_simplification --quantization_overrides overrides.json"
    )


SNPE = "snpe-dlc-quant --input_dlc=float.dlc --input_list=inputs.txt --output_dlc=quantized.dlc "


@pytest.mark.parametrize(
    ("base", "options", "words"),
    [
        ("a8w8", {}, "--act_bitwidth=8 --weights_bitwidth=8 --bias_bitwidth=8"),
        ("a16w8", {"bias_bits": "32"}, "--act_bitwidth=16 --weights_bitwidth=8 --bias_bitwidth=32"),
        ("a8w8", {"weight_bits": "4"}, "--act_bitwidth=8 --weights_bitwidth=4 --bias_bitwidth=8"),
        (
            "a16w16",
            {},
            "--act_bitwidth=16 --weights_bitwidth=16 --bias_bitwidth=8 --param_quantizer=symmetric "
            "--restrict_quantization_steps=-0x8000,0x7F7F",
        ),
        (
            "a8w8",
            {"weights": "per_channel", "matmul_weights": "per_row", "act_quantizer": "enhanced",
             "param_quantizer": "symmetric", "equalization": "cle"},
            "--act_bitwidth=8 --weights_bitwidth=8 --bias_bitwidth=8 --act_quantizer=enhanced "
            "--param_quantizer=symmetric --use_per_channel_quantization --use_per_row_quantization --algorithms=cle",
        ),
    ],
)  # fmt: skip
def test_snpe_dlc_quant(base: str, options: dict[str, str], words: str) -> None:
    candidate = Candidate(base, options=tuple(options.items()))
    assert line(commands.quantize(candidate, "snpe", FILES, overrides=False)) == SNPE + words
    assert line(commands.quantize(candidate, "snpe", FILES, overrides=True)) == f"{SNPE}{words} --override_params"


QAIRT = "qairt-quantizer --input_dlc float.dlc --input_list inputs.txt --output_dlc quantized.dlc "


@pytest.mark.parametrize(
    ("base", "options", "words"),
    [
        ("a8w8", {}, "--act_bitwidth 8 --weights_bitwidth 8 --bias_bitwidth 8"),
        (
            "a16w8",
            {"act_calibration": "sqnr", "param_schema": "symmetric"},
            "--act_bitwidth 16 --weights_bitwidth 8 --bias_bitwidth 8 --act_quantizer_calibration sqnr "
            "--param_quantizer_schema symmetric",
        ),
        (
            "a8w8",
            {"act_quantizer": "enhanced", "weights": "per_channel", "equalization": "cle"},
            "--act_bitwidth 8 --weights_bitwidth 8 --bias_bitwidth 8 --act_quantizer enhanced "
            "--use_per_channel_quantization --algorithms cle",
        ),
        (
            "a16w16",
            {},
            "--act_bitwidth 16 --weights_bitwidth 8 --bias_bitwidth 8 --param_quantizer_schema symmetric "
            "--restrict_quantization_steps -0x8000 0x7F7F",
        ),
        (
            "a16w16",
            {"act_quantizer": "enhanced"},
            "--act_bitwidth 16 --weights_bitwidth 8 --bias_bitwidth 8 --act_quantizer enhanced "
            "--param_quantizer symmetric --restrict_quantization_steps -0x8000 0x7F7F",
        ),
    ],
)
def test_qairt_quantizer_knows_no_override_flag_and_separates_steps_by_a_space(
    base: str, options: dict[str, str], words: str
) -> None:
    candidate = Candidate(base, options=tuple(options.items()))
    for has in (False, True):
        argv = commands.quantize(candidate, "qairt", FILES, overrides=has)
        assert line(argv) == QAIRT + words
        assert argv is not None
        assert "-0x8000 0x7F7F" in argv or base != "a16w16"


def test_a_float_model_is_not_quantized() -> None:
    assert commands.quantize(Candidate("fp16"), "snpe", FILES, overrides=False) is None
    assert commands.quantize(Candidate("fp16"), "qairt", FILES, overrides=False) is None


def test_flags_of_the_other_quantizer_are_refused_with_the_next_step() -> None:
    candidate = Candidate("a8w8", options=(("act_calibration", "mse"),))
    with pytest.raises(CandidateError, match="act_calibration: snpe-dlc-quant has no such flag") as caught:
        commands.quantize(candidate, "snpe", FILES, overrides=False)
    assert "toolkit.tools: qairt" in str(caught.value)


def test_graph_prepare() -> None:
    how = Preparation("qcs8550", 3)
    assert line(commands.prepare(Candidate("a8w8"), FILES, ("a", "b"), how)) == (
        "snpe-dlc-graph-prepare --input_dlc=quantized.dlc --output_dlc=model.dlc --set_output_tensors=a,b "
        "--optimization_level=3 --htp_socs=qcs8550"
    )
    assert line(commands.prepare(Candidate("fp16"), FILES, ("a",), Preparation())) == (
        "snpe-dlc-graph-prepare --input_dlc=float.dlc --output_dlc=model.dlc --set_output_tensors=a "
        "--optimization_level=2 --htp_socs=sm8550 --use_float_io"
    )
    elsewhere = Candidate("fp16", options=(("runtime", "gpu"),))
    assert commands.prepare(elsewhere, FILES, ("a",), Preparation()) is None


def test_dlc_info() -> None:
    assert line(commands.listing("model.dlc")) == "snpe-dlc-info -i model.dlc"


def test_diagview() -> None:
    assert line(commands.diagview("SNPEDiag.log", "layers.csv")) == (
        "snpe-diagview --input_log SNPEDiag.log --output layers.csv --csv_format_version 2"
    )


def test_tools_are_started_from_an_sdk_a_command_or_a_container(tmp_path: Path) -> None:
    def started(tools: Tools) -> str:
        return " ".join(tools.command(("snpe-dlc-info", "-i", "a.dlc"), cwd=Path("/c/w"), mount=Path("/c"), user="1:2"))

    assert started(Tools()) == "snpe-dlc-info -i a.dlc"
    assert started(Tools(sdk=Path("/opt/qairt"))) == "/opt/qairt/bin/x86_64-linux-clang/snpe-dlc-info -i a.dlc"
    assert started(Tools(prefix=("ssh", "build"))) == "ssh build snpe-dlc-info -i a.dlc"
    assert started(Tools(docker="ghcr.io/luxonis/modelconverter-rvc4:2.41.0-latest")) == (
        "docker run -i --rm --init -u 1:2 -v /c:/c -w /c/w --entrypoint snpe-dlc-info "
        "ghcr.io/luxonis/modelconverter-rvc4:2.41.0-latest -i a.dlc"
    )

    def looked_for(tools: Tools) -> str:
        return " ".join(tools.whereabouts("snpe-dlc-info", cwd=Path("/c"), mount=Path("/c"), user="1:2"))

    assert looked_for(Tools(prefix=("ssh", "build"))) == "ssh build which snpe-dlc-info"
    assert looked_for(Tools(prefix=("ssh", "b"), sdk=Path("/opt/q"))) == (
        "ssh b which /opt/q/bin/x86_64-linux-clang/snpe-dlc-info"
    )
    assert looked_for(Tools(docker="image")) == (
        "docker run -i --rm --init -u 1:2 -v /c:/c -w /c --entrypoint sh image -c command -v snpe-dlc-info"
    )
    with pytest.raises(ConfigError, match="docker"):
        Tools(docker="image", sdk=Path("/opt"))
    with pytest.raises(ConfigError, match="no image name"):
        Tools(docker="two words")


def test_an_sdk_brings_its_environment() -> None:
    found = Tools(sdk=Path("/opt/q")).environment({"PATH": "/bin", "PYTHONPATH": ""})
    assert found == {
        "PATH": "/opt/q/bin/x86_64-linux-clang:/bin",
        "LD_LIBRARY_PATH": "/opt/q/lib/x86_64-linux-clang",
        "PYTHONPATH": "/opt/q/lib/python",
        "SNPE_ROOT": "/opt/q",
        "QNN_SDK_ROOT": "/opt/q",
    }
    assert Tools().environment({"PATH": "/bin"}) == {}


MIXED = Candidate("a8w8", overrides=(("Conv_3", A16W16), ("Conv_17", FLOAT16), ("Sigmoid_18", A16W8)))


def test_the_overrides_of_a_mixed_candidate(graph: ModelGraph) -> None:
    values = dict.fromkeys(clean.largest(clean.constants(graph)), 0.5)
    entries = overrides(graph, MIXED, values, weight_bits=8)
    scale = 0.5 / 0x7F7F
    assert json.loads(to_json(entries)) == {
        "version": "0.5.0",
        "activation_encodings": {
            "t3": [{"bitwidth": 16, "dtype": "int"}],
            "t4": [{"bitwidth": 16, "dtype": "int"}],
            "t17": [{"bitwidth": 16, "dtype": "float"}],
        },
        "param_encodings": {
            "c2": [
                {
                    "bitwidth": 16, "dtype": "int", "is_symmetric": "True", "min": -32768 * scale, "max": 32767 * scale,
                    "scale": scale, "offset": -32768,
                }
            ],
            "c12": [{"bitwidth": 16, "dtype": "float"}],
            "c13": [{"bitwidth": 16, "dtype": "float"}],
        },
    }  # fmt: skip
    listed = json.loads(to_json(entries, "1.0.0"))
    assert listed["version"] == "1.0.0"
    assert {"name": "t17", "enc_type": "PER_TENSOR", "dtype": "FLOAT", "bw": 16} in listed["activation_encodings"]
    assert {
        "name": "c2", "enc_type": "PER_TENSOR", "dtype": "INT", "bw": 16, "is_sym": True, "scale": [scale],
        "offset": [-32768],
    } in listed["param_encodings"]  # fmt: skip


def test_a_sigmoid_in_16_bits_has_the_scale_that_htp_takes(graph: ModelGraph) -> None:
    both = Candidate("a8w8", overrides=(("Sigmoid_18", A16W8), ("output:t18", A16W8)))
    entries = overrides(graph, both, {}, weight_bits=8)
    assert json.loads(to_json(entries))["activation_encodings"] == {
        "t18": [
            {"bitwidth": 16, "dtype": "int", "min": 0.0, "max": 65535 / 65536, "scale": 1 / 65536, "offset": 0}
        ]
    }  # fmt: skip
