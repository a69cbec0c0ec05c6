"""The vendor's engine itself: ``make acuity-test`` installs it and runs this; elsewhere it is skipped, and says so."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

from mpsearch.candidate import Candidate, DataType
from mpsearch.errors import CandidateError
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.onnxio import FloatModel
from mpsearch.graph.read import read
from mpsearch.images import PhotoSet, Preprocess, find
from mpsearch.testing.models import save, small_detector
from mpsearch.toolchain.acuity import environment
from mpsearch.toolchain.acuity.engine import Engine
from mpsearch.toolchain.acuity.toolchain import AcuityExecutor, AcuityToolchain
from mpsearch.toolchain.synap.metafile import MetafileIO

pytestmark = pytest.mark.skipif(
    not os.environ.get("MPSEARCH_ACUITY_TEST") or environment.find().state != "installed",
    reason="needs the vendor's engine, 2 GB: make acuity-test",
)
HEAD = "Conv_9"
MIXED = Candidate("uint8", overrides=((HEAD, DataType.INT16), ("output:t18", DataType.INT16)))
IO = MetafileIO(means=(0, 0, 0), scale=255)


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> ModelGraph:
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    save(small_detector(), path)
    return read(path)


@pytest.fixture(scope="module")
def photos() -> PhotoSet:
    rng = np.random.default_rng(7)
    images = [rng.integers(0, 256, (32, 32, 3), dtype=np.uint8) for _ in range(3)]
    return PhotoSet.from_arrays(["a", "b", "c"], images, Preprocess(32, 32))


@pytest.fixture(scope="module")
def toolchain(
    graph: ModelGraph, photos: PhotoSet, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AcuityToolchain]:
    engine = Engine(environment.find(), tmp_path_factory.mktemp("acuity"), timeout_s=600)
    yield AcuityToolchain(graph, photos, photos, IO, "vs680", engine)
    engine.close()


def outputs_of(toolchain: AcuityToolchain, candidate: Candidate) -> dict[str, np.ndarray]:
    batches = list(AcuityExecutor(toolchain.graph).batches(toolchain.build(candidate)))
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def sqnr_db(values: np.ndarray, reference: np.ndarray) -> float:
    return float(10 * np.log10((reference**2).sum() / max(((values - reference) ** 2).sum(), 1e-30)))


def test_the_engine_quantizes_runs_and_compiles_what_is_asked(toolchain: AcuityToolchain, photos: PhotoSet) -> None:
    reference = FloatModel(toolchain.graph).run(next(iter(photos.batches(3))))
    noise = {}
    for candidate in (Candidate("uint8"), MIXED, Candidate("int16")):
        built = toolchain.build(candidate)
        assert built.result.compiled
        assert built.result.cycles["NN:CONVOLUTION"] > 0
        assert built.types[HEAD] == candidate.type_of(HEAD)
        found = outputs_of(toolchain, candidate)
        noise[candidate.digest] = [sqnr_db(found[name], reference[name]) for name in toolchain.graph.outputs]
    assert min(noise[Candidate("uint8").digest]) > 15
    assert min(noise[Candidate("int16").digest]) > min(noise[Candidate("uint8").digest]) + 15


def test_the_same_candidate_gives_the_same_bits_in_another_worker_after_other_jobs(
    toolchain: AcuityToolchain, tmp_path: Path
) -> None:
    first = outputs_of(toolchain, MIXED)
    engine = Engine(environment.find(), tmp_path, timeout_s=600)
    try:
        other = AcuityToolchain(toolchain.graph, toolchain.calibration, toolchain.evaluation, IO, "vs680", engine)
        other.compiles = False
        other.build(Candidate("int8-dfp"))
        second = outputs_of(other, MIXED)
    finally:
        engine.close()
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name])


def test_the_compilers_refusal_is_the_one_that_the_rules_know(toolchain: AcuityToolchain) -> None:
    plain = toolchain.render(Candidate("int8-pc")).text
    mixed = plain.replace("data_type: int8", f"data_type:\n    '*': int8\n    {HEAD}: int16")
    found = toolchain.engine.evaluate(
        toolchain._model(), mixed, toolchain._photos(), decided_by="refusal",
        names=toolchain.layers(Candidate("int8-pc")).names, target="VS680",
    )  # fmt: skip
    assert found.compiled is False
    assert "DFP INT16, SYMM PC INT8" in found.refusal


def test_an_unknown_layer_is_refused_as_the_toolkit_does(toolchain: AcuityToolchain) -> None:
    text = toolchain.render(Candidate("uint8")).text.replace("data_type: uint8", "data_type: {nothere: int16}")
    with pytest.raises(CandidateError, match="Layer name 'nothere' not in"):
        toolchain.engine.evaluate(
            toolchain._model(), text, toolchain._photos(), decided_by="x", names={}, target="VS680"
        )  # fmt: skip


def test_kl_divergence_leaves_the_entropies(toolchain: AcuityToolchain) -> None:
    built = toolchain.build(Candidate.from_json({"base": "uint8", "algorithm": "kl_divergence"}))
    assert (built.result.folder / "quantization_entropy.txt").read_text().startswith("@")


def test_the_recorded_results_of_a_real_network_are_met(shared: Path, tmp_path: Path) -> None:
    from mpsearch.scoring import decoders
    from mpsearch.scoring.scorer import TaskScorer

    graph = read(shared / "data/models/yolov5n-0.5-face_480x640.onnx")
    calibration = PhotoSet(find(shared / "data/images/calib"), Preprocess(480, 640), limit=12)
    evaluation = PhotoSet(find(shared / "data/images/eval"), Preprocess(480, 640), limit=16)
    lines = (shared / "reference/acuity_yolov5n05face.jsonl").read_text().splitlines()
    recorded = {row["name"]: row for row in map(json.loads, lines)}
    scorer = TaskScorer(graph, decoders.create("yolov5-face", graph, {}), evaluation)
    scorer.prepare()
    engine = Engine(environment.find(), tmp_path, timeout_s=900)
    toolchain = AcuityToolchain(graph, calibration, evaluation, IO, "vs680", engine)
    heads = [graph.producer[output] for output in graph.outputs]
    units = [graph.unit_of[head] for head in heads] + [f"output:{output}" for output in graph.outputs]
    try:
        for name, candidate in {
            "u8": Candidate("uint8"),
            "u8-heads16": Candidate("uint8", overrides=tuple((unit, DataType.INT16) for unit in units)),
        }.items():
            built = toolchain.build(candidate)
            row = recorded[name]
            assert built.result.requantized == row["requantized_layers"]
            score = scorer.score(AcuityExecutor(graph).batches(built))
            assert score.cell_landmark_mse_px2 == pytest.approx(row["cell_landmark_mse_px2"], rel=0.1)
            ratio = sum(built.result.cycles.values()) / sum(row["cycles"].values())
            assert ratio == pytest.approx(1, abs=0.1)
        table = yaml.safe_load(
            (toolchain.build(Candidate("uint8")).result.folder / "quantization_info.yaml").read_text()
        )
    finally:
        engine.close()
    wanted = yaml.safe_load((shared / "reference/acuity_u8.quantize.yaml").read_text())
    outputs = [key for key in wanted["quantize_parameters"] if key.endswith(":out0")]
    mine, theirs = ({k: v for k, v in t["quantize_parameters"].items() if k in outputs} for t in (table, wanted))
    equal = {key for key in outputs if np.allclose(mine[key]["scale"], theirs[key]["scale"], rtol=1e-4)}
    # Which range the layers of a channel shuffle or around a Resize share depends on the order of Python's sets. A
    # layer whose range is its own has nothing to depend on.
    assert alone(mine) == alone(theirs)
    assert len(alone(theirs)) > 100
    assert alone(theirs) <= equal
    assert len(equal) >= 0.9 * len(outputs)


def alone(entries: dict[str, dict[str, float]]) -> set[str]:
    """Layers whose range no other layer has."""
    ranges = {key: (round(entry["min_value"], 5), round(entry["max_value"], 5)) for key, entry in entries.items()}
    counts = Counter(ranges.values())
    return {key for key, found in ranges.items() if counts[found] == 1}
