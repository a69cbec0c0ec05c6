"""Photographs as a device's tools read them: bytes, order, layout and the list."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mpsearch.errors import ConfigError, DataError
from mpsearch.images import Preprocess, letterbox
from mpsearch.inputlist import ListForm, RawType, input_list
from mpsearch.raw import Encoding, Recipe, write

H, W = 6, 8
PLAIN = Preprocess(H, W, scale=(1.0,))


def photo(path: Path, seed: int = 0, size: tuple[int, int] = (16, 9)) -> np.ndarray:
    """A picture on disk, and its pixels ``[h, w, 3]``."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


@pytest.mark.parametrize("kind", list(RawType))
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_a_file_holds_the_letterboxed_pixels_in_type_order_and_layout(
    tmp_path: Path, kind: RawType, last: bool, order: str
) -> None:
    pixels = photo(tmp_path / "in" / "a.png")
    preprocess = Preprocess(H, W, scale=(1.0,), order=order)  # type: ignore[arg-type]
    (file,) = write(
        [tmp_path / "in" / "a.png"], tmp_path / "out", Recipe(preprocess, Encoding(kind), channels_last=last)
    )
    stored = {"uint8": "u1", "int8": "i1", "float16": "<f2", "float32": "<f4"}[kind]
    values = np.frombuffer(file.read_bytes(), stored).astype(np.float64) + (128 if kind is RawType.INT8 else 0)
    wanted = letterbox(pixels, H, W)[0][..., :: -1 if order == "bgr" else 1]
    wanted = wanted if last else wanted.transpose(2, 0, 1)
    np.testing.assert_array_equal(values.reshape(wanted.shape), wanted)


def test_an_npy_file_has_a_batch_and_is_normalised(tmp_path: Path) -> None:
    pixels = photo(tmp_path / "a.png")
    preprocess = Preprocess(H, W, (10.0, 20.0, 30.0), (2.0, 4.0, 5.0))
    recipe = Recipe(preprocess, channels_last=False, npy=True)
    (file,) = write([tmp_path / "a.png"], tmp_path / "out", recipe)
    values = np.load(file)
    assert (values.shape, values.dtype) == ((1, 3, H, W), np.float32)
    wanted = (letterbox(pixels, H, W)[0].astype(np.float64) - (10, 20, 30)) / (2, 4, 5)
    np.testing.assert_allclose(values[0].transpose(1, 2, 0), wanted, rtol=1e-6)


def test_stretching_leaves_no_border(tmp_path: Path) -> None:
    path = tmp_path / "white.png"
    Image.new("RGB", (40, 4), (255, 255, 255)).save(path)
    for stretch, least in ((True, 255), (False, 114)):
        recipe = Recipe(PLAIN, Encoding(RawType.UINT8), stretch=stretch)
        (file,) = write([path], tmp_path / str(stretch), recipe)
        assert min(file.read_bytes()) == least


@settings(deadline=None, max_examples=40)
@given(st.floats(0.001, 2.0), st.integers(0, 255), st.integers(0, 10_000))
def test_an_encodings_step_and_zero_give_back_the_value(step: float, zero: int, seed: int) -> None:
    low, high = (0 - zero) * step, (255 - zero) * step
    values = np.random.default_rng(seed).uniform(low, high, 50).astype(np.float32)
    codes = Encoding(RawType.UINT8, step, zero).encode(values, "x")
    assert codes.dtype == np.uint8
    np.testing.assert_allclose((codes.astype(np.float64) - zero) * step, values, atol=step * 0.501)


def test_values_that_do_not_fit_are_refused_and_not_clipped() -> None:
    values = np.array([-1.0, 0.5], np.float32)
    with pytest.raises(DataError, match=r"a\.png: values from -1 to 0\.5 become -1 to 0, which uint8 cannot hold"):
        Encoding(RawType.UINT8).encode(values, "a.png")
    with pytest.raises(DataError, match="beyond float16"):
        Encoding(RawType.FLOAT16).encode(np.array([1e6], np.float32), "a.png")


@pytest.mark.parametrize(("kind", "step", "zero"), [("uint8", 0.0, 0), ("float32", 0.5, None), ("float16", 1.0, 3)])
def test_encodings_that_cannot_be_are_refused(kind: str, step: float, zero: int | None) -> None:
    with pytest.raises(ConfigError):
        Encoding(RawType(kind), step, zero)


def test_photographs_of_one_name_all_get_a_file(tmp_path: Path) -> None:
    paths = [tmp_path / "a" / "x.png", tmp_path / "b" / "x.png", tmp_path / "x-2.png", tmp_path / "my photo.png"]
    for seed, path in enumerate(paths):
        photo(path, seed)
    files = write(paths, tmp_path / "out", Recipe(PLAIN, Encoding(RawType.UINT8)))
    assert [file.name for file in files] == ["x.raw", "x-2.raw", "x-2-2.raw", "my_photo.raw"]
    assert len({file.read_bytes() for file in files}) == 4


def test_snpes_list_has_the_inputs_name_and_a_first_line_when_asked() -> None:
    files = [Path("/w/a.raw"), Path("/w/b.raw")]
    assert input_list(files, ListForm.SNPE, name="input") == "input:=/w/a.raw\ninput:=/w/b.raw\n"
    assert input_list(files, ListForm.SNPE) == "/w/a.raw\n/w/b.raw\n"
    text = input_list(files, ListForm.SNPE, name="in", first_line="%  out1   out2", prefix="/data/tests/")
    assert text == "%out1 out2\nin:=/data/tests/a.raw\nin:=/data/tests/b.raw\n"
    assert input_list(files, ListForm.SNPE, first_line="#Conv_1").startswith("#Conv_1\n")


def test_paths_in_a_list_are_absolute_unless_a_folder_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert input_list([Path("a.raw")], ListForm.SYNAP) == f"{tmp_path}/a.raw\n"


@pytest.mark.parametrize(
    ("form", "options", "said"),
    [
        ("snpe", {"first_line": "out1 out2"}, "take it for a photograph"),
        ("snpe", {"first_line": "%"}, "take it for a photograph"),
        ("synap", {"first_line": "%out"}, "belong to SNPE"),
        ("synap", {"name": "input"}, "belong to SNPE"),
        ("snpe", {"prefix": "/my data"}, "has a space"),
    ],
)
def test_lists_that_a_tool_would_misread_are_refused(form: str, options: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        input_list([Path("/w/a.raw")], ListForm(form), **options)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    photo(tmp_path / "a.png")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file/out: cannot be written"):
        write([tmp_path / "a.png"], tmp_path / "file" / "out", Recipe(PLAIN))
