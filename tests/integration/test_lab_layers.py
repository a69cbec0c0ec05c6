"""Layer names: what a probe conversion tells, in whichever way, and what becomes of a unit that it cannot tell."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from lab_world import IO, World

from mpsearch.candidate import Candidate, DataType
from mpsearch.errors import CandidateError, ConfigError, SetupError
from mpsearch.testing.lab import convert, faults, listing
from mpsearch.toolchain.synap.driver import BuiltDifferently, SynapToolchain
from mpsearch.toolchain.synap.layers import read_map
from mpsearch.toolchain.synap.metafile import render

pytestmark = pytest.mark.usefixtures("faults")


def probed(world: World, cache: Path) -> tuple[SynapToolchain, Path]:
    """A toolchain whose probe has been made, and the folder with the probe's listings."""
    toolchain = world.toolchain(cache)
    folder = toolchain.build(Candidate("uint8")).folder
    return toolchain, folder


def units(world: World) -> list[str]:
    return [unit.name for unit in world.graph.compute_units]


def mixed(world: World) -> Candidate:
    return Candidate("uint8", overrides=tuple((name, DataType.INT16) for name in units(world)[::2]))


def entropy_only(folder: Path) -> None:
    ids = re.findall(r"^  '@(.+:out0)':", (folder / "quantization_info.yaml").read_text(), re.MULTILINE)
    (folder / "quantization_entropy.txt").write_text(listing.entropy(dict.fromkeys(ids, 0.5)))
    (folder / "quantization_info.yaml").write_text("version: 2\nquantize_parameters: {}\n")


def nothing(folder: Path) -> None:
    (folder / "quantization_info.yaml").unlink()


@pytest.mark.parametrize("change", [lambda folder: None, entropy_only, nothing], ids=["table", "entropy", "complaint"])
def test_ids_come_from_the_table_the_entropies_or_what_a_wrong_id_makes_the_toolkit_say(
    world: World, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    expected = world.toolchain().layers(mixed(world)).ids
    toolchain, folder = probed(world, tmp_path)
    change(folder)
    assert toolchain.layers(mixed(world)).ids == expected
    assert toolchain.render(mixed(world)).unresolved == ()


def test_listings_of_another_network_are_a_setup_fault(world: World, tmp_path: Path) -> None:
    toolchain, folder = probed(world, tmp_path)
    (folder / "quantization_info.yaml").write_text("'@Conv_other_1:out0': x\n")
    with pytest.raises(SetupError, match="none of the network's"):
        toolchain.layers(mixed(world))


def doubled(text: str, lid: str) -> str:
    """The listing with a second layer of the same node."""
    return re.sub(
        rf"^(  '@){re.escape(lid)}(:out0': *\n(?:    .*\n)+)", rf"\g<0>\g<1>{lid[:-1]}999\g<2>", text, flags=re.M
    )


@pytest.mark.parametrize("twice", [True, False])
def test_a_unit_that_maps_twice_or_not_at_all_is_never_named_and_left_at_its_base(
    world: World, tmp_path: Path, twice: bool
) -> None:
    _, folder = probed(world, tmp_path)
    table = (folder / "quantization_info.yaml").read_text()
    found = read_map(table, world.graph, Candidate())
    left = []
    for name in (name for name in units(world) if name in found.ids):
        lid = found.ids[name]
        gone = "\n".join(line for line in table.splitlines() if f"@{lid}:" not in line)
        other = read_map(doubled(table, lid) if twice else gone, world.graph, Candidate())
        assert name not in other.ids
        made = render(
            world.graph, Candidate("uint8", overrides=((name, DataType.INT16),)), IO, target="VS680", model_path="m",
            layer_ids=other.ids, doubtful=other.doubtful(),
        )  # fmt: skip
        assert f"    {name}:" not in made.text
        assert lid not in made.text
        for item in made.unresolved:  # the others are reached by a tail, which names what lies before them
            assert item.unit == name
            said = f"several layers of it: {lid}" if twice else "the engine has no layer of it"
            assert said in item.reason
            assert made.candidate.type_of(name) is DataType.UINT8
            left.append(name)
    assert left


def test_another_delegate_than_asked_is_built_differently(world: World, tmp_path: Path) -> None:
    toolchain = world.toolchain(tmp_path)
    asked = Candidate("uint8", options=(("delegate", "gpu"),))
    artifact = toolchain.build(asked)
    assert artifact.info.delegate == "gpu"
    assert "delegate: gpu\n" in (artifact.folder / "metafile.yaml").read_text()
    info = artifact.folder / "model_info.txt"
    info.write_text(info.read_text().replace("delegate: gpu", "delegate: npu"))
    with pytest.raises(BuiltDifferently, match="built for the npu, asked for the gpu"):
        toolchain.build(asked)


def test_a_delegate_is_slower_on_the_board_and_another_conversion(world: World, tmp_path: Path) -> None:
    board = world.board()
    times = {
        name: board.time(world.toolchain().build(Candidate("uint8", options=(("delegate", name),)))).median_ms
        for name in ("npu", "cpu")
    }
    assert times["cpu"] > 2 * times["npu"]


def test_options_of_another_vendor_are_refused_before_anything_runs(world: World) -> None:
    with pytest.raises(CandidateError, match="SyNAP has no option runtime"):
        world.toolchain().build(Candidate("uint8", options=(("runtime", "cpu"),)))
    with pytest.raises(CandidateError, match="SyNAP has no type a8w8"):
        world.toolchain().build(Candidate("a8w8"))


def test_the_study_fixes_a_delegate_for_all_candidates(world: World) -> None:
    made = world.toolchain(io=replace(IO, delegate="cpu", mode="full", data_layout="nchw"))
    artifact = made.build(Candidate("uint8"))
    assert artifact.info.delegate == "cpu"
    with pytest.raises(ConfigError, match="nearest: 'gpu'"):
        world.toolchain(io=replace(IO, delegate="gppu")).build(Candidate("uint8"))


def test_two_conversions_that_are_started_in_one_folder_destroy_each_other(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Why each conversion has a start folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(faults.VARIABLE, str(world.lab.folder))
    (tmp_path / "work_nbg_unify").mkdir()  # what another one is just building
    words = ["--model", str(world.graph.path), "--target", "VS680", "--out-dir", "out"]
    assert convert.main(words) == 1
    assert "Fatal model compilation error: 512" in capsys.readouterr().err
