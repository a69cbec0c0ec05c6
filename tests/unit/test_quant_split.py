"""A Split whose parts have ranges of their own: each part is coded by its own quantizer."""

from __future__ import annotations

import numpy as np
import pytest

from mpsearch.candidate import Candidate, DataType
from mpsearch.graph.read import read
from mpsearch.images import PhotoSet, Preprocess
from mpsearch.quant.simulator import Simulator
from mpsearch.scoring.outputs import sqnr_db
from mpsearch.scoring.reference import float_outputs
from mpsearch.testing.models import Builder, save


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Simulator:
    """As ShuffleNet has it: of the two halves the quiet one goes to a Concat, the loud one through a convolution."""
    b = Builder(seed=3)
    both = b.node("Mul", b.conv("input", 3, 8), b.constant(np.float32([0.02] * 4 + [1] * 4).reshape(1, 8, 1, 1)))
    quiet = b.node("Split", both, b.constant(np.array([4, 4], np.int64)), outputs=2, axis=1)
    joined = b.node("Concat", quiet, b.node("Sigmoid", b.conv(f"{quiet}_1", 4, 4)), axis=1)
    last = b.conv(joined, 8, 4, kernel=1, name="last")
    graph = read(save(b.model([last], shape=(1, 3, 16, 16)), tmp_path_factory.mktemp("split") / "split.onnx"))
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (16, 16, 3), np.uint8) for _ in range(4)]
    photos = PhotoSet.from_arrays([f"{i}.png" for i in range(4)], images, Preprocess(16, 16))
    return Simulator(graph, photos, photos, threads=1)


@pytest.mark.parametrize("overrides", [(), (("last", DataType.INT16),)], ids=["uniform", "mixed"])
def test_the_loud_part_of_a_split_is_not_cut_to_the_range_of_the_quiet_one(
    simulator: Simulator, overrides: tuple[tuple[str, DataType], ...]
) -> None:
    graph = simulator.graph
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (2, 16, 16, 3), np.uint8)
    photos = PhotoSet.from_arrays(["a.png", "b.png"], list(images), Preprocess(16, 16))
    wanted = float_outputs(graph, photos, threads=1)
    found = simulator.outputs(Candidate("uint8", overrides=overrides), next(photos.batches(2)))
    for name, values in wanted.items():
        noise = float(((found[name] - values) ** 2).sum())
        assert sqnr_db(float((values**2).sum()), noise) > 25, name
