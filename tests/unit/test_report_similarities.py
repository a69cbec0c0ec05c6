"""The page of similarities: everything is in it, nothing is fetched, and what was widened is marked."""

from __future__ import annotations

import json
import re
from pathlib import Path

from mpsearch.candidate import Candidate, DataType
from mpsearch.graph.read import read
from mpsearch.layers.network import layers_of
from mpsearch.layers.tables import Entry, Table
from mpsearch.report.similarities import page, widened_by
from mpsearch.testing.models import save, small_detector


def entry(layer: str, cosine: float | None = 0.9, unit: str = "") -> Entry:
    return Entry(layer, {"CosSim": cosine, "MSE": 0.1, "SAR": 1.0, "PearsonR": None, "DKL": 0.0}, "Conv", unit, "", 0.5)


def data_of(text: str) -> dict[str, object]:
    match = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    assert match is not None
    found: dict[str, object] = json.loads(match[1])
    return found


def test_the_page_holds_every_run_and_layer_and_needs_no_network() -> None:
    text = page([Table("one", (entry("a"), entry("b", None))), Table("two", (entry("a"),))])
    models = data_of(text)["models"]
    assert [(m["name"], len(m["layers"])) for m in models] == [("one", 2), ("two", 1)]  # type: ignore[index,union-attr]
    assert models[0]["layers"][1]["values"] == [None, 0.1, 1.0, None, 0.0]  # type: ignore[index]
    assert not re.search(r"(?:src|href)\s*=|https?://|@import|url\(", text)
    assert "@DATA@" not in text


def test_names_cannot_break_out_of_the_page() -> None:
    evil = '</script><script>alert("x")</script><!-- &'
    text = page([Table(evil, (entry(evil),))])
    assert text.count("</script>") == page([Table("a", (entry("b"),))]).count("</script>")
    assert data_of(text)["models"][0]["layers"][0]["name"] == evil  # type: ignore[index]


def test_runs_of_one_name_stay_apart() -> None:
    text = page([Table("a", (entry("x"),)), Table("a", (entry("x"),))])
    assert [m["name"] for m in data_of(text)["models"]] == ["a (1)", "a (2)"]  # type: ignore[union-attr,index]


def test_layers_of_widened_units_are_marked_and_narrowed_ones_are_not(tmp_path: Path) -> None:
    graph = read(save(small_detector(), tmp_path / "model.onnx"))
    first, second = graph.compute_units[:2]
    candidate = Candidate("uint8", overrides=((first.name, DataType.INT16), (second.name, DataType.INT8)))
    wide = widened_by(candidate, graph)
    layers = [layer for layer in layers_of(graph) if layer.unit in (first.name, second.name)]
    bare = Table("csv", tuple(entry(layer.name) for layer in layers))
    full = Table("json", tuple(entry(layer.name, unit=layer.unit) for layer in layers))
    for marks, table in ((wide, bare), (widened_by(candidate, None), full)):
        found = data_of(page([table], widened=marks, marked="best"))
        assert found["marked"] == "best"
        shown = {item["name"]: item["mark"] for item in found["models"][0]["layers"]}  # type: ignore[index]
        assert shown == {layer.name: "int16" if layer.unit == first.name else "" for layer in layers}


def test_a_uniform_candidate_marks_nothing() -> None:
    assert widened_by(Candidate("uint8"), None) == {}
    assert data_of(page([Table("a", (entry("x"),))], widened={}, marked="best"))["marked"] == ""
