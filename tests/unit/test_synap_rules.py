"""What SyNAP refuses, and what a metafile cannot say."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml
from test_synap_parse import tiny

from mpsearch.candidate import Candidate, DataType
from mpsearch.errors import CandidateError, ConfigError
from mpsearch.graph.units import build_units
from mpsearch.toolchain.simulated import SimulatedToolchain
from mpsearch.toolchain.synap import rules
from mpsearch.toolchain.synap.formats import adapt
from mpsearch.toolchain.synap.layers import read_map
from mpsearch.toolchain.synap.metafile import MetafileIO, Rendered, render
from mpsearch.toolchain.synap.net import build

INT16, UINT8, INT8, FLOAT16 = DataType.INT16, DataType.UINT8, DataType.INT8, DataType.FLOAT16


def rendered(candidate: Candidate, io: MetafileIO | None = None) -> Rendered:
    return render(tiny(), candidate, io or MetafileIO(), target="vs680", model_path="tiny.onnx")


@pytest.mark.parametrize(
    ("candidate", "words"),
    [
        (Candidate("uint8", overrides=(("Conv_0", INT8),)), "one 8-bit type"),
        (Candidate("int16", overrides=(("Conv_0", INT8), ("Conv_3", UINT8))), "int8 and uint8"),
        (Candidate("float16", overrides=(("Conv_0", INT16),)), "no quantization at all"),
        (Candidate("int8-pc", overrides=(("Conv_0", INT16),)), "DFP INT16, SYMM PC INT8"),
        (Candidate(overrides=(("Cov_0", INT16),)), "nearest: 'Conv_0'"),
        (Candidate(overrides=(("Concat_4", INT16),)), "only carries a type"),
        (Candidate(cuts=(("out", ("e",)),)), "cannot be cut at e"),
        (Candidate(dropped=("out",)), "every output is dropped"),
        (Candidate(preprocess="nv12"), "preprocess 'nv12'"),
        (Candidate(preprocess="nv12:0x8"), "preprocess"),
    ],
)
def test_an_illegal_candidate_has_a_reason_and_cannot_be_built(candidate: Candidate, words: str) -> None:
    assert words in "; ".join(rules.illegal(tiny(), candidate))
    with pytest.raises(CandidateError) as caught:
        SimulatedToolchain(tiny(), rules.illegal).build(candidate)
    assert caught.value.stage == "render"


@pytest.mark.parametrize(
    "candidate",
    [
        Candidate("float16"),
        Candidate("int16", overrides=(("Conv_0", UINT8),)),
        Candidate("int8-asym", overrides=(("Conv_0", INT16), ("Conv_3", FLOAT16))),
        Candidate("int8-pc", overrides=(("Conv_0", FLOAT16), ("output:out", INT16))),
        Candidate(cuts=(("out", ("349",)),), preprocess="nv12:1024x768"),
    ],
)
def test_a_legal_candidate_is_built_as_asked(candidate: Candidate) -> None:
    assert rules.illegal(tiny(), candidate) == ()
    artifact = SimulatedToolchain(tiny(), rules.illegal).build(candidate)
    assert artifact.types == tiny().assign(candidate)
    assert artifact.differs == {}


def test_a_fused_activation_gets_its_type_from_the_convolution_before_it() -> None:
    made = rendered(Candidate(overrides=(("Conv_0", INT16),)))
    types = yaml.safe_load(made.text)["quantization"]["data_type"]
    assert list(types.items())[:2] == [("*", "uint8"), ("Conv_0...", "int16")]
    assert made.unresolved == ()


def test_what_no_entry_reaches_stays_at_the_base_and_is_reported() -> None:
    """The activation at the very end: the only tail that moves it moves the output layer, which has no name."""
    graph, candidate = tiny(last=3), Candidate(overrides=(("Conv_0", INT16),))
    made = render(graph, candidate, MetafileIO(), target="vs680", model_path="m")
    assert yaml.safe_load(made.text)["quantization"]["data_type"] == "uint8"
    assert [(item.unit, item.type) for item in made.unresolved] == [("Conv_0", INT16)]
    assert "Sigmoid Sigmoid_1 and Mul Mul_2" in made.unresolved[0].reason
    assert made.candidate == Candidate()
    ids = dict.fromkeys(("Sigmoid_1", "Mul_2"), "Sigmoid_Sigmoid_1_15_Mul_Mul_2_16")
    made = render(graph, candidate, MetafileIO(), target="vs680", model_path="m", layer_ids=ids)
    assert made.unresolved == ()
    assert yaml.safe_load(made.text)["quantization"]["data_type"] == {
        "*": "uint8",
        "Conv_0": "int16",
        "@Sigmoid_Sigmoid_1_15_Mul_Mul_2_16": "int16",
    }


def test_a_delivered_head_that_is_read_on_gets_a_type_of_its_own() -> None:
    graph = tiny()
    graph = replace(graph, outputs=("349", "out"), units=build_units(graph.nodes, ["349", "out"]))
    candidate = Candidate(overrides=(("output:349", INT16), ("output:out", FLOAT16)))
    made = render(graph, candidate, MetafileIO(), target="vs680", model_path="m")
    assert yaml.safe_load(made.text)["quantization"]["data_type"] == {
        "*": "uint8",
        "Conv_5...": "int16",
        "Reshape_6...": "float16",
        "Reshape_6": "uint8",
    }


def test_a_shape_that_the_user_fixed_is_written_down() -> None:
    made = render(replace(tiny(), reshaped=True), Candidate(), MetafileIO(), target="vs680", model_path="m")
    assert yaml.safe_load(made.text)["inputs"] == [{"name": "image", "shape": [1, 3, 4, 4]}]


def test_anchor_lists_must_be_as_many_as_outputs() -> None:
    graph = replace(tiny(), outputs=("349", "out"))
    with pytest.raises(ConfigError, match="1 anchor lists"):
        adapt("yolov5 anchors=[[],[],[],[1,2]]", graph, {"out": ("out",)})


def test_output_of_a_head_is_reached_by_a_tail_and_not_by_a_guess() -> None:
    made = rendered(Candidate(overrides=(("output:out", INT16),)))
    assert yaml.safe_load(made.text)["quantization"]["data_type"] == {"*": "uint8", "Reshape_6...": "int16"}
    assert made.notes == ()


@pytest.mark.parametrize(
    ("io", "words"),
    [
        (MetafileIO(scale=0), "scale 0"),
        (MetafileIO(dataset=()), "0 calibration datasets"),
        (MetafileIO(dataset=("my images/*",)), "space"),
        (MetafileIO(input_name="image"), "only allowed together"),
    ],
)
def test_a_metafile_that_would_fail_or_stay_float_is_refused(io: MetafileIO, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        rendered(Candidate(), io)


def test_an_unknown_target_has_its_nearest() -> None:
    with pytest.raises(ConfigError, match="VS680"):
        render(tiny(), Candidate(), MetafileIO(), target="vs68", model_path="m")


def test_format_of_other_families_is_left_alone_and_remarked_when_cut() -> None:
    assert adapt("yolov8 w_scale=1", tiny(), {"out": ("out",)}) == ("yolov8 w_scale=1", ())
    text, notes = adapt("retinanet_boxes", tiny(), {"out": ("349",)})
    assert text == "retinanet_boxes"
    assert "check that the decoder" in notes[0]


def test_a_node_whose_name_begins_like_another_keeps_its_own_layer_id() -> None:
    nodes = tuple(replace(node, name={"Conv_3": "Conv_0_5"}.get(node.name, node.name)) for node in tiny().nodes)
    graph = replace(tiny(), nodes=nodes, units=build_units(nodes, ["out"]))
    found = read_map("@Conv_Conv_0_5_7:out0\n@Conv_Conv_0_5x_8:out0\n@Conv_Conv_5_2:out0", graph, Candidate())
    assert found.ids == {"Conv_0_5": "Conv_Conv_0_5_7", "Conv_5": "Conv_Conv_5_2"}
    assert "Conv_0" in found.missing
    assert found.unused == ("Conv_Conv_0_5x_8",)
    twice = read_map("@Conv_Conv_5_2:out0\n@Conv_Conv_5_3:out0", graph, Candidate())
    assert twice.ambiguous == {"Conv_5": ("Conv_Conv_5_2", "Conv_Conv_5_3")}


def test_a_swish_away_from_a_convolution_has_no_name_either() -> None:
    nodes = tuple(replace(node, op_type="Add") if node.name == "Conv_0" else node for node in tiny().nodes)
    graph = replace(tiny(), nodes=nodes, units=build_units(nodes, ["out"]))
    assert {"Sigmoid_1", "Mul_2"} <= set(graph.unit)
    keys = {layer.key for layer in build(graph, Candidate()).layers}
    assert keys == {None, "Conv_0", "Conv_3", "Concat_4", "Conv_5", "Reshape_6"}


def test_every_other_field_of_a_metafile_can_be_said_and_is_checked() -> None:
    io = MetafileIO(
        input_security="secure",
        output_security="any",
        data_layout="nchw",
        delegate="npu",
        mode="full",
        options=(("divergence_nbins", 2048),),
        custom=(("owner", "me"),),
    )
    text = rendered(Candidate(), io).text
    for line in ("data_layout: nchw", "delegate: npu", "- security: secure", "  security: any", "  mode: full"):
        assert f"{line}\n" in text
    assert "  options:\n    divergence_nbins: 2048\n" in text
    assert text.endswith("custom:\n  owner: me\n")
    for field, value in (("mode", "fast"), ("data_layout", "nhwc"), ("delegate", "tpu"), ("input_security", "yes")):
        with pytest.raises(ConfigError, match=field):
            rendered(Candidate(), replace(MetafileIO(), **{field: value}))
    with pytest.raises(ConfigError, match="nearest: 'divergence_nbins'"):
        rendered(Candidate(), MetafileIO(options=(("divergence_bins", 1),)))
