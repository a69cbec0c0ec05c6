"""The toolchain and a board through the lab: what is built is what was asked, what runs there is what the simulator
says, and whatever goes wrong becomes the right kind of failure."""

from __future__ import annotations

import re
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from lab_world import DOORS, IO, MIXED, World, needs

from mpsearch.candidate import Algorithm, Candidate, DataType
from mpsearch.device import opening, spec
from mpsearch.device.board import DeviceBoard
from mpsearch.errors import CandidateError, ConfigError, SetupError, TransientError
from mpsearch.evaluate import Artifact
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.read import read
from mpsearch.images import PhotoSet, Preprocess, find
from mpsearch.quant.simulator import Simulator
from mpsearch.testing.lab.bench import Lab
from mpsearch.toolchain.synap import conversions
from mpsearch.toolchain.synap.command import Command
from mpsearch.toolchain.synap.driver import BuiltDifferently, SynapArtifact
from mpsearch.transport.base import RemoteTimeout

pytestmark = pytest.mark.usefixtures("faults")


def candidates(graph: ModelGraph) -> list[Candidate]:
    output = graph.outputs[0]
    cut = ((output, graph.cut_points[output][-1]),)
    return [
        Candidate("uint8"),
        Candidate("int16"),
        Candidate("int8-dfp", Algorithm.KL_DIVERGENCE),
        Candidate("int16", overrides=(("Conv_0", DataType.UINT8), ("Conv_3", DataType.UINT8))),
        MIXED,
        replace(MIXED, cuts=cut),
        Candidate("uint8", dropped=(graph.outputs[1],)),
    ]


@pytest.mark.parametrize("kind", DOORS)
def test_a_board_answers_what_the_simulator_says_for_the_types_that_were_built(world: World, kind: str) -> None:
    needs(kind)
    base = world.lab.folder / f"alone-{kind}"
    target = world.open(kind, base=str(base))
    simulator = Simulator(world.graph, world.photos, world.photos, threads=1)
    for candidate in candidates(world.graph)[:: 1 if kind == "local" else 3]:
        artifact = target.toolchain.build(candidate)
        assert artifact.types == world.graph.assign(candidate)
        device = list(target.executor.batches(artifact))
        host = list(simulator.batches(Artifact(candidate, artifact.types)))
        assert set(device[0]) == set(host[0])
        for name in device[0]:
            np.testing.assert_array_equal(
                np.concatenate([batch[name] for batch in device]), np.concatenate([batch[name] for batch in host])
            )
        timing = target.board.time(artifact)
        assert timing.source == "board"
        assert timing.board == f"lab-{kind}"
        assert len(timing.samples_ms) >= 7
    target.board.close()
    assert list(base.iterdir()) == []  # nothing stays on the board


def test_python_on_the_board_gives_the_same_outputs_from_one_load(world: World) -> None:
    artifact = world.open("local").toolchain.build(MIXED)
    (by_tool,) = world.open("local").executor.batches(artifact)
    world.lab.has_python(True)
    try:
        (by_python,) = world.open("local").executor.batches(artifact)
        world.lab.faults.set(npu_reserved=1)
        with pytest.raises(TransientError, match="NPU unavailable"):
            list(world.open("local").executor.batches(artifact))
    finally:
        world.lab.has_python(False)
    for name, values in by_tool.items():
        np.testing.assert_array_equal(values, by_python[name])


def test_float16_is_left_unquantized_and_runs(world: World) -> None:
    target = world.open("local")
    artifact = target.toolchain.build(Candidate("float16"))
    assert set(artifact.types.values()) == {DataType.FLOAT16}
    assert len(list(target.executor.batches(artifact))) == 1


def test_every_mixed_candidate_reaches_its_types_through_the_layer_ids_of_a_probe(world: World) -> None:
    toolchain = world.toolchain(world.cache / "synap")
    units = [unit.name for unit in world.graph.compute_units]
    for kinds in range(1, 2 ** len(units), 37):
        overrides = tuple((unit, DataType.INT16) for bit, unit in enumerate(units) if kinds >> bit & 1)
        rendered = toolchain.render(Candidate("uint8", overrides=overrides))
        assert rendered.unresolved == ()
        assert rendered.candidate.overrides == overrides or dict(rendered.candidate.overrides) == dict(overrides)


def test_a_conversion_is_made_once_and_another_process_finds_it(world: World, tmp_path: Path) -> None:
    seen: list[str] = []
    first = world.toolchain(tmp_path, progress=seen.append)
    made = first.build(Candidate("uint8"))
    assert "Quantizing... 50%" in seen
    seen.clear()
    again = world.toolchain(tmp_path, progress=seen.append).build(Candidate("uint8"))
    assert again.model == made.model
    assert seen == []
    assert again.build_s > 0
    assert (made.folder / "convert.log").read_text().startswith("$ ")


