"""Every layer of a quantized model against the float model, from each source, with everything that can be wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnxruntime import quantization

from mpsearch.candidate import Candidate, DataType
from mpsearch.errors import ConfigError, DataError
from mpsearch.fed import Fed, Feed, from_model
from mpsearch.graph.onnxio import FloatModel
from mpsearch.layers.compare import Comparison, compare
from mpsearch.layers.dumps import Dumps
from mpsearch.layers.network import layers_of
from mpsearch.layers.opening import open_source
from mpsearch.layers.sources import Found
from mpsearch.testing.models import save, small_detector
from mpsearch.testing.studies import pictures

Edit = Callable[[str, np.ndarray], np.ndarray | None]


@pytest.fixture
def fed(tmp_path: Path) -> Fed:
    path = save(small_detector(), tmp_path / "model.onnx")
    pictures(tmp_path / "photos", 2, seed=1)
    return from_model(path, Feed(str(tmp_path / "photos")), limit=2, cache=tmp_path / "cache")


def outputs(fed: Fed, index: int = 0) -> dict[str, np.ndarray]:
    """The float model's own layers for one photograph."""
    layers = [layer.tensor for layer in layers_of(fed.graph)]
    return FloatModel(fed.graph, tensors=layers).run(list(fed.images())[index][None])


def dump(folder: Path, layers: Mapping[str, np.ndarray], *, nhwc: bool = False) -> Path:
    """As snpe-net-run --debug leaves them."""
    for name, values in layers.items():
        place = folder / f"{name.lstrip('/')}.raw"
        place.parent.mkdir(parents=True, exist_ok=True)
        last = np.moveaxis(values, 1, -1) if nhwc and values.ndim == 4 else values
        place.write_bytes(np.ascontiguousarray(last, "<f4").tobytes())
    return folder


def run(fed: Fed, folder: Path, count: int = 1, **options: str) -> Comparison:
    return compare(fed.graph, list(fed.images())[:count], Dumps(folder, **options))  # type: ignore[arg-type]


def test_the_simulator_in_float_is_exact_and_in_8_bits_is_not(fed: Fed) -> None:
    found = {}
    for base in ("float16", "uint8"):
        source, count = open_source(fed, Candidate(base), "simulator")
        found[base] = compare(fed.graph, list(fed.images())[:count], source)
    assert all(row.similarity.cos_sim > 0.999 for row in found["float16"].rows if row.similarity)
    errors = [row.similarity.mse for row in found["uint8"].rows if row.similarity]
    assert min(errors) > 0
    assert found["uint8"].photographs == 2
    inside = {layer.op_type for layer in found["uint8"].model_only}
    assert "Conv" in inside, "a convolution in front of its activation is inside a unit"
    assert not found["uint8"].source_only
    assert not found["uint8"].problems


def test_widening_a_unit_brings_its_layer_nearer(fed: Fed) -> None:
    unit = fed.graph.compute_units[0]
    wide = Candidate("uint8", overrides=((unit.name, DataType.INT16),))
    errors = []
    for candidate in (Candidate("uint8"), wide):
        source, _ = open_source(fed, candidate, "simulator")
        rows = compare(fed.graph, fed.images(), source).rows
        errors.append(next(r.similarity.mse for r in rows if r.layer.tensor in unit.outputs and r.similarity))
    assert errors[1] < errors[0]


def test_the_hosts_quantized_model_shows_every_layer(fed: Fed) -> None:
    source, _ = open_source(fed, Candidate("uint8"), "host")
    found = compare(fed.graph, fed.images(), source)
    assert len(found.rows) >= len(fed.graph.nodes) - 3
    assert 0.9 < min(row.similarity.cos_sim for row in found.rows if row.similarity) < 1


def test_a_model_that_onnxruntime_quantized_is_joined_by_its_quantizers(fed: Fed, tmp_path: Path) -> None:
    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left = [{"input": image[None]} for image in fed.images()]

        def get_next(self) -> dict[str, np.ndarray] | None:
            return self._left.pop() if self._left else None

    target = tmp_path / "quantized.onnx"
    quantization.quantize_static(str(fed.graph.path), str(target), Reader())
    source, _ = open_source(fed, Candidate("uint8"), str(target))
    found = compare(fed.graph, fed.images(), source)
    called = {row.layer.tensor: row.called for row in found.rows}
    assert any(name.endswith("_DequantizeLinear_Output") for name in called.values()), "as the next layer reads it"
    assert set(fed.graph.outputs) <= called.keys()
    assert all(row.similarity and row.similarity.mse >= 0 for row in found.rows)


