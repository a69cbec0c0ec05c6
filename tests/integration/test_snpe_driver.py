"""The toolchain ``snpe`` against the lab's tools: programs of their own, strict in the vendor's documented ways."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mpsearch import config
from mpsearch.candidate import Candidate, DataType
from mpsearch.device import spec
from mpsearch.device.snpe.opening import toolchain_of
from mpsearch.errors import CandidateError, ConfigError, SetupError, TransientError
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.read import read
from mpsearch.images import PhotoSet, Preprocess
from mpsearch.photographs import photo_set
from mpsearch.testing.lab.snpe.bench import SnpeLab
from mpsearch.testing.models import save, small_detector
from mpsearch.testing.studies import small_study
from mpsearch.toolchain.snpe.artifact import BuiltDifferently
from mpsearch.toolchain.snpe.driver import SnpeToolchain
from mpsearch.toolchain.snpe.tools import Family, Tools
from mpsearch.workbench import open_bench

A16W8, A16W16, FLOAT16 = DataType.A16W8, DataType.A16W16, DataType.FLOAT16
MIXED = Candidate("a8w8", overrides=(("Conv_0", A16W8), ("Conv_3", A16W16), ("Conv_9", FLOAT16)))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SnpeLab]:
    with SnpeLab(tmp_path_factory.mktemp("lab")) as opened:
        yield opened


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> ModelGraph:
    return read(save(small_detector(), tmp_path_factory.mktemp("model") / "small.onnx"))


@pytest.fixture(scope="module")
def toolchain(lab: SnpeLab, graph: ModelGraph, tmp_path_factory: pytest.TempPathFactory) -> SnpeToolchain:
    return made(lab, graph, tmp_path_factory.mktemp("cache"))


def made(lab: SnpeLab, graph: ModelGraph, cache: Path) -> SnpeToolchain:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (32, 32, 3), dtype=np.uint8) for _ in range(2)]
    photos = PhotoSet.from_arrays(["a", "b"], images, Preprocess(32, 32))
    return SnpeToolchain(graph, photos, cache, Tools(sdk=lab.sdk), timeout_s=60)


def test_a_mixed_candidate_is_built_as_asked(toolchain: SnpeToolchain, graph: ModelGraph) -> None:
    built = toolchain.build(MIXED)
    assert dict(built.types) == dict(graph.assign(MIXED))
    assert not built.differs
    assert built.dlc.is_file()
    assert [tensor for tensor, _ in built.tensors] == ["t16", "t18"]
    assert built.info.caches
    assert built.info.inputs[0].shape == (1, 32, 32, 3)
    assert built.version in (built.folder / "commands.json").read_text()
    assert json.loads((built.folder / "overrides.json").read_text())["activation_encodings"]["t0"]


def test_the_model_is_cut_where_the_candidate_says(toolchain: SnpeToolchain) -> None:
    built = toolchain.build(Candidate("a8w8", cuts=(("t16", ("t15",)),), dropped=("t18",)))
    assert [tensor.name for tensor in built.info.outputs] == ["t15"]


def test_candidates_that_differ_in_quantizer_flags_share_their_float_dlc(toolchain: SnpeToolchain) -> None:
    before = set((toolchain.cache / "float").glob("*")) if (toolchain.cache / "float").is_dir() else set()
    one = toolchain.build(Candidate("a8w8"))
    other = toolchain.build(Candidate("a8w8", options=(("weights", "per_channel"),)))
    assert one.folder != other.folder
    assert len(set((toolchain.cache / "float").glob("*")) - before) <= 1
    lines = (other.folder / "commands.json").read_text()
    assert "snpe-onnx-to-dlc" not in lines
    assert "--use_per_channel_quantization" in lines


def test_a_known_build_starts_no_tool(toolchain: SnpeToolchain, lab: SnpeLab, graph: ModelGraph) -> None:
    first = toolchain.build(Candidate("a8w8"))
    again = SnpeToolchain(graph, toolchain.calibration, toolchain.cache, Tools(sdk=lab.sdk))
    said: list[str] = []
    again._builds.progress = said.append
    assert again.build(Candidate("a8w8")) == first
    assert said == []


def test_a_compiled_model_is_found_again_without_building(toolchain: SnpeToolchain) -> None:
    built = toolchain.build(Candidate("a8w8"))
    assert toolchain.known(Candidate("a8w8")) == built.dlc
    assert toolchain.known(Candidate("a8w8", options=(("equalization", "cle"),))) is None


def test_a_unit_whose_result_is_an_output_of_another_type_is_reported(toolchain: SnpeToolchain) -> None:
    built = toolchain.build(Candidate("a8w8", overrides=(("output:t18", A16W8),)))
    assert built.differs == {"Sigmoid_18": "a16w8"}


def test_another_model_dataset_or_chip_is_another_build(toolchain: SnpeToolchain, lab: SnpeLab) -> None:
    one = toolchain.build(Candidate("a8w8"))
    how = replace(toolchain.preparation, soc="qcs8550")
    there = SnpeToolchain(toolchain.graph, toolchain.calibration, toolchain.cache, Tools(sdk=lab.sdk), how)
    assert there.build(Candidate("a8w8")).folder != one.folder


def test_the_calibration_photographs_are_float_and_channels_last(toolchain: SnpeToolchain) -> None:
    toolchain.build(Candidate("a8w8"))
    (listing,) = toolchain.cache.glob("dataset-*/inputs.txt")
    name, _, path = listing.read_text().splitlines()[0].partition(":=")
    batch = next(iter(toolchain.calibration.batches(1)))
    assert name == "input"
    assert np.array_equal(np.fromfile(path, np.float32).reshape(32, 32, 3), batch[0].transpose(1, 2, 0))


def test_what_the_rules_refuse_starts_no_tool(toolchain: SnpeToolchain) -> None:
    with pytest.raises(CandidateError, match="per-channel") as caught:
        toolchain.build(Candidate("a16w16", options=(("weights", "per_channel"),)))
    assert caught.value.stage == "render"


def test_overrides_that_meet_no_tensor_are_a_failure_of_their_own(
    lab: SnpeLab, graph: ModelGraph, tmp_path: Path
) -> None:
    lab.faults.set(overrides_lost=9)
    try:
        with pytest.raises(BuiltDifferently, match="none of 3 overrides met a tensor"):
            made(lab, graph, tmp_path).build(Candidate("a8w8", overrides=(("Add_7", A16W8),)))
    finally:
        lab.faults.set()


@pytest.mark.parametrize("family", ["snpe", "qairt"])
def test_switches_that_the_quantizer_ignores_are_noticed(
    family: Family, lab: SnpeLab, toolchain: SnpeToolchain, tmp_path: Path
) -> None:
    candidate = Candidate("a8w8", options=(("weight_bits", "4"), ("weights", "per_channel"), ("bias_bits", "32")))
    chosen = replace(made(lab, toolchain.graph, tmp_path), tools=Tools(family=family, sdk=lab.sdk))
    lab.faults.set(flags_ignored=1)
    try:
        with pytest.raises(BuiltDifferently) as caught:
            chosen.build(candidate)
    finally:
        lab.faults.set()
    for words in (
        "8-bit weights instead of 4-bit ones",
        "one scale for the weights instead of a scale for each channel",
        "8-bit bias instead of 32-bit",
    ):
        assert f"Conv_0: {words}" in caught.value.message
    assert replace(chosen, cache=tmp_path / "again").build(candidate).dlc.is_file()


def test_tools_that_are_killed_hang_or_are_missing_are_told_apart(
    lab: SnpeLab, graph: ModelGraph, tmp_path: Path
) -> None:
    toolchain = made(lab, graph, tmp_path)
    assert toolchain.version.startswith("2.41")
    lab.faults.set(killed=1)
    try:
        with pytest.raises(TransientError, match="killed"):
            toolchain.build(Candidate("a16w8"))
    finally:
        lab.faults.set()
    assert toolchain.build(Candidate("a16w8")).dlc.is_file()
    absent = SnpeToolchain(graph, toolchain.calibration, tmp_path, Tools(sdk=tmp_path / "absent"))
    with pytest.raises(SetupError, match="no such program") as caught:
        absent.build(Candidate("a8w8"))
    assert "toolkit.sdk" in caught.value.hint


def test_a_folder_with_a_space_is_refused_at_once(toolchain: SnpeToolchain, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="separate files by spaces"):
        SnpeToolchain(toolchain.graph, toolchain.calibration, tmp_path / "my cache")


def test_a_bundle_takes_the_compiled_model_that_a_boards_study_left(lab: SnpeLab, tmp_path: Path) -> None:
    study = small_study(tmp_path)
    study.write_text(study.read_text().replace("of: uint8", "of: a8w8") + "search_space: snpe_a8_a16\n")
    board, cache = lab.board_file("local"), tmp_path / "cache"
    bench = open_bench(config.load(study), target=str(board))
    assert bench.compiled(Candidate("a8w8"), cache=cache) is None
    photos = photo_set(bench.study, bench.graph, "calibration")
    built = toolchain_of(spec.load(Path(board)), bench.graph, photos, cache=cache).build(Candidate("a8w8"))
    found = bench.compiled(Candidate("a8w8"), cache=cache)
    assert found == built.dlc
    bench.render(Candidate("a8w8"), compiled=found).blobs["model.dlc"](tmp_path / "model.dlc")
    assert (tmp_path / "model.dlc").read_bytes() == built.dlc.read_bytes()
