"""A profile from the user's own timings."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from mpsearch.board import measurements, profile
from mpsearch.board.calibrate import Measurement, calibrate, predict
from mpsearch.board.parameters import Profile
from mpsearch.candidate import Candidate, DataType
from mpsearch.cli import calibrate as command
from mpsearch.errors import ConfigError
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.read import read
from mpsearch.record import Measured, Record, Score, Timing
from mpsearch.testing.models import Builder, save, small_detector

CANDIDATES = (Candidate(), Candidate("int16"), Candidate("float16"))


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> list[ModelGraph]:
    folder = tmp_path_factory.mktemp("models")
    b = Builder()
    x = b.conv("input", 3, 64, stride=2)
    for _ in range(4):
        x = b.node("Relu", b.conv(x, 64, 64))
    wide = b.model([x], shape=(1, 3, 256, 256))
    detectors = {"small": small_detector(size=64), "large": small_detector(size=512), "wide": wide}
    return [read(save(model, folder / f"{name}.onnx")) for name, model in detectors.items()]


def timings(board: Profile, graphs: list[ModelGraph], noise: float = 0.0) -> list[Measurement]:
    rng = random.Random(1)
    rows = [Measurement(f"{g.path.stem} {c.base}", g, c, 1.0) for g in graphs for c in CANDIDATES]
    return [replace(row, ms=predict(board, [row])[0] * rng.lognormvariate(0, noise)) for row in rows]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("vs680", {"nn_clock_ghz": 0.6, "dispatch_us": 20.0, "nn_int16_slowdown": 5.0}),
        ("rvc4", {"hmx_gmac_per_s": 5000.0, "dispatch_us": 8.0, "fixed_ms": 0.4}),
    ],
)
def test_a_board_is_found_again_from_its_timings(name: str, change: dict[str, float], graphs: list[ModelGraph]) -> None:
    start = profile.load(name)
    board = start.model_copy(update=change)
    found = calibrate(start, timings(board, graphs, noise=0.01))
    assert found.error < 0.03
    before = max(abs(row.before_ms / row.measured_ms - 1) for row in found.rows)
    assert before > 5 * found.error
    assert set(change) <= set(found.fitted)
    assert all(getattr(found.profile, field) > 0 for field in found.fitted)


def test_what_no_timing_speaks_for_stays_and_is_named(graphs: list[ModelGraph]) -> None:
    start = profile.load("vs680")
    rows = [m for m in timings(start, graphs) if m.candidate.base == "uint8"]
    rows += [replace(rows[0], candidate=Candidate("int8-pc"))]
    found = calibrate(start, rows)
    assert found.silent["shader_gmac_per_s"] == "a float16 candidate"
    assert found.profile.model_dump()["shader_gmac_per_s"] == start.model_dump()["shader_gmac_per_s"]


def test_a_per_layer_profile_is_taken_too(graphs: list[ModelGraph], tmp_path: Path) -> None:
    board = profile.load("vs680").model_copy(update={"nn_clock_ghz": 0.4})
    graph = graphs[2]
    lines = ["unit,ms,candidate", f"output:{graph.outputs[0]},0.01,uint8"]
    for kind in ("uint8", "int16"):
        for unit in graph.compute_units:
            ms = predict(board, [Measurement("", graph, Candidate(kind), 1.0, unit.name)])[0]
            lines.append(f"{unit.name},{ms},{kind}")
    file = tmp_path / "layers.csv"
    file.write_text("\n".join(lines))
    found = calibrate(profile.load("vs680"), measurements.read(file, model=graph))
    assert found.error < 0.02
    assert found.skipped == (f"output:{graph.outputs[0]}",)
    with pytest.raises(ConfigError, match="of which network"):
        measurements.read(file)


def test_records_of_a_real_board_are_taken_and_a_models_own_are_not(graphs: list[ModelGraph], tmp_path: Path) -> None:
    score, graph = Score(1.0, 1.0, 1.0, 3, 0, 0), graphs[0]
    for source in ("board", "simulated"):
        rows = [Record(c, Measured(score, Timing((2.0, 1.0, 3.0), source, "mine"))).to_json() for c in CANDIDATES]
        (tmp_path / f"{source}.json").write_text(json.dumps(rows))
        (tmp_path / f"{source}.jsonl").write_text("\n".join(json.dumps({"record": row}) for row in rows))
    for suffix in ("json", "jsonl"):
        found = measurements.read(tmp_path / f"board.{suffix}", model=graph)
        assert [(m.candidate, m.ms) for m in found] == [(c, 2.0) for c in CANDIDATES]
        with pytest.raises(ConfigError, match="own predictions"):
            measurements.read(tmp_path / f"simulated.{suffix}", model=graph)


def test_few_or_equal_or_impossible_timings_are_refused_with_what_is_missing(graphs: list[ModelGraph]) -> None:
    start = profile.load("vs680")
    rows = timings(start, graphs)
    with pytest.raises(ConfigError, match="1 different measurement") as caught:
        calibrate(start, [rows[0]] * 9)
    assert "the same network in int16" in str(caught.value)
    with pytest.raises(ConfigError, match="they tell one number"):
        calibrate(start, [replace(row, ms=5.0) for row in rows])
    with pytest.raises(ConfigError, match="not milliseconds, or not this board"):
        calibrate(start, [replace(row, ms=row.ms / 1000) for row in rows])
    with pytest.raises(ConfigError, match="no time in milliseconds"):
        calibrate(start, [replace(row, ms=-1.0) for row in rows])


def test_timings_that_contradict_each_other_are_refused(graphs: list[ModelGraph]) -> None:
    start = profile.load("vs680")
    rows = [m for m in timings(start, graphs) if m.candidate.base != "float16"]
    random.Random(0).shuffle(shuffled := [row.ms for row in rows])
    swapped = [replace(row, ms=ms) for row, ms in zip(rows, shuffled[::-1], strict=True)]
    with pytest.raises(ConfigError, match="do not follow from a board like vs680"):
        calibrate(start, swapped)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "columns a, b"),
        ("", "columns none"),
        ("model,ms\nsmall.onnx,fast\n", r"line 2: ms is 'fast'"),
        ("model,ms,candidate\nsmall.onnx,1,uint9\n", "candidate 'uint9' is neither"),
    ],
)
def test_a_malformed_table_is_refused_by_line(
    text: str, message: str, graphs: list[ModelGraph], tmp_path: Path
) -> None:
    file = tmp_path / "table.csv"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        measurements.read(file, graph_of=lambda path: graphs[0])


def test_a_unit_that_is_not_there_is_refused(graphs: list[ModelGraph], tmp_path: Path) -> None:
    (tmp_path / "layers.csv").write_text("unit,ms\nConv_99,1\n")
    with pytest.raises(ConfigError, match="no unit 'Conv_99'"):
        measurements.read(tmp_path / "layers.csv", model=graphs[0])


def test_the_command_writes_a_profile_that_loads(graphs: list[ModelGraph], tmp_path: Path) -> None:
    mixed = Candidate(overrides=((graphs[0].compute_units[0].name, DataType.INT16),))
    (tmp_path / "mixed.json").write_text(json.dumps(mixed.to_json()))
    board = profile.load("vs640").model_copy(update={"fixed_ms": 3.0, "nn_clock_ghz": 0.5})
    rows = [(m.graph.path, m.ms, m.candidate.base) for m in timings(board, graphs)]
    rows.append((graphs[0].path, predict(board, [Measurement("", graphs[0], mixed, 1.0)])[0], "mixed.json"))
    table = tmp_path / "table.csv"
    table.write_text("model,ms,candidate\n" + "".join(f"{path},{ms},{c}\n" for path, ms, c in rows))
    app = typer.Typer()
    command.register(app)
    out = tmp_path / "mine.yaml"
    done = CliRunner().invoke(app, ["vs640", str(table), "--out", str(out), "--format", "json"])
    assert done.exit_code == 0, done.output
    assert len(json.loads(done.stdout)) == len(rows)
    found = profile.load(out)
    assert found.name == "vs640-calibrated"
    assert found.fixed_ms == pytest.approx(3.0, rel=0.1)
    assert "of rows left out of the fit" in out.read_text()
