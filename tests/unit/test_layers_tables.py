"""Tables of layers in files: written, read back, and the ones that are wrong."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from mpsearch.errors import DataError
from mpsearch.layers.compare import Comparison, Row
from mpsearch.layers.network import Layer
from mpsearch.layers.similarity import COLUMNS, Similarity
from mpsearch.layers.tables import read, to_csv, to_json

HEAD = ",".join(COLUMNS)


def comparison() -> Comparison:
    def layer(name: str, position: float) -> Layer:
        return Layer(name, f"/{name}", name, "Conv", True, "unit", (1, 2), position, "SiLU")

    rows = (
        Row(layer("a_Conv", 0.0), Similarity(0.9, 0.1, 1.0, None, 1e-5), "a.raw", 1),
        Row(layer("b_Conv", 0.5), None, "b.raw", 0),
    )
    return Comparison("dump", 1, rows, (layer("c_Conv", 1.0),), ("x",), ("b_Conv: NaN",), ())


def test_the_csv_has_exactly_the_six_columns_and_an_empty_row_for_a_layer_without_numbers() -> None:
    assert to_csv(comparison()) == f"{HEAD}\na_Conv,0.9,0.1,1.0,,1e-05\nb_Conv,,,,,\n"


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(to_csv(comparison()))
    (tmp_path / "t.json").write_text(json.dumps(to_json(comparison(), "m.onnx", "uint8")))
    plain, full = read(tmp_path / "t.csv"), read(tmp_path / "t.json")
    assert [entry.values for entry in plain.entries] == [entry.values for entry in full.entries]
    assert [entry.op_type for entry in plain.entries] == ["Conv", "Conv"], "from the names"
    assert [(e.unit, e.after, e.position) for e in full.entries] == [("unit", "SiLU", 0.0), ("unit", "SiLU", 0.5)]
    assert [e.position for e in plain.entries] == [0.0, 1.0]
    assert plain.notes == ("t.csv: 1 of 2 layers have no numbers",)


def test_the_published_table_is_read(shared: Path) -> None:
    path = shared / "reference" / "snpe_yolov6n_layer_similarity.csv"
    table = read(path)
    with path.open() as file:
        assert len(table.entries) == len(list(csv.DictReader(file))) == 134
    worst = min(table.entries, key=lambda entry: entry.values["CosSim"] or 1.0)
    assert (worst.layer, worst.op_type) == ("detect_reg_convs_0_conv_Conv", "Conv")
    assert worst.values["CosSim"] == pytest.approx(0.7797, abs=1e-4)
    assert {entry.op_type for entry in table.entries} >= {"Conv", "Relu", "MaxPool", "ConvTranspose", "Sigmoid"}


def test_layers_of_one_name_are_kept_and_told(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"{HEAD}\na,1,0,1,1,0\na,0.5,0,1,1,0\n")
    table = read(tmp_path / "t.csv")
    assert [entry.values["CosSim"] for entry in table.entries] == [1.0, 0.5]
    assert table.notes == ("t.csv: 1 name(s) stand for several layers: a",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no column Layer"),
        ("Layer,CosSim\na,1\n", "no column MSE, SAR, PearsonR, DKL; it has Layer, CosSim"),
        (f"{HEAD}\n", "no layer in it"),
        (f"{HEAD}\na,1,0,1,1,0\nb,x,0,1,1,0\n", "line 3: b: CosSim: 'x' is no number"),
        (f"{HEAD}\n,1,0,1,1,0\n", "line 2: no layer's name"),
    ],
)
def test_a_csv_that_is_none_is_refused_by_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError) as error:
        read(tmp_path / "t.csv")
    assert "t.csv" in str(error.value)
    assert said in str(error.value)


@pytest.mark.parametrize("text", ["{", "[]", '{"layers": 3}', '{"format": "mpsearch-layers-1", "layers": [3]}'])
def test_a_json_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(DataError, match=r"t\.json: not"):
        read(tmp_path / "t.json")
    with pytest.raises(DataError, match="cannot be read"):
        read(tmp_path / "absent.csv")


def test_a_table_may_begin_with_a_mark_of_its_encoding(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("\ufeff" + f"{HEAD}\na,1,0,1,nan,0\n")
    (entry,) = read(tmp_path / "t.csv").entries
    assert entry.values["PearsonR"] is None
