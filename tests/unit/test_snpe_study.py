"""A study, a target and a board's file that do not belong together are told so before anything is measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpsearch import config
from mpsearch.candidate import Candidate, DataType
from mpsearch.device import spec
from mpsearch.errors import ConfigError
from mpsearch.testing.studies import small_study
from mpsearch.toolchain.snpe.bundle import SnpeBundle
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
