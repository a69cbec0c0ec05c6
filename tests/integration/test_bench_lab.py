"""Layers and bench on boards of both vendors, through the lab."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mpsearch.bench import files
from mpsearch.bench.run import Bench, baseline_row
from mpsearch.board.measure import Plan
from mpsearch.candidate import Candidate
from mpsearch.errors import ConfigError
from mpsearch.fed import Fed, Feed, from_model
from mpsearch.layers.compare import compare
from mpsearch.layers.info import KEYS, info, outputs_of
from mpsearch.layers.opening import open_source, times_on
from mpsearch.testing.lab.bench import Lab
from mpsearch.testing.lab.snpe.bench import SnpeLab
from mpsearch.testing.models import save, small_detector
from mpsearch.testing.studies import pictures

PLAN = Plan(limit_s=0.2)


@pytest.fixture(scope="module")
def fed(tmp_path_factory: pytest.TempPathFactory) -> Fed:
    folder = tmp_path_factory.mktemp("fed")
    pictures(folder / "photos", 2, seed=1)
    path = save(small_detector(), folder / "model.onnx")
    return from_model(path, Feed(str(folder / "photos")), limit=2, cache=folder / "cache")


@pytest.fixture(scope="module")
def synap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with Lab(tmp_path_factory.mktemp("synap")) as lab:
        yield lab.board_file("local")


@pytest.fixture(scope="module")
def snpe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with SnpeLab(tmp_path_factory.mktemp("snpe")) as lab:
        yield lab.board_file("local")


def test_a_synap_board_gives_a_row_layer_times_and_info(fed: Fed, synap: Path, tmp_path: Path) -> None:
    bench = Bench(fed, str(synap), PLAN)
    row, artifact = bench.candidate_row(Candidate("uint8"), "uint8")
    bench.close()
    assert artifact is not None, row.note
    assert row.source == "board"
    assert row.error is not None
    assert row.error > 0
    assert row.size_bytes
    folder = files.write(tmp_path, row, fed, artifact, str(synap), say=lambda text: None)
    stats = (folder / "layer_stats.csv").read_text().splitlines()
    assert stats[0].startswith("layer_id,time_mean,time_std,message,layer_name,unit")
    about = outputs_of(fed.graph, artifact, None)
    assert len(about) == 2
    assert tuple(info(fed.graph, "m", about)) == KEYS
    assert all(len(values["shape"]) >= 4 and values["scale"] > 0 for values in about.values())


def test_a_synap_boards_outputs_are_compared_as_layers(fed: Fed, synap: Path) -> None:
    source, count = open_source(fed, Candidate("uint8"), str(synap))
    found = compare(fed.graph, list(fed.images())[:count], source)
    assert {row.layer.tensor for row in found.rows} == set(fed.graph.outputs)
    assert all(row.similarity and 0.9 < row.similarity.cos_sim < 1 for row in found.rows)


def test_a_model_that_is_quantized_already_is_timed_on_the_board(fed: Fed, synap: Path, snpe: Path) -> None:
    model = fed.graph.path
    row = baseline_row(model, synap, cache=fed.cache, say=lambda text: None)
    assert (row.variant, row.source) == ("as it is", "board")
    assert row.latency_ms
    with pytest.raises(ConfigError, match="only a SyNAP board"):
        baseline_row(model, snpe, cache=fed.cache, say=lambda text: None)


def test_every_layer_of_an_snpe_board_is_what_the_simulator_says(fed: Fed, snpe: Path) -> None:
    similar = {}
    for against in ("simulator", str(snpe)):
        source, count = open_source(fed, Candidate("a8w8"), against)
        found = compare(fed.graph, list(fed.images())[:count], source)
        assert not found.problems
        similar[against] = {row.layer.tensor: row.similarity for row in found.rows if row.similarity}
    simulated, board = similar.values()
    assert set(board) >= set(simulated) - set(fed.graph.outputs)
    for tensor in simulated.keys() & board.keys():
        assert board[tensor].cos_sim == pytest.approx(simulated[tensor].cos_sim, abs=1e-3), tensor


def test_an_snpe_board_gives_a_row_layer_times_and_info(fed: Fed, snpe: Path) -> None:
    bench = Bench(fed, str(snpe), PLAN)
    row, artifact = bench.candidate_row(Candidate("a8w8"), "a8w8")
    bench.close()
    assert artifact is not None, row.note
    assert bench.usual_base == "a8w8"
    assert row.size_bytes
    for values in outputs_of(fed.graph, artifact, None).values():
        assert values["type"] == "uFxp_8"
        assert values["scale"] * values["offset"] == pytest.approx(values["min"], abs=1e-5)
    found, said = times_on(fed, Candidate("a8w8"), str(snpe))
    assert "snpe-diagview" in said
    assert len(found) > 5
    assert {layer.message for layer in found} == {"FORWARD_PROPAGATE_LAYER"}
