"""Networks with a dynamic input whose Reshapes say for which size they were exported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mpsearch.errors import ModelError
from mpsearch.graph.read import read
from mpsearch.graph.sizes import admitted


def network(*targets: tuple[int, ...], size: tuple[int | str, int | str] = ("h", "w")) -> onnx.ModelProto:
    """Two convolutions of stride 4, then a Reshape to each target."""
    weights = [
        numpy_helper.from_array(np.ones(shape, np.float32), name)
        for name, shape in (("w0", (8, 3, 4, 4)), ("w1", (12, 8, 4, 4)))
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["a"], name="c0", strides=[4, 4], kernel_shape=[4, 4]),
        helper.make_node("Conv", ["a", "w1"], ["b"], name="c1", strides=[4, 4], kernel_shape=[4, 4]),
    ]
    outputs = []
    for index, target in enumerate(targets):
        weights.append(numpy_helper.from_array(np.array(target, np.int64), f"s{index}"))
        nodes.append(helper.make_node("Reshape", ["b", f"s{index}"], [f"y{index}"], name=f"r{index}"))
        outputs.append(helper.make_tensor_value_info(f"y{index}", TensorProto.FLOAT, None))
    source = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, *size])
    graph = helper.make_graph(nodes, "g", [source], outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])


def saved(tmp_path: Path, *targets: tuple[int, ...]) -> Path:
    onnx.save(network(*targets), str(tmp_path / "m.onnx"))
    return tmp_path / "m.onnx"


@pytest.mark.parametrize(
    ("targets", "sizes"),
    [
        (((1, 3, 4, 6, 10),), ((96, 160),)),
        (((1, -1, 6, 10),), ((96, 160),)),
        (((1, 3, 4, 6, 10), (1, 720)), ((96, 160),)),
        (((1, 5, 4, 6, 10),), ((80, 320), (160, 160), (320, 80))),  # no channels before 6x10: only the product counts
        (((1, -1, 6, 10), (1, -1, 10, 6)), ()),
        (((1, 12 * 16),), ((32, 128), (64, 64), (128, 32))),
        (((1, 12 * 49),), ((112, 112),)),  # 1x49 has no believable sides
        (((1, -1),), ()),
        ((), ()),
    ],
)
def test_sizes_follow_from_reshapes_to_constant_shapes(
    targets: tuple[tuple[int, ...], ...], sizes: tuple[tuple[int, int], ...]
) -> None:
    assert admitted(network(*targets or ((0, 0, 0, 0),))) == sizes


def test_a_dynamic_network_that_admits_one_size_needs_none_to_be_given(tmp_path: Path) -> None:
    graph = read(saved(tmp_path, (1, 3, 4, 6, 10)))
    assert graph.tensors["x"].shape == (1, 3, 96, 160)
    assert graph.reshaped
    assert any("one size only, 96x160" in note for note in graph.notes)
    assert read(graph.path, input_shape=(1, 3, 96, 160)).digest == graph.digest


def test_a_size_that_does_not_fit_is_refused_with_the_one_that_does(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="64x64 does not fit") as caught:
        read(saved(tmp_path, (1, 3, 4, 6, 10)), input_shape=(1, 3, 64, 64))
    assert "1,3,96,160" in caught.value.hint


def test_several_sizes_are_for_the_user_to_choose_from(tmp_path: Path) -> None:
    path = saved(tmp_path, (1, 12 * 2))
    with pytest.raises(ModelError, match="dynamic shape"):
        read(path)
    assert read(path, input_shape=(1, 3, 16, 32)).tensors["x"].shape == (1, 3, 16, 32)
    with pytest.raises(ModelError) as caught:
        read(path, input_shape=(1, 3, 64, 64))
    assert "1,3,16,32 or 1,3,32,16" in caught.value.hint
