"""Search-space files: what is read, and what is refused where."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mpsearch.candidate import Candidate, DataType
from mpsearch.errors import SpaceError
from mpsearch.graph.read import read
from mpsearch.space import load as loading
from mpsearch.space import spec, yamlfile
from mpsearch.space.space import SearchSpace
from mpsearch.testing.toy import toy_graph

GRAPH = toy_graph()
HEAD = "vendor: synap\nbases: [uint8, int8-pc]\n"


def space(text: str, *, face_sizes: tuple[float, float] | None = None) -> SearchSpace:
    parsed = spec.parse(yamlfile.parse(HEAD + text, "my.yaml"), "my")
    return loading.build(parsed, GRAPH, face_sizes=face_sizes)


@pytest.mark.parametrize("name", loading.names())
def test_every_builtin_space_loads(name: str) -> None:
    made = loading.load(name, GRAPH)
    assert made.name == name
    assert made.size > 100


def test_the_folder_at_the_root_holds_the_same_files_as_the_package(root: Path) -> None:
    def texts(folder: Path) -> dict[str, str]:
        return {path.name: path.read_text() for path in folder.glob("*.yaml")}

    assert texts(root / "search_spaces") == texts(spec.builtin_folder())


def test_every_complete_example_of_the_documentation_loads(root: Path, tmp_path: Path) -> None:
    text = (root / "docs" / "search-space.md").read_text()
    blocks = [block for block in re.findall(r"```yaml\n(.*?)```", text, re.S) if block.startswith("vendor:")]
    assert blocks
    for block in blocks:
        path = tmp_path / "example.yaml"
        path.write_text(block)
        assert loading.load(path, GRAPH).digest == loading.load("synap_int8_int16", GRAPH).digest


def test_a_name_is_looked_up_here_before_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "search_spaces"
    folder.mkdir()
    (folder / "synap_full.yaml").write_text(HEAD + "grouping: each\n")
    monkeypatch.chdir(tmp_path)
    assert loading.load("synap_full", GRAPH).bases == ("uint8", "int8-pc")


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(SpaceError, match="nearest: 'synap_full'"):
        loading.find("synap_ful")


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("grouping: each\ngroupings: each\n", 4, "unknown key 'groupings'; nearest: 'grouping'"),
        ("types: [int32]\n", 3, "unknown 'int32'"),
        ("types: [uint8]\n", 3, "one 8-bit type"),
        ("types: [int16, int16]\n", 3, "twice"),
        ("types: []\n", 3, "empty"),
        ("grouping:\n  by: stage\n  stages: 0\n", 5, "outside 1 to 200"),
        ("grouping:\n  by: stage\n  stages: four\n", 5, "whole number"),
        ("grouping: {by: each, stages: 4}\n", 3, "goes with `by: stage`"),
        ("grouping:\n  by: globs\n  groups:\n    a: [conv9]\n", 6, "no unit 'conv9'; nearest: 'conv"),
        ("grouping:\n  by: globs\n  groups:\n    a: [pool]\n", 6, "only moves data"),
        ("grouping:\n  by: globs\n  groups:\n    a: ['conv*']\n    b: [conv0]\n", 7, "earlier groups"),
        ("grouping: tail\ntails: 0\n", 4, "at least one tail"),
        ("pins:\n  - {unit: conv0, type: base}\n  - {unit: 'conv*', type: int16}\n", 5, "pinned in line 4"),
        ("pins:\n  - {unit: conv0}\n", 4, "'type' is missing"),
        ("cuts:\n  points:\n    neer_out: [n0]\n", 5, "no output 'neer_out'; nearest: 'near_out'"),
        ("cuts:\n  points:\n    near_out: [p]\n", 5, "cannot be cut at 'p'"),
        ("cuts:\n  uncut: maybe\n", 4, "true or false"),
        ("cuts: {points: none, uncut: false}\n", 3, "stays uncut"),
        ("drop_outputs: [far_out]\n", 3, "declared range of face sizes"),
        ("drop_outputs: [far_put]\n", 3, "nearest: 'far_out'"),
        ("preprocess: [nv12]\n", 3, "unknown 'nv12'"),
        ("preprocess: ['nv99:10x10']\n", 3, "synap refuses it"),
        ("outputs: free\noutputs: follow\n", 4, "twice"),
        ("algorithms: [best]\n", 3, "One of: standard"),
        ("pins: {unit: [a], type: base}\n", 3, "expected a text"),
        ("tails: [1\n", 4, "not YAML"),
    ],
)
def test_what_cannot_be_is_refused_with_file_and_line(text: str, line: int, says: str) -> None:
    with pytest.raises(SpaceError) as caught:
        space(text)
    assert re.match(rf"my\.yaml:{line}\b", caught.value.message)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("- vendor\n", "expected a mapping"),
        ("vendor: synap\n", "'bases' is missing"),
        ("vendor: acme\nbases: [uint8]\n", "unknown 'acme'"),
        ("vendor: synap\nbases: [int16]\ntypes: [int16]\n", "base already"),
        ("vendor: synap\nbases: [float16]\ntypes: [int16]\n", "unquantized"),
        ("vendor: synap\nbases: [uint8]\ncuts: none\npins: [{unit: '*', type: base}]\ntails: 0\n", "nothing is left"),
    ],
)
def test_a_space_that_makes_no_sense_as_a_whole_is_refused(text: str, says: str) -> None:
    with pytest.raises(SpaceError, match=says):
        loading.build(spec.parse(yamlfile.parse(text, "my.yaml"), "my"), GRAPH)


def test_an_unreadable_file_is_a_space_error(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpaceError, match="cannot be read"):
        loading.load(tmp_path / "x.yaml", GRAPH)


def test_stages_are_contiguous_and_heads_stand_alone() -> None:
    made = space("grouping: {by: stage, stages: 2}\n")
    assert [(group.name, group.units) for group in made.groups] == [
        ("stage1", ("conv0", "conv1")),
        ("stage2", ("conv2", "conv3")),
        ("head:near_out", ("near",)),
        ("head:far_out", ("far", "far_sigmoid")),
    ]


def test_outputs_of_the_same_kind_share_their_cut() -> None:
    together, each = space("cuts: all\n"), space("cuts: {points: all, choose: each}\n")
    assert [cut.outputs for cut in together.cuts] == [("near_out",), ("far_out",)]
    assert [cut.depths for cut in each.cuts] == [("0", "1", "2"), ("0", "1")]


def test_an_output_tensor_follows_the_unit_that_makes_it() -> None:
    made = space("grouping: each\n").at({"type:near": "int16"})
    assert [unit for unit, _ in made.overrides] == ["near", "output:near_out"]


def test_int16_convolutions_under_per_channel_weights_fall_back_to_the_base() -> None:
    made = space("grouping: stage\n").at({"base": "int8-pc", "type:head:far_out": "int16"})
    assert [unit for unit, _ in made.overrides] == ["far_sigmoid", "output:far_out"]


def test_the_unquantized_model_takes_no_overrides_and_no_algorithm() -> None:
    text = "vendor: synap\nbases: [uint8, float16]\nalgorithms: [kl_divergence]\ngrouping: each\n"
    made = loading.build(spec.parse(yamlfile.parse(text, "my.yaml"), "my"), GRAPH)
    assert made.at({"base": "float16", "type:near": "int16"}).to_json() == {"base": "float16"}


def test_a_tail_lifts_what_is_behind_it_but_no_pinned_unit() -> None:
    made = space("grouping: tail\npins:\n  - {unit: near, type: base}\n")
    candidate = made.at({"tail": "conv2_relu"})
    assert [unit for unit, _ in candidate.overrides] == ["conv3", "far", "far_sigmoid", "output:far_out"]


def test_a_tail_narrows_no_group_that_asks_for_more() -> None:
    made = space("grouping: each\ntypes: [int16, float16]\n")
    candidate = made.at({"tail": "conv2_relu", "tail_type": "int16", "type:near": "float16", "type:conv0": "float16"})
    assert {unit: str(kind) for unit, kind in candidate.overrides} == {
        "conv0": "float16", "conv3": "int16", "near": "float16", "far": "int16", "far_sigmoid": "int16",
        "output:near_out": "float16", "output:far_out": "int16",
    }  # fmt: skip


def test_an_output_may_be_dropped_within_a_declared_range() -> None:
    made = space("drop_outputs: [far_out]\n", face_sizes=(20, 200))
    assert made.at({"drop:far_out": "yes"}).dropped == ("far_out",)
    with pytest.raises(SpaceError, match="every output could be dropped"):
        space("drop_outputs: [far_out, near_out]\n", face_sizes=(20, 200))


def test_the_digest_changes_with_meaning_and_not_with_comments() -> None:
    plain = space("grouping: each\n")
    assert space("# remark\ngrouping: each\nuniforms: [int16]\n").digest == plain.digest
    assert space("grouping: stage\n").digest != plain.digest
    assert space("grouping: each\noutputs: free\n").digest != plain.digest


def test_a_candidate_with_an_unknown_unit_is_refused_with_the_nearest() -> None:
    with pytest.raises(SpaceError, match="no unit 'convo0'; nearest: 'conv0'"):
        space("").canonical(Candidate(overrides=(("convo0", DataType.INT16),)))


def test_seeds_begin_with_uniforms_and_hold_tails_heads_and_the_users_own() -> None:
    made = space("")
    own = Candidate(overrides=(("conv0", DataType.INT16), ("conv2", DataType.INT16)))
    seeds = made.seeds([own])
    assert [seed.base for seed in seeds[:6]] == ["uint8", "uint8", "int8-pc", "int8-pc", "int16", "int16"]
    assert all(seed.is_uniform for seed in seeds[:6])
    assert seeds[6] == own, "the user's own come right after the uniforms"
    assert len({seed.digest for seed in seeds}) == len(seeds)
    assert made.params(seeds[7]) is not None


def test_the_trained_networks_of_the_shared_folder_fit_the_default_space(shared: Path) -> None:
    graph = read(shared / "data" / "models" / "yolov5n-0.5-face_480x640_nhwc5d.onnx")
    made = loading.load("synap_int8_int16", graph)
    assert [cut.outputs for cut in made.cuts] == [("stride_8", "stride_16", "stride_32")]
    assert {group.name for group in made.groups} >= {"stage8", "head:stride_8", "head:stride_32"}
    for seed in made.uniforms():
        assert not made.illegal(graph, seed)
