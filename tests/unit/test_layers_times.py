"""Every layer's time in the same seven columns, from each of the sources."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mpsearch.candidate import Candidate, DataType
from mpsearch.errors import ConfigError
from mpsearch.fed import Fed, Feed, from_model
from mpsearch.layers import hosttimes, times
from mpsearch.layers.opening import read_log, times_on
from mpsearch.layers.times import COLUMNS, LayerTime
from mpsearch.testing.models import save, small_detector
from mpsearch.testing.studies import pictures

DRIVER = """pid: 4021, nid: 1, inference_count: 3, inference_time: 8000, inference_last: 3108, layers: 2
| lyr |    cycle | time_us |  byte_rd |  byte_wr | ot | name
|   0 |    153811 |      202 |   151344 |    151344 | TP | TensorTranspose
|   1 |    181903 |      606 |   152000 |    401408 | NN | ConvReluPool2
"""


@pytest.fixture
def fed(tmp_path: Path) -> Fed:
    path = save(small_detector(), tmp_path / "model.onnx")
    pictures(tmp_path / "photos", 1, seed=1)
    return from_model(path, Feed(str(tmp_path / "photos")), limit=1, cache=tmp_path / "cache")


def test_means_deviations_and_shares_are_those_of_the_samples() -> None:
    rows = times.rows((LayerTime(0, "a", (10.0, 14.0), "us", "NN"), LayerTime(1, "b", (36.0,), "us", "TP")))
    assert [tuple(row) for row in rows] == [COLUMNS, COLUMNS]
    assert [list(row.values()) for row in rows] == [
        [0, 12.0, 2.828, "NN", "a", "us", 0.25],
        [1, 36.0, None, "TP", "b", "us", 0.75],
    ]
    assert times.to_csv((LayerTime(0, "a", (0.0,), "cycles", "x"),)).splitlines()[1] == "0,0.0,,x,a,cycles,0.0"


@pytest.mark.parametrize("target", ["vs680", "rvc4"])
def test_a_simulated_boards_layers_add_up_to_its_latency(fed: Fed, target: str) -> None:
    from mpsearch.board import profile
    from mpsearch.board.cost import estimate

    base = {"vs680": "uint8", "rvc4": "a8w8"}[target]
    unit = fed.graph.compute_units[2].name
    candidate = Candidate(base, overrides=((unit, DataType.INT16 if target == "vs680" else DataType.FLOAT16),))
    found, said = times_on(fed, candidate, target)
    total = estimate(profile.load(target), fed.graph, candidate, fed.graph.assign(candidate)).total_ms
    assert sum(layer.mean for layer in found) == pytest.approx(total * 1e3)
    assert "simulated" in said
    assert "simulated conversion" in {layer.message for layer in found}


def test_the_hosts_kernels_are_timed_run_by_run(fed: Fed) -> None:
    found, _ = times_on(fed, Candidate("uint8"), "host")
    assert {len(layer.samples) for layer in found} == {20}
    assert any(layer.message.startswith("QLinear") for layer in found), "the kernels that really run"
    assert all(layer.mean >= 0 and layer.unit == "us" for layer in found)


def test_a_drivers_table_is_read_back(tmp_path: Path) -> None:
    log = tmp_path / "profile.txt"
    log.write_text(DRIVER)
    found, totals = read_log(log)
    assert [(layer.name, layer.mean, layer.message) for layer in found] == [
        ("TensorTranspose", 202.0, "TP"),
        ("ConvReluPool2", 606.0, "NN"),
    ]
    assert not totals


def test_a_trace_of_onnxruntime_is_read_back(tmp_path: Path) -> None:
    log = tmp_path / "trace.json"
    event = {"cat": "Node", "name": "c_kernel_time", "dur": 7, "args": {"op_name": "Conv"}}
    log.write_text(json.dumps([event, {**event, "dur": 9}, {"cat": "Session", "name": "model_run", "dur": 20}]))
    (layer,), _ = read_log(log)
    assert (layer.name, layer.samples, layer.message) == ("c", (7.0, 9.0), "Conv")
    (last,) = hosttimes.parse(log.read_text(), "trace.json", runs=1)
    assert last.samples == (9.0,)


@pytest.mark.parametrize("text", ["", "hello\n", "[]", '[{"cat": "Node"}]', "{", "Layer Times:\n0: x\n"])
def test_a_file_of_no_known_form_is_named(tmp_path: Path, text: str) -> None:
    log = tmp_path / "what.txt"
    log.write_text(text)
    with pytest.raises(ConfigError, match=r"what\.txt: no profile of layers"):
        read_log(log)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_log(tmp_path / "absent")
