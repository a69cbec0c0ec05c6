"""The table over models and runs."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest

from mpsearch.bench.table import COLUMNS, Row, measured, merged, read, scored, to_csv, to_json
from mpsearch.errors import ConfigError
from mpsearch.record import Score, Timing

ROW = Row("m", "uint8", "host", "abc", latency_ms=4.0, source="host", size_bytes=2_000_000, conditions={"threads": "1"})


def test_frames_and_megabytes_follow_from_the_row() -> None:
    shown = ROW.shown()
    assert (shown["fps"], shown["size_mb"]) == (250.0, 2.0)
    assert tuple(shown)[: len(COLUMNS)] == COLUMNS
    assert replace(ROW, latency_ms=None).fps is None


def test_a_row_survives_the_file(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(to_json([ROW]))
    assert read(path) == (ROW,)
    assert read(tmp_path / "absent.json") == ()


def test_the_csv_has_empty_cells_where_nothing_is_known() -> None:
    (line,) = csv.DictReader(io.StringIO(to_csv([ROW])))
    assert (line["model"], line["latency_ms"], line["error"]) == ("m", "4.0", "")


def test_a_later_run_replaces_its_own_row_only() -> None:
    other = replace(ROW, variant="int8-pc")
    slower = replace(ROW, latency_ms=5.0)
    assert merged((ROW, other), (slower, replace(ROW, digest="new"))) == (slower, other, replace(ROW, digest="new"))


@pytest.mark.parametrize("text", ["{", "3", '[{"model": "m"}]', '["x"]'])
def test_a_file_that_is_no_table_is_refused_and_kept(tmp_path: Path, text: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"results\.json: no table"):
        read(path)
    assert path.read_text() == text


def test_what_was_measured_and_scored_becomes_fields() -> None:
    timing = Timing((1.0, 2.0, 9.0), "host", "host", conditions={"a": "b"})
    assert measured(timing) == {"latency_ms": 2.0, "p95_ms": 9.0, "source": "host", "conditions": {"a": "b"}}
    assert measured(Timing((1.0,), "simulated", "vs680"))["p95_ms"] is None
    outputs = {"x": {"sqnr_db": 20.0}, "y": {"sqnr_db": 9.0}}
    found = scored(Score(1.5, None, 1.5, faces=7, missed=1, extra=0, outputs=outputs), 3)
    assert found["sqnr_db"] == 9.0, "of the worst output"
    assert (found["error"], found["error_is"], found["missed"], found["counted"]) == (1.5, "landmark_mse_px2", 1, 7)
    assert "missed" not in scored(Score(None, None, 1.0, faces=0, missed=0, extra=0, kind="tensors"), 3)