@pytest.mark.parametrize("nhwc", [True, False])
def test_snpe_dumps_in_nested_folders_are_read_in_either_layout(fed: Fed, tmp_path: Path, nhwc: bool) -> None:
    made = {f"/model/{tensor}": values for tensor, values in outputs(fed).items()}
    renamed = {name.replace("/model/", ""): values for name, values in made.items()}
    found = run(fed, dump(tmp_path / "out" / "Result_0", renamed, nhwc=nhwc).parent)
    assert all(row.similarity and row.similarity.mse == pytest.approx(0, abs=1e-12) for row in found.rows)
    assert len(found.rows) == len(made)
    assert ("0 as NCHW" in found.notes[0]) == nhwc
    assert ("0 are read as NHWC" in found.notes[0]) != nhwc
    assert not found.problems


def test_the_layout_can_be_said(fed: Fed, tmp_path: Path) -> None:
    found = run(fed, dump(tmp_path / "out", outputs(fed), nhwc=True), layout="nchw")
    assert min(row.similarity.cos_sim for row in found.rows if row.similarity) < 0.9
    assert not found.notes


def test_a_folder_may_hold_both_layouts(fed: Fed, tmp_path: Path) -> None:
    made = outputs(fed)
    half = dict(list(made.items())[: len(made) // 2])
    folder = dump(tmp_path / "out", made)
    dump(folder, half, nhwc=True)
    found = run(fed, folder)
    assert all(row.similarity and row.similarity.mse == pytest.approx(0, abs=1e-12) for row in found.rows)


def test_shapes_that_are_known_leave_nothing_to_guess(fed: Fed, tmp_path: Path) -> None:
    made = {name: -values for name, values in outputs(fed).items()}  # the wrong layout is nearer
    shapes = {f"_{n}": (np.moveaxis(v, 1, -1) if v.ndim == 4 else v).shape for n, v in made.items()}
    folder = dump(tmp_path / "out", made, nhwc=True)
    source = Dumps(folder, shapes=shapes)
    found = compare(fed.graph, list(fed.images())[:1], source)
    cosines = {row.layer.shape: row.similarity.cos_sim for row in found.rows if row.similarity}
    for shape in ((1, 8, 8, 8), (1, 16, 16, 16)):  # these look the same either way
        cosines.pop(shape)
    assert list(cosines.values()) == pytest.approx([-1] * len(cosines))
    assert found.notes[0].startswith("of 2 layers whose shape does not tell")


def test_npy_files_are_turned_by_their_shape(fed: Fed, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    for name, values in outputs(fed).items():
        np.save(folder / f"{name}.npy", np.moveaxis(values, 1, -1) if values.ndim == 4 else values)
    found = run(fed, folder)
    assert all(row.similarity and row.similarity.mse == 0 for row in found.rows)


def test_each_result_is_one_photograph(fed: Fed, tmp_path: Path) -> None:
    for index in range(2):
        dump(tmp_path / "out" / f"Result_{index}", outputs(fed, index), nhwc=True)
    found = run(fed, tmp_path / "out", count=2)
    assert {row.photographs for row in found.rows} == {2}
    assert all(row.similarity and row.similarity.mse == pytest.approx(0, abs=1e-12) for row in found.rows)


def test_a_result_that_is_missing_and_a_layer_that_one_lacks_are_named(fed: Fed, tmp_path: Path) -> None:
    made = outputs(fed)
    dump(tmp_path / "out" / "Result_0", made)
    fewer = dict(outputs(fed, 1))
    gone = list(fewer)[3]
    fewer.pop(gone)
    dump(tmp_path / "out" / "Result_1", fewer)
    found = run(fed, tmp_path / "out", count=2)
    assert found.problems == (f"{gone}: not there for photograph 1",)
    assert {row.photographs for row in found.rows} == {1, 2}, "what is there is compared all the same"
    for path in (tmp_path / "out" / "Result_0").rglob("*.raw"):
        path.unlink()
    assert "photograph 0: out has no output for it" in run(fed, tmp_path / "out", count=2).problems


def test_a_truncated_file_and_nan_are_named_and_the_others_compared(fed: Fed, tmp_path: Path) -> None:
    made = outputs(fed)
    short, odd, bad = list(made)[1], list(made)[2], list(made)[4]
    made[bad] = made[bad].copy()
    made[bad].reshape(-1)[:3] = np.nan
    folder = dump(tmp_path / "out", made)
    (folder / f"{short}.raw").write_bytes((folder / f"{short}.raw").read_bytes()[:400])
    (folder / f"{odd}.raw").write_bytes(b"abc")
    found = run(fed, folder)
    text = "\n".join(found.problems)
    assert "100 values, the layer has" in text
    assert "the file is truncated" in text
    assert "3 bytes are no whole number of float32 values" in text
    assert f"3 of {made[bad].size} values of the output are NaN or infinite" in text
    empty = [row for row in found.rows if row.similarity is None]
    assert len(empty) == 3
    assert len(found.rows) == len(made)


def test_what_only_one_side_has_is_listed(fed: Fed, tmp_path: Path) -> None:
    made = outputs(fed)
    gone = next(iter(made))
    made["extra/layer"] = made.pop(gone)
    found = run(fed, dump(tmp_path / "out", made))
    assert found.source_only == ("extra/layer.raw",)
    assert [layer.tensor for layer in found.model_only] == [gone]


def test_synap_dumps_are_the_outputs_in_their_order(fed: Fed, tmp_path: Path) -> None:
    folder = tmp_path / "dump"
    folder.mkdir()
    made = outputs(fed)
    for index, name in enumerate(fed.graph.outputs):
        (folder / f"output_float_{index}.dat").write_bytes(made[name].astype("<f4").tobytes())
        (folder / f"output_raw_{index}.dat").write_bytes(b"\x00" * made[name].size)
    (folder / "cli.log").write_text("Predict #0: 2.68 ms\n")
    source, count = open_source(fed, Candidate("uint8"), str(folder))
    found = compare(fed.graph, list(fed.images())[:count], source)
    assert [row.layer.tensor for row in found.rows] == [t for t in made if t in fed.graph.outputs]
    assert not found.source_only


def test_dumps_that_are_none_are_refused_by_name(fed: Fed, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: no \.raw"):
        Dumps(tmp_path / "empty")
    with pytest.raises(DataError, match="no such folder"):
        Dumps(tmp_path / "absent")
    with pytest.raises(ConfigError, match="int8"):
        Dumps(tmp_path / "empty", kind="int8")
    with pytest.raises(ConfigError, match="nowhere: no such file or folder"):
        open_source(fed, Candidate("uint8"), "nowhere")


def test_integers_in_npy_are_not_taken_for_values(fed: Fed, tmp_path: Path) -> None:
    folder = dump(tmp_path / "out", outputs(fed))
    name = layers_of(fed.graph)[0].tensor
    (folder / f"{name}.raw").unlink()
    np.save(folder / f"{name}.npy", np.zeros(4, np.uint8))
    assert "holds uint8, not de-quantized values" in run(fed, folder).problems[0]


def test_layers_know_what_is_in_front_of_them(fed: Fed) -> None:
    layers = {layer.node: layer for layer in layers_of(fed.graph)}
    first = next(iter(layers.values()))
    assert (first.op_type, first.after, first.position) == ("Conv", "input", 0.0)
    assert {layer.after for layer in layers.values() if layer.op_type == "MaxPool"} == {"Add"}
    assert "SiLU" in {layer.after for layer in layers.values() if layer.op_type == "Conv"}
    assert len({layer.name for layer in layers.values()}) == len(layers)


def test_a_source_without_any_layer_leaves_everything_listed(fed: Fed) -> None:
    class Silent:
        name, layout = "silent", "nchw"

        def run(self, index: int, image: np.ndarray) -> Mapping[str, Found]:
            return {}

    found = compare(fed.graph, fed.images(), Silent())  # type: ignore[arg-type]
    assert not found.rows
    assert len(found.model_only) == len(layers_of(fed.graph))
    assert len(found.problems) == 2


def test_node_names_serve_where_tensors_are_numbers(tmp_path: Path) -> None:
    model = small_detector()
    for node in model.graph.node:  # as old exporters named tensors
        node.input[:] = [name[1:] if name.startswith("t") and name[1:].isdigit() else name for name in node.input]
        node.output[:] = [name[1:] if name.startswith("t") and name[1:].isdigit() else name for name in node.output]
    for value in (*model.graph.output, *model.graph.value_info):
        value.name = value.name[1:] if value.name[1:].isdigit() else value.name
    path = save(model, tmp_path / "model.onnx")
    onnx.checker.check_model(onnx.load(path))
    pictures(tmp_path / "photos", 1, seed=1)
    fed = from_model(path, Feed(str(tmp_path / "photos")), limit=1, cache=tmp_path / "cache")
    made = {f"_{name}": values for name, values in outputs(fed).items()}
    found = run(fed, dump(tmp_path / "out", made))
    assert len(found.rows) == len(made)
    assert found.rows[0].layer.name == "Conv_0"
