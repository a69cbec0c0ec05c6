"""A study, a target and a board's file that do not belong together are told so before anything is measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpsearch import config
from mpsearch.candidate import Candidate, DataType
from mpsearch.device import spec
from mpsearch.errors import CandidateError, ConfigError
from mpsearch.testing.studies import small_study
from mpsearch.toolchain.simulated import SimulatedToolchain
from mpsearch.toolchain.snpe.bundle import SnpeBundle
from mpsearch.toolchain.snpe.rules import illegal
from mpsearch.toolchain.snpe.tools import VARIABLES
from mpsearch.workbench import open_bench

BOARD = "target: rvc4\ntransport: {kind: local}\n"


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = small_study(tmp_path)
    text = path.read_text().replace("of: uint8", "of: a8w8")
    path.write_text(text + "target: rvc4\nsearch_space: snpe_a8_a16\n")
    return path


@pytest.fixture(autouse=True)
def _no_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_a_space_of_synaps_types_is_refused_for_rvc4_with_the_one_to_take(study: Path) -> None:
    study.write_text(study.read_text().replace("snpe_a8_a16", "synap_int8_int16"))
    with pytest.raises(ConfigError, match="search_space: uint8 is no type of rvc4") as caught:
        open_bench(config.load(study))
    assert "search_space: snpe_a8_a16" in caught.value.hint


def test_a_budget_of_the_other_vendors_type_is_refused(study: Path) -> None:
    study.write_text(study.read_text().replace("of: a8w8", "of: uint8"))
    with pytest.raises(ConfigError, match=r"budget\.of: uint8 is no type of rvc4"):
        open_bench(config.load(study))


def test_snpes_types_are_refused_for_synaps_boards(study: Path) -> None:
    with pytest.raises(ConfigError, match="search_space: a8w8 is no type of vs680"):
        open_bench(config.load(study), target="vs680")


SPACE = "vendor: snpe\nbases: [a8w8, fp16]\ntypes: [a16w8]\noptions: {options}\n"


def with_options(study: Path, options: str) -> Path:
    """The study with a space of its own, with these options."""
    (study.parent / "space.yaml").write_text(SPACE.format(options=options))
    study.write_text(study.read_text().replace("snpe_a8_a16", "space.yaml"))
    return study


def test_a_simulated_board_leaves_out_what_only_a_real_one_can_tell(study: Path, tmp_path: Path) -> None:
    with_options(study, "{runtime: [dsp, gpu], perf_profile: [burst, balanced], bias_bits: ['8', '32']}")
    said: list[str] = []
    bench = open_bench(config.load(study), say=said.append)
    assert list(bench.space.options) == ["bias_bits"]
    assert said == [
        "note: space: perf_profile is left out: the simulated rvc4 has no clocks; it needs a real board",
        "note: space: runtime is left out: the simulated rvc4 knows dsp alone; it needs a real board",
    ]
    board = tmp_path / "board.yaml"
    board.write_text(BOARD)
    real = open_bench(config.load(study), target=str(board), say=said.append)
    assert list(real.space.options) == ["runtime", "perf_profile", "bias_bits"]
    assert len(said) == 2


def test_a_simulated_board_refuses_a_space_without_its_own_runtime(study: Path) -> None:
    with_options(study, "{runtime: [gpu, cpu]}")
    with pytest.raises(ConfigError, match="runtime: gpu, cpu: the simulated rvc4 knows dsp alone") as caught:
        open_bench(config.load(study))
    assert "--target board.yaml" in caught.value.hint


@pytest.mark.parametrize("option", [("runtime", "gpu"), ("perf_profile", "burst")])
def test_a_candidate_for_another_runtime_or_clock_has_no_simulated_latency(
    option: tuple[str, str], study: Path
) -> None:
    graph = open_bench(config.load(study)).graph
    toolchain = SimulatedToolchain(graph, illegal)
    assert toolchain.build(Candidate("fp16")).types
    with pytest.raises(CandidateError, match=f"{option[0]} {option[1]}: the cost model of a simulated board knows"):
        toolchain.build(Candidate("fp16", options=(option,)))


def test_qairts_flags_are_refused_for_a_board_with_the_other_quantizer(study: Path, tmp_path: Path) -> None:
    study.write_text(study.read_text().replace("snpe_a8_a16", "snpe_qairt"))
    board = tmp_path / "board.yaml"
    board.write_text(BOARD)
    with pytest.raises(ConfigError, match="act_schema, param_schema: snpe-dlc-quant has no such flags") as caught:
        open_bench(config.load(study), target=str(board))
    assert "toolkit.tools: qairt" in caught.value.hint
    board.write_text(BOARD + "toolkit: {tools: qairt}\n")
    assert open_bench(config.load(study), target=str(board)).space.options["weight_bits"] == ("8", "4")


def test_a_bench_renders_what_the_boards_file_says(study: Path, tmp_path: Path) -> None:
    board = tmp_path / "board.yaml"
    board.write_text(BOARD + "toolkit: {tools: qairt, soc: qcs8550, encodings: 1.0.0}\n")
    bench = open_bench(config.load(study), target=str(board))
    mixed = Candidate("a8w8", overrides=((bench.graph.compute_units[0].name, DataType.A16W8),))
    rendered = bench.render(mixed)
    assert isinstance(rendered, SnpeBundle)
    assert rendered.commands[0][0] == "qairt-converter"
    assert "--htp_socs=qcs8550" in rendered.commands[2]
    assert '"version": "1.0.0"' in rendered.texts["overrides.json"]


def test_a_boards_file_finds_its_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    board = tmp_path / "board.yaml"
    board.write_text(BOARD + "toolkit: {sdk: qairt/2.32.6}\n")
    loaded = spec.load(board)
    assert (loaded.runtime, loaded.target) == ("snpe", "rvc4")
    assert loaded.toolkit.make_snpe().sdk == tmp_path / "qairt/2.32.6"
    board.write_text(BOARD)
    assert spec.load(board).toolkit.make_snpe().sdk is None
    monkeypatch.setenv("QNN_SDK_ROOT", "/opt/qairt")
    assert spec.load(board).toolkit.make_snpe().sdk == Path("/opt/qairt")
    board.write_text(BOARD + "toolkit: {docker: 'ghcr.io/luxonis/modelconverter-rvc4:2.41.0-latest'}\n")
    assert spec.load(board).toolkit.make_snpe().sdk is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("target: VS680\ntransport: {kind: local}\ntoolkit: {sdk: /opt}\n", "sdk: not for SyNAP's toolkit"),
        ("target: rvc5\ntransport: {kind: local}\n", "unknown target"),
        (BOARD + "runtime: synap\n", "unknown target 'rvc4' for synap"),
        (BOARD + "toolkit: {soc: sm9999}\n", "soc"),
        (BOARD + "toolkit: {docker: a, sdk: /opt}\n", "docker"),
    ],
)
def test_a_wrong_boards_file_is_explained(text: str, words: str, tmp_path: Path) -> None:
    board = tmp_path / "board.yaml"
    board.write_text(text)
    with pytest.raises(ConfigError, match=words):
        spec.load(board)
