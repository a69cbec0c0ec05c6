"""Photographs of every kind, found and loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mpsearch.errors import ConfigError, DataError
from mpsearch.images import PhotoSet, Preprocess, find, load_rgb, overlap

RED, GREEN = (200, 30, 40), (20, 180, 60)


def two_colours(height: int = 40, width: int = 60) -> np.ndarray:
    """Left half red, right half green."""
    image = np.empty((height, width, 3), np.uint8)
    image[:, : width // 2], image[:, width // 2 :] = RED, GREEN
    return image


def save(path: Path, array: np.ndarray | None = None, **options: object) -> Path:
    Image.fromarray(two_colours() if array is None else array).save(path, **options)
    return path


def near(pixel: np.ndarray, colour: tuple[int, ...], tolerance: int = 6) -> bool:
    return bool(np.abs(pixel.astype(int) - colour).max() <= tolerance)


def test_a_png_is_read_as_it_is(tmp_path: Path) -> None:
    assert (load_rgb(save(tmp_path / "a.png")) == two_colours()).all()


@pytest.mark.parametrize(("orientation", "top_left"), [(1, RED), (2, GREEN), (3, GREEN), (6, RED), (8, GREEN)])
def test_the_exif_orientation_is_applied(tmp_path: Path, orientation: int, top_left: tuple[int, ...]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = load_rgb(save(tmp_path / "a.jpg", exif=exif, quality=95))
    assert image.shape == ((60, 40, 3) if orientation in (6, 8) else (40, 60, 3))
    assert near(image[3, 3], top_left)


def test_cmyk_becomes_the_same_colours(tmp_path: Path) -> None:
    Image.fromarray(two_colours()).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    image = load_rgb(tmp_path / "a.jpg")
    assert near(image[5, 5], RED)
    assert near(image[5, -5], GREEN)


def test_a_grey_photograph_has_three_equal_channels(tmp_path: Path) -> None:
    grey = np.linspace(0, 255, 600).reshape(20, 30).astype(np.uint8)
    image = load_rgb(save(tmp_path / "a.png", grey))
    assert image.shape == (20, 30, 3)
    assert all((image[..., channel] == grey).all() for channel in range(3))


def test_sixteen_bit_grey_is_scaled_and_not_cut_off(tmp_path: Path) -> None:
    deep = (np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)
    image = load_rgb(save(tmp_path / "a.png", deep))
    assert (image[..., 0].ravel() == np.arange(256)).all()


def test_a_palette_is_looked_up(tmp_path: Path) -> None:
    Image.fromarray(two_colours()).quantize(4).save(tmp_path / "a.png")
    assert near(load_rgb(tmp_path / "a.png")[5, 5], RED)


def test_transparent_pixels_show_the_letterbox_grey(tmp_path: Path) -> None:
    rgba = np.dstack([two_colours(), np.full((40, 60), 255, np.uint8)])
    rgba[:10, :, 3] = 0
    image = load_rgb(save(tmp_path / "a.png", rgba))
    assert (image[0, 0] == 114).all()
    assert (image[20, 5] == RED).all()


def test_what_is_no_image_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("not an image")
    (tmp_path / "empty.png").write_bytes(b"")
    whole = save(tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "half.jpg").write_bytes(whole[: len(whole) // 2])
    png = save(tmp_path / "whole.png", np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8))
    damaged = bytearray(png.read_bytes())
    damaged[200:260] = b"\0" * 60
    (tmp_path / "damaged.png").write_bytes(damaged)
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "float.tif")
    for name in ("text.jpg", "empty.png", "half.jpg", "damaged.png", "float.tif", "absent.jpg"):
        with pytest.raises(DataError, match=name):
            load_rgb(tmp_path / name)


def test_a_folder_gives_its_images_sorted(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.PNG", "notes.txt", ".hidden"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "folder.jpg").mkdir()
    assert [path.name for path in find(tmp_path, Path("/"))] == ["a.PNG", "b.jpg"]
    assert [path.name for path in find(tmp_path.name, tmp_path.parent)] == ["a.PNG", "b.jpg"]


def test_a_glob_and_a_single_image_are_found(tmp_path: Path) -> None:
    for name in ("b1.jpg", "b2.jpg", "c.jpg", "b3.txt"):
        (tmp_path / name).write_bytes(b"x")
    assert [path.name for path in find("b*", tmp_path)] == ["b1.jpg", "b2.jpg"]
    assert [path.name for path in find("c.jpg", tmp_path)] == ["c.jpg"]


def test_a_list_keeps_its_order_and_names_a_line_that_is_wrong(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "list.txt").write_text("b.jpg  # first\n\na.jpg\nb.jpg\n")
    assert [path.name for path in find("list.txt", tmp_path)] == ["b.jpg", "a.jpg"]
    (tmp_path / "list.txt").write_text("a.jpg\ngone.jpg\n")
    with pytest.raises(DataError, match=r"list\.txt:2.*gone\.jpg"):
        find("list.txt", tmp_path)


@pytest.mark.parametrize("spec", ["empty", "nowhere", "*.jpg", "void.txt"])
def test_no_photograph_is_an_error_that_names_the_place(tmp_path: Path, spec: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "void.txt").write_text("# nothing\n")
    with pytest.raises(DataError) as caught:
        find(spec, tmp_path)
    assert str(tmp_path / spec) in caught.value.message


def test_normalising_follows_the_formula_in_the_networks_channel_order() -> None:
    pixels = np.arange(2 * 2 * 2 * 3, dtype=np.uint8).reshape(2, 2, 2, 3)
    means, scale = (104.0, 117.0, 123.0), (2.0, 4.0, 5.0)
    batch = Preprocess(2, 2, means, scale, "bgr").normalise(pixels)
    assert batch.shape == (2, 3, 2, 2)
    assert batch.dtype == np.float32
    for channel in range(3):
        expected = (pixels[..., 2 - channel].astype(float) - means[channel]) / scale[channel]
        assert np.allclose(batch[:, channel], expected)


def test_one_mean_and_scale_stand_for_three() -> None:
    assert Preprocess(2, 2, (1.0,), (2.0,)) == Preprocess(2, 2, (1.0, 1.0, 1.0), (2.0, 2.0, 2.0))


@pytest.mark.parametrize(
    "wrong",
    [{"height": 0}, {"scale": (0.0,)}, {"means": (1.0, 2.0)}, {"means": (float("nan"),)}, {"order": "rbg"}],
)
def test_impossible_preprocessing_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        Preprocess(**{"height": 2, "width": 2, **wrong})  # type: ignore[arg-type]


def test_batches_are_the_letterboxed_pixels_normalised(tmp_path: Path) -> None:
    preprocess = Preprocess(32, 32)
    photos = PhotoSet([save(tmp_path / f"{i}.png") for i in range(5)], preprocess)
    assert photos.pixels.shape == (5, 32, 32, 3)
    batches = list(photos.batches(2))
    assert [len(batch) for batch in batches] == [2, 2, 1]
    assert (np.concatenate(batches) == preprocess.normalise(photos.pixels)).all()
    assert len(PhotoSet(photos.paths, preprocess, limit=3)) == 3


def test_arrays_in_memory_give_the_same_pixels_as_their_files(tmp_path: Path) -> None:
    preprocess = Preprocess(48, 64)
    files = PhotoSet([save(tmp_path / "a.png")], preprocess)
    memory = PhotoSet.from_arrays(["a"], [two_colours()], preprocess)
    assert (files.pixels == memory.pixels).all()
    with pytest.raises(ValueError, match="uint8"):
        PhotoSet.from_arrays(["a"], [two_colours().astype(np.float32)], preprocess)  # type: ignore[list-item]


def test_the_digest_knows_bytes_order_and_preprocessing_but_not_names(tmp_path: Path) -> None:
    preprocess = Preprocess(32, 32)
    a, b = save(tmp_path / "a.png"), save(tmp_path / "b.png", two_colours()[::-1, ::-1].copy())
    copy = tmp_path / "copy.png"
    copy.write_bytes(a.read_bytes())
    digest = PhotoSet([a, b], preprocess).digest
    assert PhotoSet([copy, b], preprocess).digest == digest
    assert PhotoSet([b, a], preprocess).digest != digest
    assert PhotoSet([a, b], Preprocess(32, 32, order="bgr")).digest != digest


def test_no_photograph_and_a_limit_of_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        PhotoSet([], Preprocess(8, 8))
    with pytest.raises(DataError, match="limit"):
        PhotoSet([tmp_path / "a.png"], Preprocess(8, 8), limit=0)


def test_a_renamed_and_a_losslessly_saved_copy_overlap_and_others_do_not(tmp_path: Path) -> None:
    preprocess = Preprocess(32, 32)
    a = save(tmp_path / "a.png")
    renamed = tmp_path / "renamed.png"
    renamed.write_bytes(a.read_bytes())
    again = save(tmp_path / "again.bmp")
    other = save(tmp_path / "other.png", two_colours()[:, ::-1].copy())
    calibration = PhotoSet([a], preprocess)
    found = overlap(calibration, PhotoSet([other, renamed, again], preprocess))
    assert found == ((str(a), str(renamed)), (str(a), str(again)))
    assert overlap(calibration, PhotoSet([other], preprocess)) == ()
    assert overlap(calibration, PhotoSet([renamed, again], Preprocess(16, 16))) == ((str(a), str(renamed)),)