def test_the_cache_knows_everything_that_decides_a_conversion(world: World, tmp_path: Path) -> None:
    def model(**more: object) -> Path:
        return world.toolchain(tmp_path, **more).build(Candidate("uint8")).model

    fewer = PhotoSet(world.photos.paths[:2], world.photos.preprocess)
    made = [model(calibration=fewer), model(target="VS640"), model(io=replace(IO, scale=128.0))]
    assert len(set(made)) == 3
    assert len({path.read_bytes() for path in made}) == 3


def test_conversions_side_by_side_do_not_meet(world: World, tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def build(base: str) -> None:
        try:
            world.toolchain(tmp_path).build(Candidate(base))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=build, args=(base,)) for base in ("uint8", "uint8")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        ("refused-type", CandidateError, "DFP INT16, ASYM UINT8"),
        ("shared-folder", TransientError, "Read file to buffer failed|Fatal model compilation error: 512"),
        ("killed", TransientError, "killed"),
        ("wrong-exit", CandidateError, "exit code 1"),
        ("wrong-types", BuiltDifferently, "other types than asked: .*uint8 instead of int16"),
        ("swapped-outputs", BuiltDifferently, "output 0 is"),
    ],
)
def test_a_conversion_that_goes_wrong_is_the_right_kind_of_failure(
    world: World, tmp_path: Path, fault: str, error: type[Exception], words: str
) -> None:
    # What was built wrongly is kept like any conversion, so it must not get into the common cache.
    toolchain = world.toolchain(tmp_path if error is BuiltDifferently else world.cache / "synap")
    toolchain.build(Candidate("uint8"))  # the probe
    world.lab.faults.set(**{fault.replace("-", "_"): -1})
    with pytest.raises(error, match=words):
        toolchain.build(Candidate("uint8", overrides=(("Conv_17", DataType.INT16),)))


def test_a_fatal_line_of_the_compiler_counts_only_when_it_comes_twice(world: World, tmp_path: Path) -> None:
    world.lab.faults.set(fatal_once=1)
    toolchain = world.toolchain(tmp_path)
    toolchain.build(Candidate("uint8"))
    world.lab.faults.set(fatal_once=2)
    with pytest.raises(CandidateError, match="bias_scale"):
        toolchain.build(Candidate("int16"))


def test_a_hanging_converter_is_stopped(world: World, tmp_path: Path) -> None:
    toolchain = world.toolchain(tmp_path, timeout_s=2.0)
    assert toolchain.version == "3.2.0"
    world.lab.faults.set(hang=1)
    with pytest.raises(TransientError, match="did not finish within 2 s") as error:
        toolchain.build(Candidate("uint8"))
    assert "convert.log" in error.value.message


def test_a_missing_toolkit_says_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="no such program") as error:
        conversions.ask_version(Command(("no-synap-here",)), tmp_path)
    assert "not PyPI's" in error.value.hint
    with pytest.raises(SetupError, match="ended with 1"):
        conversions.ask_version(Command(("false",)), tmp_path)


def test_a_cache_folder_with_a_space_is_refused_before_anything_runs(world: World, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="space in its name"):
        world.toolchain(tmp_path / "my cache")


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        ("npu-reserved", TransientError, "NPU unavailable"),
        ("garbage", TransientError, "no line like"),
        ("killed", TransientError, "signal 9"),
        ("wrong-exit", TransientError, "ended with code 1"),
    ],
)
def test_a_run_that_goes_wrong_is_transient_and_the_next_one_works(
    world: World, fault: str, error: type[Exception], words: str
) -> None:
    target = world.open("local")
    artifact = target.toolchain.build(Candidate("uint8"))
    world.lab.faults.set(**{fault.replace("-", "_"): 1})
    with pytest.raises(error, match=words):
        target.board.time(artifact)
    assert target.board.time(artifact).median_ms > 0


def test_a_hanging_run_ends_and_the_board_is_free_again(world: World) -> None:
    target = world.open("local", timeout_s=1.0)
    artifact = target.toolchain.build(Candidate("uint8"))
    world.lab.faults.set(hang=1)
    with pytest.raises(RemoteTimeout):
        target.board.time(artifact)
    assert not (world.lab.base / "lease").exists()


def test_a_model_that_does_not_load_is_the_candidates_fault(world: World, tmp_path: Path) -> None:
    broken = tmp_path / "model.synap"
    broken.write_bytes(b"not a zip")
    board = world.open("local").board
    assert isinstance(board, DeviceBoard)
    with pytest.raises(CandidateError, match="Failed to load model file"):
        board.time_model(broken)


def test_throttling_shows_in_the_interval(world: World) -> None:
    target = world.open("local")
    artifact = target.toolchain.build(Candidate("uint8"))
    calm = target.board.time(artifact)
    world.lab.faults.set(throttling=-1)
    hot = target.board.time(artifact)
    assert hot.median_ms > 1.05 * calm.median_ms
    assert hot.conditions["stopped"] != "narrow"


