"""What SNPE's tools or HTP refuse is refused before anything runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpsearch.candidate import OPTIONS, QUANTIZER_OPTIONS, Algorithm, Candidate, DataType
from mpsearch.errors import ConfigError
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.read import read
from mpsearch.space.decode import settings
from mpsearch.space.load import load as load_space
from mpsearch.testing.models import save, small_detector
from mpsearch.toolchain.snpe.rules import LEGACY, MODERN, illegal, wide_outputs

A8W8, A16W8, A16W16, FLOAT16 = DataType.A8W8, DataType.A16W8, DataType.A16W16, DataType.FLOAT16


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> ModelGraph:
    return read(save(small_detector(), tmp_path_factory.mktemp("model") / "small.onnx"))


def options(**given: str) -> tuple[tuple[str, str], ...]:
    return tuple(given.items())


@pytest.mark.parametrize(
    ("candidate", "words"),
    [
        (Candidate("uint8"), "SNPE has no uint8"),
        (Candidate("a8w8", overrides=(("Conv_0", DataType.INT16),)), "SNPE has no int16"),
        (Candidate("fp16", overrides=(("Conv_0", A8W8),)), "no quantizer step at all"),
        (Candidate("fp16", options=options(weights="per_channel")), "base fp16 runs no quantizer"),
        (Candidate("a16w16", options=options(weights="per_channel")), "no per-channel weights of 16 bits"),
        (Candidate("a16w16", options=options(matmul_weights="per_row")), "no per-row weights of 16 bits"),
        (Candidate("a16w16", options=options(param_schema="asymmetric")), "must be symmetric"),
        (Candidate("a8w8", options=options(act_quantizer="enhanced", act_calibration="mse")), "cannot be combined"),
        (Candidate("a8w8", options=options(param_quantizer="enhanced", act_schema="symmetric")), "cannot be combined"),
        (Candidate("a8w8", options=options(runtime="gpu")), "computes in float"),
        (Candidate("a8w8", options=options(delegate="cpu")), "delegate is SyNAP's"),
        (Candidate("a8w8", Algorithm.KL_DIVERGENCE), "kl_divergence is SyNAP's"),
        (Candidate("a8w8", preprocess="nv12:64x64"), "frames from the CPU"),
        (Candidate("a8w8", overrides=(("Cov_0", A16W8),)), "no unit 'Cov_0'; nearest: 'Conv_0'"),
        (Candidate("a8w8", overrides=(("Concat_13", A16W8),)), "only carries a type"),
        (Candidate("a8w8", cuts=(("t99", ("t1",)),)), "no output 't99'"),
    ],
)
def test_each_refusal_says_why(candidate: Candidate, words: str, graph: ModelGraph) -> None:
    assert any(words in reason for reason in illegal(graph, candidate)), illegal(graph, candidate)


@pytest.mark.parametrize(
    "candidate",
    [
        Candidate("a8w8"),
        Candidate("a16w16"),
        Candidate("fp16", options=options(runtime="gpu")),
        Candidate("a8w8", overrides=(("Conv_0", A16W16), ("Conv_3", FLOAT16), ("Add_7", A16W8))),
        Candidate("a8w8", overrides=(("Add_7", A16W16),), options=options(weights="per_channel")),
        Candidate("a8w8", options=options(act_calibration="mse", param_schema="symmetric")),
    ],
)
def test_what_htp_v73_takes_is_allowed(candidate: Candidate, graph: ModelGraph) -> None:
    assert illegal(graph, candidate) == ()


def test_one_wide_weight_is_enough_to_refuse_per_channel(graph: ModelGraph) -> None:
    one = Candidate("a8w8", overrides=(("Conv_0", A16W16),), options=options(weights="per_channel"))
    assert illegal(graph, one)
    assert not illegal(graph, replace(one, overrides=(("Conv_0", A16W8),)))


def test_depthai_wants_eight_bits_at_both_ends(graph: ModelGraph) -> None:
    assert wide_outputs(graph, Candidate("a8w8", overrides=(("Conv_0", A16W8),))) == ()
    assert wide_outputs(graph, Candidate("a16w8")) == ("input", "t16", "t18")
    assert wide_outputs(graph, Candidate("a8w8", overrides=(("output:t18", A16W8),))) == ("t18",)


SPACES = ("snpe_a8_a16", "snpe_full", "snpe_qairt")


@pytest.mark.parametrize("name", SPACES)
def test_the_built_in_spaces_propose_nothing_that_is_refused_alone(name: str, graph: ModelGraph) -> None:
    space = load_space(name, graph)
    refused = [candidate for candidate in space.seeds() if illegal(graph, candidate)]
    assert not refused
    assert any(candidate.options for candidate in space.uniforms())


@pytest.mark.parametrize("name", SPACES)
@given(data=st.data())
def test_no_parameters_of_a_built_in_space_mean_a_refused_candidate(
    name: str, data: st.DataObject, graph: ModelGraph
) -> None:
    space = load_space(name, graph)
    point = {dimension: data.draw(st.sampled_from(values)) for dimension, values in space.dimensions.items()}
    candidate = space.at(point)
    assert illegal(graph, candidate) == ()
    assert space.at(space.params(candidate) or {}) == candidate


def test_between_them_the_spaces_hold_every_option_of_snpe(graph: ModelGraph) -> None:
    full, qairt = (load_space(name, graph).options for name in ("snpe_full", "snpe_qairt"))
    assert {*full, *qairt} == {name for name in OPTIONS if name != "delegate"}
    assert not {*full} & {*MODERN}
    assert not {*qairt} & {*LEGACY}
    for space in (full, qairt):
        assert all(set(space[name]) == set(QUANTIZER_OPTIONS[name]) for name in ("weights", "weight_bits", "bias_bits"))


def test_an_option_that_is_refused_beside_others_stays_at_its_default(graph: ModelGraph) -> None:
    space = load_space("snpe_full", graph)
    gpu = {"option:runtime": "gpu", "option:perf_profile": "burst", "option:weight_bits": "4"}
    assert dict(space.at({**gpu, "base": "fp16"}).options) == {"runtime": "gpu", "perf_profile": "burst"}
    quantized = dict(space.at({**gpu, "base": "a8w8"}).options)
    assert "runtime" not in quantized
    assert (quantized["perf_profile"], quantized["weight_bits"]) == ("burst", "4")


def test_more_settings_than_can_be_tried_are_tried_one_option_at_a_time() -> None:
    few, many = {"a": ("1", "2"), "b": ("1", "2", "3")}, dict.fromkeys("abcdef", ("1", "2", "3"))
    assert len(list(settings(few))) == 6
    found = list(settings(many))
    assert len(found) == 1 + 6 * 2
    assert all(sum(value != "1" for value in setting.values()) <= 1 for setting in found)
    assert list(settings({})) == [{}]


def test_a_space_with_output_tensors_pinned_stays_fit_for_depthai(graph: ModelGraph, tmp_path: Path) -> None:
    path = tmp_path / "depthai.yaml"
    path.write_text('vendor: snpe\nbases: [a8w8]\ntypes: [a16w8]\npins: [{unit: "output:*", type: base}]\n')
    space = load_space(path, graph)
    assert all(not wide_outputs(graph, candidate) for candidate in space.seeds() if candidate.base == "a8w8")
    assert any(candidate.overrides for candidate in space.seeds())


def test_options_of_another_vendor_are_refused_in_the_file(graph: ModelGraph, tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text("vendor: snpe\nbases: [a8w8]\noptions: {delegate: [npu, cpu]}\n")
    with pytest.raises(ConfigError, match="delegate"):
        load_space(path, graph)
