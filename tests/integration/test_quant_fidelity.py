"""The simulator against results and tables of the vendor's engine, on the real network and photographs."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mpsearch.graph.model import ModelGraph
from mpsearch.graph.read import read
from mpsearch.images import PhotoSet, Preprocess, find
from mpsearch.quant.simulator import Simulator
from mpsearch.scoring import decoders
from mpsearch.scoring.scorer import TaskScorer


@pytest.fixture(scope="module")
def fidelity(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("fidelity", root / "benchmarks" / "fidelity.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def rows(shared: Path) -> dict[str, dict[str, Any]]:
    lines = (shared / "reference" / "acuity_yolov5n05face.jsonl").read_text().splitlines()
    return {row["name"]: row for row in map(json.loads, lines)}


@pytest.fixture(scope="module")
def graph(shared: Path, fidelity: ModuleType) -> ModelGraph:
    return read(shared / fidelity.MODEL)


@pytest.fixture(scope="module")
def simulator(shared: Path, graph: ModelGraph) -> Simulator:
    folder, preprocess = shared / "data" / "images", Preprocess(480, 640)
    return Simulator(
        graph,
        PhotoSet(find(folder / "calib"), preprocess, limit=12),
        PhotoSet(find(folder / "eval"), preprocess, limit=16),
        threads=2,
    )


@pytest.mark.parametrize("name", ["u8", "i16", "i8pc", "u8-tail13-i16"])
def test_the_table_is_the_engines(
    name: str, shared: Path, fidelity: ModuleType, rows: dict[str, Any], graph: ModelGraph, simulator: Simulator
) -> None:
    tensors = {tensor.lstrip("/"): tensor for tensor in graph.tensors}
    entries = simulator.table(fidelity.artifact_of(rows[name], graph))
    seen, equal = fidelity.compare_table(shared / "reference" / fidelity.TABLES[name], entries, tensors)
    assert seen > 400
    assert equal >= 0.99 * seen


def test_cell_errors_are_the_engines(
    shared: Path, fidelity: ModuleType, rows: dict[str, Any], graph: ModelGraph, simulator: Simulator
) -> None:
    photos = PhotoSet(find(shared / "data" / "images" / "eval"), Preprocess(480, 640), limit=16)
    scorer = TaskScorer(graph, decoders.create("yolov5-face", graph), photos)
    # Sums of fixed-point numbers are exact in float32, so nothing is left to chance there.
    for name, tolerance in {"i8dfp": 1e-4, "u8": 0.05, "u8-tail13-i16": 0.2}.items():
        score = scorer.score(simulator.batches(fidelity.artifact_of(rows[name], graph)))
        assert score.cell_landmark_mse_px2 == pytest.approx(rows[name]["cell_landmark_mse_px2"], rel=tolerance)


def test_weight_entropies_are_the_engines(
    shared: Path, fidelity: ModuleType, graph: ModelGraph, simulator: Simulator
) -> None:
    tensors = {tensor.lstrip("/"): tensor for tensor in graph.tensors}
    rank, largest = fidelity.compare_entropy(shared / "reference" / fidelity.ENTROPIES[0], simulator, tensors)
    assert rank > 0.999
    assert largest < 0.005
