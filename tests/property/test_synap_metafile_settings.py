"""What a metafile says besides the candidate: written, read back, taken by the strict stand-in, refused when wrong."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mpsearch import config
from mpsearch.candidate import Candidate
from mpsearch.errors import ConfigError
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.read import read
from mpsearch.testing.lab import metafile as toolkit
from mpsearch.testing.models import save, small_detector
from mpsearch.toolchain.synap.io import CHOICES, OPTIONS, MetafileIO, OutputIO
from mpsearch.toolchain.synap.metafile import render
from mpsearch.toolchain.synap.parse import parse
from mpsearch.toolchain.synap.settings import MetafileConfig

words = st.text("abcxyz", min_size=1, max_size=6)
custom = st.dictionaries(words, st.one_of(st.integers(-9, 9), st.booleans(), words), max_size=2).map(
    lambda found: tuple(found.items())
)


@cache
def graph() -> ModelGraph:
    return read(save(small_detector(), Path(tempfile.mkdtemp()) / "model.onnx"))


def choice(field: str) -> st.SearchStrategy[str]:
    return st.sampled_from(("", *CHOICES[field]))


@st.composite
def ios(draw: st.DrawFn) -> MetafileIO:
    outputs = tuple(
        OutputIO(
            name, draw(st.sampled_from((None, False))), draw(st.sampled_from(("", "retinanet_boxes"))),
            draw(choice("output_security")), draw(custom),
        )
        for name in graph().outputs[1:]
    )  # fmt: skip
    pattern = st.dictionaries(st.sampled_from(("63", "Conv_3")), st.sampled_from(("npu", "cpu")), min_size=1)
    return MetafileIO(
        means=draw(st.sampled_from(((), (1.5, 2.0, 3.0)))),
        scale=draw(st.sampled_from((None, 255.0, 0.5))),
        input_format=draw(st.sampled_from(("", "rgb keep_proportions=0", "bgr"))),
        output_format=draw(st.sampled_from(("", "yolov8 landmarks=5"))),
        input_security=draw(choice("input_security")),
        data_layout=draw(choice("data_layout")),
        delegate=draw(st.one_of(st.sampled_from(("", "npu", "npu x=1")), pattern.map(lambda d: tuple(d.items())))),
        mode=draw(choice("mode")),
        options=draw(st.sampled_from(((), (("divergence_nbins", 2048), ("minimize_layer_error", True))))),
        custom=draw(custom),
        input_custom=draw(custom),
        outputs=tuple(own for own in outputs if own != OutputIO(own.output)),
        optimize=draw(st.sampled_from((None, True, False))),
        crop=draw(st.sampled_from((None, True, (0, 0, 32, 32)))),
    )


@settings(max_examples=150, deadline=None)
@given(ios(), st.sampled_from(("npu", "gpu")), st.sampled_from(("cpu", "nv12:64x32")))
def test_what_is_written_reads_back_to_the_same_text_and_the_toolkit_takes_it(
    io: MetafileIO, delegate: str, preprocess: str
) -> None:
    candidate = Candidate("int8-pc", preprocess=preprocess, options=(("delegate", delegate),))
    made = render(graph(), candidate, io, target="VS680", model_path="model.onnx")
    back = parse(made.text, graph())
    assert back.candidate == candidate
    again = render(graph(), back.candidate, back.io, target="VS680", model_path="model.onnx")
    assert again.text == made.text
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "meta.yaml").write_text(made.text)
        meta = toolkit.read(Path(folder) / "meta.yaml")
        toolkit.check_network(meta, 3)
        if delegate == "gpu":
            assert meta.delegate("VS680") == "gpu"


STUDY = """
model: m.onnx
budget: 33
data: {calibration: a, evaluation: b}
decoder: {name: yolov5-face}
input: {means: [127, 127, 127], scale: 128, order: bgr}
metafile:
"""


def study(tmp_path: Path, text: str) -> config.Study:
    (tmp_path / "s.yaml").write_text(STUDY + "".join(f"  {line}\n" for line in text.splitlines()))
    return config.load(tmp_path / "s.yaml")


def test_a_study_says_everything_that_a_metafile_can(tmp_path: Path) -> None:
    loaded = study(
        tmp_path,
        "dataset: q/*.png\nformat: yolov5 landmarks=5\ndata_layout: nchw\nmode: full\noptimize: false\n"
        "delegate: {Conv_3: cpu}\noptions: {divergence_nbins: 2048}\ncustom: {owner: me}\n"
        "input: {format: bgr keep_proportions=0, security: secure, crop: [0, 0, 64, 32], custom: {a: 1}}\n"
        "outputs: {boxes: {dequantize: false, security: any, format: x, custom: {b: [1, 2]}}}\n",
    )
    io = loaded.metafile.io(means=loaded.input.means, scale=128.0, order=loaded.input.order)
    assert io == MetafileIO(
        means=(127.0,) * 3, scale=128.0, input_format="bgr keep_proportions=0", dataset=("q/*.png",),
        output_format="yolov5 landmarks=5", input_security="secure", data_layout="nchw",
        delegate=(("Conv_3", "cpu"),), mode="full", options=(("divergence_nbins", 2048),), custom=(("owner", "me"),),
        input_custom=(("a", 1),), outputs=(OutputIO("boxes", False, "x", "any", (("b", [1, 2]),)),), optimize=False,
        crop=(0, 0, 64, 32),
    )  # fmt: skip


def test_the_defaults_leave_everything_to_the_toolkit() -> None:
    assert MetafileConfig().io() == MetafileIO()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("delegate: nup", "nearest: 'npu'"),
        ("delegate: {INPUTS: npu}", "INPUTS is no operation"),
        ("options: {divergence_bins: 3}", "nearest: 'divergence_nbins'"),
        ("mode: fast", r"metafile\.mode"),
        ("data_layout: nhwc", r"metafile\.data_layout"),
        ("input: {securty: any}", "did you mean 'security'"),
        ("input: {security: safe}", r"metafile\.input\.security"),
        ("input: {crop: [1, 2]}", r"metafile\.input\.crop"),
        ("outputs: {boxes: {dequantise: true}}", "dequantise: unknown field"),
        ("dataset: [a b/*.jpg]", "has a space in it"),
        ("dataset: []", "0 calibration datasets"),
    ],
)
def test_wrong_settings_are_refused_when_the_study_is_read(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        study(tmp_path, text)


def test_an_order_of_channels_that_is_not_the_studys_is_refused(tmp_path: Path) -> None:
    loaded = study(tmp_path, "input: {format: rgb}")
    with pytest.raises(ConfigError, match=r"metafile\.input\.format: 'rgb', but the study's input\.order is bgr"):
        loaded.metafile.io(means=loaded.input.means, scale=128.0, order="bgr")


def test_an_output_that_the_model_has_not_is_named_with_the_nearest() -> None:
    name = graph().outputs[0]
    io = MetafileIO(outputs=(OutputIO(name + "x", False),))
    with pytest.raises(ConfigError, match=f"nearest: '{name}'"):
        render(graph(), Candidate(), io, target="VS680", model_path="m.onnx")


def test_every_quantizer_option_is_taken() -> None:
    assert dict.fromkeys(OPTIONS, 1) == MetafileConfig(options=dict.fromkeys(OPTIONS, 1)).options
    with pytest.raises(ValidationError, match="no quantizer option"):
        MetafileConfig(options={"hybrid": True})  # the toolkit sets it itself, and dies of a second one
