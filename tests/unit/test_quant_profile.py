"""The profile finds the unit that hurts, and says what widening it gains."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mpsearch.candidate import DataType
from mpsearch.errors import ConfigError
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.onnxio import FloatModel
from mpsearch.graph.read import read
from mpsearch.quant.profile import Profile, output_noise, profile
from mpsearch.report import profile as report

FloatArray = NDArray[np.float32]


class Photos:
    """A stand-in for a PhotoSet."""

    def __init__(self, seed: int, count: int = 4) -> None:
        self.images = np.random.default_rng(seed).uniform(0, 1, (count, 3, 8, 8)).astype(np.float32)
        self.digest = f"{seed}-{count}"

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, size: int) -> Iterator[FloatArray]:
        for start in range(0, len(self.images), size):
            yield self.images[start : start + size]


def chain(folder: Path) -> ModelGraph:
    """Three convolutions; the second has one channel a hundred times as large as the others, which are what counts."""
    rng = np.random.default_rng(0)
    constants: dict[str, NDArray[Any]] = {}
    nodes = []
    for index, source in enumerate(("x", "a0", "a1")):
        weights = rng.normal(0, 0.5, (4, 3 if index == 0 else 4, 1, 1))
        if index == 1:
            weights[0] *= 100
        if index == 2:
            weights[:, 0] = 0
        constants[f"w{index}"], constants[f"b{index}"] = weights, rng.normal(0, 0.1, 4)
        inputs = [source, f"w{index}", f"b{index}"]
        nodes.append(helper.make_node("Conv", inputs, [f"a{index}"], name=f"c{index}"))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("a2", TensorProto.FLOAT, [1, 4, 8, 8])],
        [numpy_helper.from_array(np.asarray(v, np.float32), k) for k, v in constants.items()],
    )
    path = folder / "chain.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8), str(path))
    return read(path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Profile:
    graph = chain(tmp_path_factory.mktemp("profile"))
    photos = Photos(1)
    return profile(graph, Photos(2), photos, output_noise(graph, photos))


def test_the_unit_that_hurts_is_the_noisiest_alone_and_gains_most_when_widened(made: Profile) -> None:
    assert [unit.unit for unit in made.units] == ["c0", "c1", "c2"]
    assert max(made.units, key=lambda unit: unit.alone_error).unit == "c1"
    assert min(made.units, key=lambda unit: unit.widened_error).unit == "c1"
    assert made.base_error > 0


def test_what_units_bring_alone_adds_up_to_about_what_they_bring_together(made: Profile) -> None:
    together = sum(unit.alone_error for unit in made.units)
    assert 0.5 * together < made.base_error < 2 * together


def test_every_tensor_is_compared_with_its_float_self(made: Profile) -> None:
    assert {tensor.tensor for tensor in made.tensors} == {"a0", "a1", "a2"}
    first, _, last = made.tensors
    assert first.sqnr_db > 30 > last.sqnr_db > 0
    assert 1 >= first.cosine > last.cosine > 0
    assert all(tensor.entropy is not None and 0 <= tensor.entropy <= 1 for tensor in made.tensors)


def test_the_error_of_the_float_model_is_nothing(tmp_path: Path) -> None:
    graph, photos = chain(tmp_path), Photos(1)
    assert output_noise(graph, photos)(iter([FloatModel(graph).run(photos.images)])) < 1e-12


def test_rows_and_picture_hold_every_unit(made: Profile, tmp_path: Path) -> None:
    rows = report.unit_rows(made)
    assert [row["unit"] for row in rows] == ["c0", "c1", "c2"]
    assert rows[1]["gain"] == pytest.approx(1 - made.units[1].widened_error / made.base_error)
    assert [row["tensor"] for row in report.tensor_rows(made)] == ["a0", "a1", "a2"]
    report.plot(made, tmp_path / "profile.png", error="noise over signal")
    assert (tmp_path / "profile.png").stat().st_size > 10_000
    with pytest.raises(ConfigError, match="cannot be written"):
        report.plot(made, tmp_path / "missing" / "profile.png", error="noise")


@pytest.mark.parametrize(
    ("base", "high"),
    [
        ("float16", DataType.INT16),
        ("int16", DataType.INT16),
        ("u8", DataType.INT16),
        ("a8w8", DataType.INT16),
        ("uint8", DataType.A16W8),
    ],
)
def test_bases_and_types_that_make_no_sense_are_refused(base: str, high: DataType, tmp_path: Path) -> None:
    graph, photos = chain(tmp_path), Photos(1)
    with pytest.raises(ConfigError):
        profile(graph, photos, photos, output_noise(graph, photos), base=base, high=high)


@pytest.mark.parametrize(("base", "wider"), [("uint8", DataType.INT16), ("a8w8", DataType.A16W8)])
def test_units_are_widened_to_the_next_type_of_the_bases_vendor(base: str, wider: DataType, tmp_path: Path) -> None:
    graph, photos = chain(tmp_path), Photos(1)
    assert profile(graph, photos, photos, output_noise(graph, photos), base=base).high is wider