def test_what_dead_holders_left_is_removed(world: World) -> None:
    target = world.open("local")
    left = world.lab.base / "trial-0123"
    left.mkdir()
    target.board.time(target.toolchain.build(Candidate("uint8")))
    assert not left.exists()
    target.board.close()


def test_a_board_runs_compiled_models_only(world: World) -> None:
    target = world.open("local")
    with pytest.raises(SetupError, match="compiled models"):
        target.board.time(Artifact(Candidate(), {}))


def test_the_vendors_detector_agrees_within_whole_pixels(lab: Lab, shared: Path, tmp_path: Path) -> None:
    from mpsearch.device.runtime.od import compare
    from mpsearch.images import load_rgb
    from mpsearch.scoring import decoders
    from mpsearch.scoring.faces import detect

    graph = read(shared / "data/models/yolov5n-0.5-face_480x640.onnx")
    preprocess = Preprocess(480, 640)
    calibration = PhotoSet(find(shared / "data/images/calib"), preprocess, limit=2)
    picture = shared / "data/images/eval/02_misc_astronaut.png"
    evaluation = PhotoSet([picture], preprocess)
    anchors = "[[],[],[],[4,5,8,10,13,16],[23,29,43,55,73,105],[146,217,231,300,335,433]]"
    form = f"yolov5 landmarks=5 transposed=1 anchors={anchors}"
    io = replace(IO, output_format=form)
    target = opening.open(lab.board_file("local"), graph, calibration, evaluation, io, cache=tmp_path)
    artifact = target.toolchain.build(Candidate("int16"))
    assert isinstance(artifact, SynapArtifact)
    assert artifact.info.outputs[0].format == form
    board = target.board
    assert isinstance(board, DeviceBoard)
    (found,) = board.detect(artifact, [picture], threshold=0.4)
    (outputs,) = target.executor.batches(artifact)
    faces = detect(decoders.create("yolov5-face", graph, {"threshold": 0.4}), outputs)
    agreement = compare(found, faces, load_rgb(picture).shape[:2], (480, 640))
    assert agreement.matched == len(found) >= 1
    assert agreement.only_here == 0
    assert agreement.worst_px < 1.0


def test_a_board_file_with_a_wrong_field_names_the_nearest(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "board.yaml"
    path.write_text("name: b\ntarget: vs680\ntransport: {kind: ssh, hots: 1.2.3.4}\n")
    with pytest.raises(ConfigError, match="did you mean 'host'"):
        spec.load(path)
    path.write_text("name: b\ntarget: vs680\ntransport: {kind: adb, host: x}\n")
    with pytest.raises(ConfigError, match="not for adb"):
        spec.load(path)
    assert spec.is_spec(str(path))
    path.write_text("vendor: verisilicon\n")
    assert not spec.is_spec(str(path))


def test_the_doctor_names_what_is_there_and_what_is_missing(lab: Lab, tmp_path: Path) -> None:
    from mpsearch.device.checks import check

    found = {row.name: row for row in check(spec.load(lab.board_file("local")), cache=tmp_path)}
    assert all(row.ok for row in found.values())
    assert found["SyNAP toolkit"].found == "3.2.0"
    assert found["synap_cli"].found == "SyNAP 3.2.0"
    assert "MB free" in found["work folder"].found
    broken = lab.board_file("local", cli="/nowhere/synap_cli", toolkit={"command": "no-synap-here"})
    missing_ones = {row.name: row for row in check(spec.load(broken), cache=tmp_path) if not row.ok}
    assert set(missing_ones) == {"SyNAP toolkit", "synap_cli"}
    assert all(row.hint for row in missing_ones.values())


def test_the_example_and_the_page_describe_every_field(root: Path, tmp_path: Path) -> None:
    assert spec.load(root / "boards" / "example.yaml").target == "SL1680"
    page = (root / "docs" / "boards-real.md").read_text()
    block = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)[0]
    (tmp_path / "b.yaml").write_text(block)
    assert spec.load(tmp_path / "b.yaml").toolkit.docker
    fields = {"path"}
    for name, field in spec.BoardSpec.model_fields.items():
        inner = getattr(field.annotation, "model_fields", None)
        fields |= {f"{name}.{key}" for key in inner} if inner else {name}
    here = documented(page)
    assert here <= fields
    assert fields - {"path"} <= here | documented((root / "docs" / "snpe.md").read_text())


def documented(page: str) -> set[str]:
    """The fields in the first column of a page's tables; in `a.b`, `c` the second is `a.c`."""
    found = set()
    for cell in re.findall(r"^\| ((?:`[\w.]+`(?:, )?)+) \|", page, re.MULTILINE):
        first, *more = re.findall(r"[\w.]+", cell)
        group = first.rpartition(".")[0]
        found |= {first, *(name if "." in name or not group else f"{group}.{name}" for name in more)}
    return found
