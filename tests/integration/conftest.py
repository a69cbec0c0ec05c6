"""One lab and one small network for all tests through tools and devices."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from lab_world import World
from PIL import Image

from mpsearch.graph.read import read
from mpsearch.images import PhotoSet, Preprocess, find
from mpsearch.testing.lab.bench import Lab
from mpsearch.testing.models import save, small_detector


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("lab")) as started:
        yield started


@pytest.fixture(scope="session")
def world(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("world")
    rng = np.random.default_rng(0)
    for index in range(3):
        Image.fromarray(rng.integers(0, 256, (32, 40, 3), dtype=np.uint8)).save(folder / f"{index}.png")
    graph = read(save(small_detector(), folder / "model.onnx"))
    return World(lab, graph, PhotoSet(find(folder), Preprocess(32, 32)), folder / "cache")


@pytest.fixture
def faults(lab: Lab) -> Iterator[None]:
    """For tests that ask for faults: none is left behind."""
    yield
    lab.faults.set()
    lab.has_temperature(None)
