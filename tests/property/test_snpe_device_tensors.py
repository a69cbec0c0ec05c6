"""What crosses a DLC's border comes back as it was, to a step."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpsearch.device.snpe import tensors
from mpsearch.device.snpe.replies import BuffersWrong
from mpsearch.errors import CandidateError, SetupError
from mpsearch.toolchain.snpe.dlcinfo import DlcTensor, Encoding

SHAPE = (1, 3, 4, 5)
CHANNELS_LAST = (1, 4, 5, 3)


def encoding(low: float, high: float, bits: int) -> Encoding:
    """As the quantizer makes it, with the decimals that the listing prints."""
    scale = (high - low) / (2**bits - 1)
    offset = -round(-low / scale)
    numbers = (scale * offset, scale * (offset + 2**bits - 1), scale, offset)
    return Encoding(bits, *(float(f"{number:.12f}") for number in numbers))


@given(
    low=st.floats(-50, 0),
    width=st.floats(0.5, 100),
    bits=st.sampled_from([8, 16]),
    shape=st.sampled_from([SHAPE, CHANNELS_LAST]),
    seed=st.integers(0, 1000),
)
def test_a_photograph_goes_in_and_comes_out_within_a_step(
    low: float, width: float, bits: int, shape: tuple[int, ...], seed: int
) -> None:
    high = low + max(width, -low)
    tensor = DlcTensor("x", shape, f"uFxp_{bits}", "APP_WRITE", encoding(low, high, bits))
    image = np.random.default_rng(seed).uniform(low, high, SHAPE).astype(np.float32)
    back = tensors.decode(tensors.encode(image, tensor), tensor, SHAPE)
    step = (high - low) / (2**bits - 1)
    assert back.shape == SHAPE
    # Half a step of rounding; at the ends another half, as 0 is made exact and moves the grid.
    assert np.abs(back - image).max() <= step + 1e-5 * (high - low)


@given(st.integers(0, 255), st.floats(1e-7, 10), st.integers(-255, 0))
def test_every_integer_means_scale_times_itself_plus_offset(code: int, scale: float, offset: int) -> None:
    whole = Encoding(8, scale * offset, scale * (offset + 255), scale, offset)
    value = tensors.decode(bytes([code]), DlcTensor("x", (1, 1), "uFxp_8", "", whole), (1, 1))
    assert math.isclose(float(value[0, 0]), scale * (code + offset), rel_tol=1e-6, abs_tol=1e-12)


def test_signed_types_start_at_their_own_lowest_integer() -> None:
    symmetric = Encoding(8, -1.28, 1.27, 0.01, 0)
    value = tensors.decode(np.array([[-128, 0, 127]], "i1").tobytes(), DlcTensor("x", (1, 3), "sFxp_8", "", symmetric),
                           (1, 3))  # fmt: skip
    assert value.tolist()[0] == pytest.approx([-1.28, 0.0, 1.27])


def test_small_scales_are_sharpened_by_the_range() -> None:
    scale = 1.23456789012345e-7
    printed = Encoding(16, 0.0, float(f"{scale * 65535:.12f}"), float(f"{scale:.12f}"), 0)
    value = tensors.decode(np.array([[40000]], "<u2").tobytes(), DlcTensor("x", (1, 1), "uFxp_16", "", printed), (1, 1))
    assert float(value[0, 0]) == pytest.approx(scale * 40000, rel=1e-7)


@pytest.mark.parametrize("kind", ["Float_16", "Float_32"])
def test_floats_need_no_encoding(kind: str) -> None:
    image = np.arange(60, dtype=np.float32).reshape(SHAPE)
    tensor = DlcTensor("x", CHANNELS_LAST, kind)
    assert np.array_equal(tensors.decode(tensors.encode(image, tensor), tensor, SHAPE), image)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_what_left_the_range_of_float16_is_the_candidates_failure(value: float) -> None:
    data = np.array([[1, value]], "<f2").tobytes()
    with pytest.raises(CandidateError, match="holds infinite values or NaN"):
        tensors.decode(data, DlcTensor("x", (1, 2), "Float_16"), (1, 2))


def test_channels_go_last_where_the_dlc_has_them_there() -> None:
    image = np.arange(60, dtype=np.float32).reshape(SHAPE)
    there = np.frombuffer(tensors.encode(image, DlcTensor("x", CHANNELS_LAST, "Float_32")), "<f4")
    assert np.array_equal(there.reshape(CHANNELS_LAST), image.transpose(0, 2, 3, 1))


def test_what_is_outside_the_range_saturates() -> None:
    tensor = DlcTensor("x", (1, 2), "uFxp_8", "", encoding(0.0, 1.0, 8))
    assert tensors.encode(np.array([[-3.0, 7.0]], np.float32), tensor) == b"\x00\xff"


def test_an_order_that_cannot_be_told_is_not_guessed() -> None:
    tensor = DlcTensor("x", (1, 8, 8, 8), "Float_32")
    with pytest.raises(CandidateError, match="channels come first or last"):
        tensors.decode(bytes(4 * 512), tensor, (1, 8, 8, 8))


def test_another_shape_a_missing_encoding_and_an_unknown_type_are_named() -> None:
    with pytest.raises(CandidateError, match=r"\[1, 7\] in the DLC and \[1, 8\]"):
        tensors.decode(bytes(28), DlcTensor("x", (1, 7), "Float_32"), (1, 8))
    with pytest.raises(SetupError, match="without an encoding"):
        tensors.decode(bytes(7), DlcTensor("x", (1, 7), "uFxp_8"), (1, 7))
    with pytest.raises(SetupError, match="does not know the type 'Bool_8'"):
        tensors.decode(bytes(7), DlcTensor("x", (1, 7), "Bool_8"), (1, 7))
    with pytest.raises(BuffersWrong, match=r"has 6 bytes; \[1, 7\] of Float_16 are 14"):
        tensors.decode(bytes(6), DlcTensor("x", (1, 7), "Float_16"), (1, 7))


OUTPUTS = {
    name: DlcTensor(name, (1, 2), "uFxp_8") for name in ("/model.22/Sigmoid_output_0", "output0", "345", "a.b:0")
}
FILES = [
    "output/Result_{i}/model.22/Sigmoid_output_0.raw",
    "output/Result_{i}/output0_native.raw",
    "output/Result_{i}/_345.raw",
    "output/Result_{i}/a.b:0.raw",
]


def listing(images: int, files: list[str] = FILES) -> tuple[bytes, str]:
    lines, data = [], b""
    for index in reversed(range(images)):
        for number, file in enumerate(files):
            lines.append(f"2 {file.format(i=index)}")
            data += bytes([index, number])
    return data, "\n".join(lines)


def test_files_are_found_by_folder_and_name_whatever_stands_around_it() -> None:
    data, text = listing(3)
    found = tensors.collected(data, text, OUTPUTS, 3)
    for index, files in enumerate(found):
        assert files == {name: bytes([index, number]) for number, name in enumerate(OUTPUTS)}


def test_a_missing_output_is_named() -> None:
    data, text = listing(1, FILES[:3])
    with pytest.raises(BuffersWrong, match=r"no output 'a\.b:0' of image 0 among the files"):
        tensors.collected(data, text, OUTPUTS, 1)


def test_bytes_that_got_lost_are_noticed() -> None:
    data, text = listing(1)
    with pytest.raises(BuffersWrong, match="7 bytes of outputs arrived, the device lists 8"):
        tensors.collected(data[:-1], text, OUTPUTS, 1)
