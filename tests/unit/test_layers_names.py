"""Names of layers, through each tool's renaming."""

from __future__ import annotations

import pytest

from mpsearch.layers.names import join, normalise, synap_body
from mpsearch.layers.network import Layer


def layer(tensor: str, node: str = "", op: str = "Conv", elements: int = 4) -> Layer:
    return Layer(normalise(tensor), tensor, node or tensor, op, True, "u", (1, elements), 0.5, "linear")


@pytest.mark.parametrize(
    "name",
    [
        "/model/conv/Conv_output_0", "model/conv/Conv_output_0.raw", "_model_conv_Conv", "model..conv__Conv",
        "/model/conv/Conv:OpId_21 (cycles)", "model.conv.Conv_DequantizeLinear_Output", "model_conv_Conv.npy",
    ],
)  # fmt: skip
def test_every_spelling_of_a_layer_is_one_name(name: str) -> None:
    assert normalise(name) == "model_conv_Conv"


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("@Conv_Conv_0_212:out0", "Conv_Conv_0"),
        ("Conv_Conv_0_212.raw", "Conv_Conv_0"),
        ("attach_Conv_Conv_212/out0_3", "Conv_Conv_212"),
        ("attach_Concat_/23/Concat_5/out0", "Concat_23_Concat_5"),
        ("@Sigmoid_Sigmoid_15_180_Mul_Mul_16_167", "Sigmoid_Sigmoid_15_180_Mul_Mul_16"),
        ("model.14/cv3/conv/Conv_output_0_13", "model_14_cv3_conv_Conv"),
    ],
)
def test_a_synap_layer_id_is_reduced_to_its_nodes(name: str, body: str) -> None:
    assert synap_body(name) == body


def test_ids_of_the_engine_find_their_layers() -> None:
    layers = [
        layer("t1", "Conv_0"),
        layer("t2", "Sigmoid_15", "Sigmoid"),
        layer("t3", "Mul_16", "Mul"),
        layer("out", "Conv_212"),
    ]
    names = [
        "@Conv_Conv_0_212:out0", "@Conv_Conv_0_212_acuity_mark_perm_220:out0",
        "@Sigmoid_Sigmoid_15_180_Mul_Mul_16_167:out0", "@Conv_Conv_212_5:out0", "attach_Conv_Conv_212/out0_3",
    ]  # fmt: skip
    joined = join(layers, dict.fromkeys(names))
    assert joined.names == {"t1": names[0], "t3": names[2], "out": names[3]}
    assert [found.tensor for found in joined.layers] == ["t2"], "inside a fused layer, so the engine does not show it"
    assert joined.others == (names[1], names[4])


def test_a_tensor_called_by_a_number_does_not_take_an_engine_layer_that_ends_in_it() -> None:
    joined = join([layer("16", "Add_3", "Add")], {"@Mul_Mul_16_167:out0": 4})
    assert joined.names == {}


def test_the_tensor_name_goes_before_the_node_name() -> None:
    joined = join([layer("a", "b"), layer("b", "c")], {"b.raw": 4})
    assert joined.names == {"b": "b.raw"}


def test_two_layers_of_one_name_are_told_apart_by_size() -> None:
    joined = join([layer("x.a", elements=4), layer("x_a", elements=8)], {"x/a.raw": 8, "x__a.raw": 4})
    assert joined.names == {"x.a": "x__a.raw", "x_a": "x/a.raw"}


def test_two_layers_of_one_name_and_size_are_reported_and_not_lost() -> None:
    joined = join([layer("x.a"), layer("x/a")], {"x-a.raw": 4})
    assert joined.names == {}
    assert joined.ambiguous == ("x_a: 'x-a.raw' could each be 'x.a', 'x/a'; none of them is compared",)
    assert len(joined.layers) == 2
    assert joined.others == ("x-a.raw",)


def test_two_files_of_one_layer_are_reported_unless_one_has_its_very_name() -> None:
    assert join([layer("a.b")], {"a_b.raw": 4, "a__b.npy": 4}).ambiguous
    joined = join([layer("a.b")], {"a.b.raw": 4, "a_b.raw": 4})
    assert joined.names == {"a.b": "a.b.raw"}
    assert joined.others == ("a_b.raw",)
