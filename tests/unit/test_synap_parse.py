"""What a hand-written metafile is told, and where."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mpsearch.candidate import Algorithm, DataType
from mpsearch.errors import ConfigError
from mpsearch.graph.model import Conv, ModelGraph, Node, Tensor
from mpsearch.graph.units import build_units
from mpsearch.toolchain.synap.parse import Parsed, parse

HEAD = "inputs:\n- scale: 255\nquantization:\n  dataset: q/*.jpg\n"


def tiny(last: int = 7) -> ModelGraph:
    """stem (SiLU) -> body -> cat(stem, body) -> head "349" -> Reshape -> "out", or only its first nodes."""

    def conv(name: str, source: str, target: str) -> Node:
        return Node(name, "Conv", (source,), (), (target,), conv=Conv((1, 1), (1, 1), 1, 3, 3, (4, 4)))

    nodes = (
        conv("Conv_0", "image", "a"),
        Node("Sigmoid_1", "Sigmoid", ("a",), (), ("b",)),
        Node("Mul_2", "Mul", ("a", "b"), (), ("c",)),
        conv("Conv_3", "c", "d"),
        Node("Concat_4", "Concat", ("c", "d"), (), ("e",)),
        conv("Conv_5", "e", "349"),
        Node("Reshape_6", "Reshape", ("349",), (), ("out",)),
    )
    nodes, end = nodes[:last], nodes[last - 1].outputs[0]
    shapes = {name: Tensor(name, (1, 3, 4, 4)) for name in ("image", *(n.outputs[0] for n in nodes))}
    cuts = {end: (("349",),) if end == "out" else ()}
    units = build_units(nodes, [end])
    return ModelGraph(Path("tiny.onnx"), "0", 13, nodes, shapes, units, ("image",), (end,), cuts)


def complaint(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text, tiny(), source="meta.yaml")
    return str(caught.value)


def test_an_unknown_field_is_named_with_its_line_and_the_nearest() -> None:
    text = complaint("inputs:\n- scale: 255\nquantisation:\n  dataset: x\n")
    assert "meta.yaml:3" in text
    assert "'quantisation'" in text
    assert "Nearest: 'quantization'" in text


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("  data_type: float16\n", ["meta.yaml:5", "plain float16", "Leave `quantization` out"]),
        ("  data_type: uint4\n", ["meta.yaml:5", "'uint4'", "uint8"]),
        ("  scheme: perchannel_symmetric_affine\n", ["meta.yaml:5", "does not go with uint8", "asymmetric_affine"]),
        ("  algorithm: auto\n", ["meta.yaml:5", "'auto'", "kl_divergence"]),
        ("  mode: fast\n", ["meta.yaml:5", "'fast'"]),
        ("  data_type:\n    '*': uint8\n    Conv_9: int16\n", ["meta.yaml:7", "'Conv_9'", "Nearest: Conv_"]),
        ("  data_type:\n    '*': uint8\n    Mul_2: int16\n", ["meta.yaml:7", "'Mul_2'", "renames"]),
        ("  data_type:\n    '*': uint8\n    Conv_5: uint8\n", ["meta.yaml:7", "KeyError", "Remove the entry"]),
        ("  data_type:\n    '*': uint8\n    Conv_5: int8\n", ["meta.yaml:7", "int8 and uint8"]),
        ("  data_type:\n    '*': uint8\n    '@Mul_7': int16\n", ["meta.yaml:7", "layer id", "probe"]),
        ("  data_type:\n    '*': uint8\n    Conv_0: int16\n", ["meta.yaml:5", "Conv_0", "two types", "name..."]),
        ("  data_type:\n    Conv_5: uint8\n    Conv_5: int16\n", ["meta.yaml:7", "stands twice"]),
        (
            "  data_type:\n    '*': int8\n    Conv_5: int16\n  scheme: perchannel_symmetric_affine\n",
            ["Conv_5", "DFP INT16, SYMM PC INT8"],
        ),
        ("outputs:\n- name: 349\n", ["meta.yaml:6", 'quotes: "349"']),
        ("outputs:\n- name: '348'\n", ["meta.yaml:6", "no tensor", "'349'"]),
        ("outputs:\n- name: c\n", ["meta.yaml:6", "no place where mpsearch can cut"]),
        ("outputs:\n- name: '349'\n- dequantize: true\n", ["meta.yaml:7", "without a name"]),
        ("outputs:\n- name: out\n- name: '349'\n", ["meta.yaml:7", "out of order"]),
        ("outputs:\n- {}\n- {}\n", ["2 outputs for a model with 1"]),
    ],
)
def test_what_the_toolkit_would_refuse_is_refused_with_the_line(body: str, words: list[str]) -> None:
    text = complaint(HEAD + body)
    for word in words:
        assert word in text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("inputs: [", ["meta.yaml:1", "broken YAML"]),
        ("inputs:\n- scale: 0\n", ["meta.yaml:2", "scale 0"]),
        ("inputs:\n- name: image\n", ["meta.yaml:2", "shape"]),
        ("inputs:\n- {}\n- {}\n", ["meta.yaml:3", "second input"]),
        ("inputs:\n- preprocess: {type: nv13, size: [8, 8]}\n", ["meta.yaml:2", "nv13", "nv12"]),
        ("inputs: []\nquantization:\n  dataset: a.jpg\n", ["meta.yaml:2", "`inputs`"]),
        ("inputs:\n- {}\nquantization:\n  dataset: my images/*.jpg\n", ["meta.yaml:4", "space"]),
        ("inputs:\n- means: .nan\n", ["meta.yaml:2", "finite"]),
        ("custom: &a [*a]\n", ["an alias that holds itself"]),
        ("custom: !!python/name:os.system x\n", ["meta.yaml:1", "broken YAML"]),
        ("a: \0\n", ["broken YAML"]),
        ("- inputs\n", ["meta.yaml:1", "must be a mapping"]),
    ],
)
def test_other_faults_have_their_line_too(text: str, words: list[str]) -> None:
    said = complaint(text)
    for word in words:
        assert word in said


def test_a_dataset_that_is_missing_means_a_float16_model_and_says_so() -> None:
    parsed = parse("quantization:\n  data_type: int16\n", tiny())
    assert parsed.candidate.base == "float16"
    assert "no `dataset`" in parsed.notes[0]


def test_a_tail_moves_its_layers_and_the_output() -> None:
    body = "  data_type:\n    '*': uint8\n    Concat_4...: int16\n  algorithm: moving_average\n"
    candidate = parse(HEAD + body, tiny()).candidate
    assert candidate.overrides == (("Conv_5", DataType.INT16), ("output:out", DataType.INT16))
    assert candidate.algorithm is Algorithm.MOVING_AVERAGE


def test_an_int16_star_over_named_8_bit_layers_is_an_int16_base() -> None:
    candidate = parse(f"{HEAD}  data_type:\n    '*': int16\n    Conv_5: uint8\n", tiny()).candidate
    assert candidate.base == "int16"
    assert candidate.overrides == (("Conv_5", DataType.UINT8),)


def test_a_float16_star_is_an_8_bit_base_with_float16_everywhere_else() -> None:
    candidate = parse(f"{HEAD}  data_type:\n    '*': float16\n    Conv_5: uint8\n", tiny()).candidate
    assert candidate.base == "uint8"
    assert dict(candidate.overrides) == dict.fromkeys(("Conv_0", "Conv_3", "output:out"), DataType.FLOAT16)


def test_narrowed_data_movers_are_remarked() -> None:
    parsed = parse(f"{HEAD}  data_type:\n    '*': uint8\n    Conv_3: int16\n", tiny())
    assert parsed.candidate.overrides == (("Conv_3", DataType.INT16),)
    assert "Concat_4 (uint8)" in parsed.notes[0]


def test_the_rest_comes_back_as_io() -> None:
    text = "inputs:\n- means: [1, 2.5, 3]\n  scale: 128\n  format: bgr\n  name: image\n  shape: [1, 3, 4, 4]\n"
    parsed = parse(f"{text}outputs:\n- name: '349'\n  format: yolov5 transposed=1\n", tiny())
    assert parsed.io.means == (1, 2.5, 3)
    assert (parsed.io.scale, parsed.io.input_format, parsed.io.input_shape) == (128, "bgr", (1, 3, 4, 4))
    assert (parsed.io.output_format, parsed.io.dequantize) == ("yolov5 transposed=1", False)
    assert parsed.candidate.cuts == (("out", ("349",)),)


FIELDS = (
    "inputs outputs quantization means scale name shape format preprocess type size dataset scheme data_type mode "
    "algorithm * INPUTS Conv_0 Conv_5 Concat_4... uint8 int16 out 349 image"
).split()
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(FIELDS), st.text(max_size=5)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
)


@given(st.dictionaries(st.sampled_from(("inputs", "outputs", "quantization", "custom")), VALUES) | VALUES)
def test_any_yaml_is_a_candidate_or_a_config_error(value: Any) -> None:
    with suppress(ConfigError):
        assert isinstance(parse(yaml.safe_dump(value), tiny()), Parsed)


@given(st.text())
def test_any_text_is_a_candidate_or_a_config_error(text: str) -> None:
    with suppress(ConfigError):
        assert isinstance(parse(text, tiny()), Parsed)
