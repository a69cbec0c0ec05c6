"""SNPE's toolchain and a board through the lab: what runs there is what the simulator says, and whatever goes wrong
becomes the right kind of failure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from mpsearch.board.cost import estimate
from mpsearch.board.profile import load as load_profile
from mpsearch.board.targets import Target
from mpsearch.candidate import Candidate, DataType
from mpsearch.device import checks, opening, spec
from mpsearch.device.snpe import commands, replies
from mpsearch.device.snpe.board import SnpeBoard
from mpsearch.device.snpe.executor import SnpeExecutor
from mpsearch.errors import CandidateError, ConfigError, MpsearchError, SetupError, TransientError
from mpsearch.evaluate import Artifact
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.read import read
from mpsearch.images import PhotoSet, Preprocess, find
from mpsearch.quant.simulator import Simulator
from mpsearch.testing.lab.bench import missing
from mpsearch.testing.lab.snpe.bench import SnpeLab
from mpsearch.testing.models import save, small_detector
from mpsearch.testing.studies import pictures
from mpsearch.toolchain.snpe.artifact import BuiltDifferently, SnpeArtifact
from mpsearch.transport.base import RemoteTimeout

QUICK = {"warm_up": 0, "least": 1, "most": 1, "reference_s": None}
A8W8 = Candidate("a8w8")
MIXED = Candidate(
    "a8w8",
    overrides=(("Conv_9", DataType.A16W8), ("Conv_14", DataType.A16W16), ("Add_7", DataType.FLOAT16)),
)
SIGMOID = Candidate("a8w8", overrides=(("Sigmoid_18", DataType.A16W8), ("output:t18", DataType.A16W8)))
CUT = Candidate("a8w8", cuts=(("t16", ("t14",)),), options=(("weights", "per_channel"),))


@dataclass(frozen=True)
class World:
    lab: SnpeLab
    graph: ModelGraph
    photos: PhotoSet
    cache: Path

    def open(self, kind: str, **more: object) -> Target:
        path = self.lab.board_file(kind, **{"timing": QUICK, **more})
        return opening.open(path, self.graph, self.photos, self.photos, None, cache=self.cache)

    @property
    def simulator(self) -> Simulator:
        return Simulator(self.graph, self.photos, self.photos, cache=self.cache, threads=1)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("snpe")
    pictures(folder / "photos", 3, seed=1)
    graph = read(save(small_detector(), folder / "model.onnx"))
    with SnpeLab(folder / "lab") as lab:
        yield World(lab, graph, PhotoSet(find(folder / "photos"), Preprocess(32, 32)), folder / "cache")


@pytest.fixture
def target(world: World) -> Iterator[Target]:
    opened = world.open("local")
    yield opened
    opened.board.close()
    world.lab.faults.set()


def needs(kind: str) -> None:
    if reason := missing({"ssh": "sshd", "adb": "adb"}[kind]) if kind != "local" else "":
        pytest.skip(reason)


def outputs(target: Target, artifact: Artifact) -> dict[str, np.ndarray]:
    batches = list(target.executor.batches(artifact))
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def built(target: Target, candidate: Candidate = A8W8) -> SnpeArtifact:
    artifact = target.toolchain.build(candidate)
    assert isinstance(artifact, SnpeArtifact)
    return artifact


@pytest.mark.parametrize("candidate", [A8W8, MIXED, SIGMOID, CUT], ids=["a8w8", "mixed", "sigmoid", "cut"])
def test_the_board_computes_what_the_simulator_computes_to_the_last_bit(
    world: World, target: Target, candidate: Candidate
) -> None:
    artifact = built(target, candidate)
    board = outputs(target, artifact)
    here = [dict(batch) for batch in world.simulator.batches(artifact)]
    for name in world.graph.outputs:
        assert np.array_equal(board[name], np.concatenate([batch[name] for batch in here])), name


@pytest.mark.parametrize("kind", ["ssh", "adb"])
def test_every_door_leads_to_the_same_outputs_and_leaves_nothing_behind(world: World, kind: str) -> None:
    needs(kind)
    base = world.lab.folder / f"base-{kind}"
    near, far = world.open("local"), world.open(kind, base=str(base))
    artifact = built(near, MIXED)
    here, there = outputs(near, artifact), outputs(far, artifact)
    assert all(np.array_equal(here[name], there[name]) for name in here)
    timing = far.board.time(artifact)
    near.board.close()
    far.board.close()
    assert timing.source == "board"
    assert list(base.iterdir()) == []


def test_the_time_is_the_throughput_of_the_cost_model(world: World, target: Target) -> None:
    artifact = built(target, MIXED)
    timing = target.board.time(artifact)
    model_ms = estimate(load_profile("rvc4"), world.graph, MIXED, artifact.types).total_ms
    assert model_ms <= timing.median_ms <= 1.03 * model_ms
    assert timing.conditions["perf_profile"] == "balanced"
    assert timing.conditions["dsp_mhz"] == "1382"
    assert timing.conditions["snpe"].startswith("2.41.0.")
    assert timing.conditions["tool"] == "snpe-throughput-net-run, 1 thread(s)"


def test_runtime_and_perf_profile_are_the_candidates(target: Target) -> None:
    plain = target.board.time(built(target))
    burst = target.board.time(built(target, Candidate("a8w8", options=(("perf_profile", "burst"),))))
    gpu = target.board.time(built(target, Candidate("fp16", options=(("runtime", "gpu"),))))
    assert burst.median_ms < 0.9 * plain.median_ms
    assert gpu.conditions["runtime"] == "gpu"
    assert gpu.median_ms > 2 * plain.median_ms


def test_parallel_runs_and_threads_measure_the_same_model(world: World, target: Target) -> None:
    artifact = built(target)
    one = target.board.time(artifact).median_ms
    snpe = {"tools": str(world.lab.tools), "sysmon": "none"}
    parallel = world.open("local", snpe={**snpe, "measure": "parallel"})
    two = world.open("local", snpe={**snpe, "threads": 2})
    assert parallel.board.time(artifact).median_ms == pytest.approx(one, rel=0.03)
    twice = two.board.time(artifact)
    assert twice.median_ms == pytest.approx(one / 1.8, rel=0.03)
    assert "dsp_mhz" not in twice.conditions


def test_power_and_temperature_are_recorded_where_the_kernel_tells_them(world: World, tmp_path: Path) -> None:
    for place, value in (("hwmon/hwmon0/power1_input", "4200000"), ("thermal/thermal_zone92/temp", "51300")):
        (tmp_path / "class" / place).parent.mkdir(parents=True)
        (tmp_path / "class" / place).write_text(f"{value}\n")
    opened = world.open("local", snpe={"tools": str(world.lab.tools), "sys": str(tmp_path)})
    conditions = opened.board.time(built(opened)).conditions
    assert conditions["power_hwmon0_w"] == "4.2"
    assert conditions["temperature_c"] == "51.3 to 51.3"


def test_layers_are_profiled_in_cycles_under_the_networks_own_names(world: World, target: Target) -> None:
    assert isinstance(target.board, SnpeBoard)
    found = target.board.profile(built(target, MIXED), runs=2)
    names = {layer.name for layer in found.layers}
    assert {node.name for node in world.graph.nodes} <= names
    assert {layer.unit for layer in found.layers} == {"cycles"}
    assert all(len(layer.samples) == 2 for layer in found.layers)
    assert next(layer for layer in found.layers if layer.name == "Conv_9").samples[0] > 0
    world.lab.faults.set(old_log=-1)  # SNPEDiag_0.log
    assert len(target.board.profile(built(target, MIXED), runs=2).layers) == len(found.layers)


def test_names_with_slashes_are_folders_made_when_the_tool_does_not(world: World, tmp_path: Path) -> None:
    model = small_detector()
    for node in model.graph.node:
        for index, name in enumerate(node.output):
            if name in ("t16", "t18"):
                node.output[index] = f"/head.{name}/deep/out"
    for output in model.graph.output:
        output.name = f"/head.{output.name}/deep/out"
    graph = read(save(model, tmp_path / "slashes.onnx"))
    path = world.lab.board_file("local")
    opened = opening.open(path, graph, world.photos, world.photos, None, cache=tmp_path / "cache")
    artifact = opened.toolchain.build(A8W8)
    want = outputs(opened, artifact)
    world.lab.faults.set(no_folders=-1)
    again = outputs(opened, artifact)
    world.lab.faults.set()
    assert all(np.array_equal(want[name], again[name]) for name in want)
    assert set(want) == {"/head.t16/deep/out", "/head.t18/deep/out"}


WHEN_BUILDING = [
    ({"overrides_lost": -1}, BuiltDifferently, "overrides"),
    ({"killed": -1}, MpsearchError, "snpe-onnx-to-dlc"),
]


@pytest.mark.parametrize(("faults", "kind", "said"), WHEN_BUILDING)
def test_a_build_that_goes_wrong_is_told_from_a_candidates_fault(
    world: World, tmp_path: Path, faults: dict[str, int], kind: type[MpsearchError], said: str
) -> None:
    opened = world.open("local", toolkit={"sdk": str(world.lab.sdk), "work": str(tmp_path)})
    world.lab.faults.set(**faults)
    try:
        with pytest.raises(kind, match=said):
            opened.toolchain.build(MIXED)
    finally:
        world.lab.faults.set()


def test_an_input_that_is_counted_twice_is_no_failure(world: World, tmp_path: Path) -> None:
    opened = world.open("local", toolkit={"sdk": str(world.lab.sdk), "work": str(tmp_path)})
    world.lab.faults.set(input_counts_twice=1)
    try:
        assert built(opened, MIXED).types["Conv_9"] is DataType.A16W8
    finally:
        world.lab.faults.set()


WHEN_SCORING = [
    ({"batches_inputs": 1}, replies.BuffersWrong, "2 files for one inference"),
    ({"short_output": 1}, replies.BuffersWrong, "bytes"),
    ({"no_success_line": 1}, TransientError, "does not say that it succeeded"),
    ({"out_of_memory": 1}, replies.OutOfMemory, "out of memory"),
    ({"segmentation": 1}, replies.Crashed, "139"),
    ({"dsp_crashed": 1}, replies.Crashed, "911"),
    ({"wrong_exit": 1}, TransientError, "ended with code 1"),
]


@pytest.mark.parametrize(("faults", "kind", "said"), WHEN_SCORING)
def test_what_goes_wrong_with_photographs_has_its_own_kind(
    world: World, target: Target, faults: dict[str, int], kind: type[MpsearchError], said: str
) -> None:
    artifact = built(target)
    world.lab.faults.set(**faults)
    with pytest.raises(kind, match=said):
        outputs(target, artifact)
    world.lab.faults.set()
    assert outputs(target, artifact)  # and the next one works


WHEN_TIMING = [
    ({"thread_lost": 1}, TransientError, "Thread was lost"),
    ({"out_of_memory": 1}, replies.OutOfMemory, "out of memory"),
    ({"segmentation": 1}, replies.Crashed, "139"),
    ({"dsp_crashed": 1}, replies.Crashed, "911"),
]


@pytest.mark.parametrize(("faults", "kind", "said"), WHEN_TIMING)
def test_what_goes_wrong_with_timing_has_its_own_kind(
    world: World, target: Target, faults: dict[str, int], kind: type[MpsearchError], said: str
) -> None:
    artifact = built(target)
    world.lab.faults.set(**faults)
    with pytest.raises(kind, match=said):
        target.board.time(artifact)
    world.lab.faults.set()
    assert target.board.time(artifact).median_ms > 0


def test_a_type_that_an_old_dsp_does_not_take_is_the_candidates_fault(world: World, target: Target) -> None:
    artifact = built(target, SIGMOID)
    world.lab.faults.set(old_dsp=-1)
    with pytest.raises(
        replies.LoadRefused, match=r"validates no ElementWiseNeuron Sigmoid_18 \(validation error 3110\)"
    ) as e:
        outputs(target, artifact)
    assert isinstance(e.value, CandidateError)
    assert e.value.stage == "score"
    with pytest.raises(replies.LoadRefused, match="Sigmoid_18"):
        target.board.time(artifact)
    assert target.board.time(built(target)).median_ms > 0  # 8 bits are taken


def test_throughputs_without_a_dot_are_read(world: World, target: Target) -> None:
    world.lab.faults.set(round_numbers=-1)
    assert 0.1 < target.board.time(built(target)).median_ms < 1


def test_a_board_that_gets_hot_shows_in_the_samples(world: World, target: Target) -> None:
    opened = world.open("local", timing={**QUICK, "least": 6, "most": 6})
    world.lab.faults.set(throttling=-1)
    timing = opened.board.time(built(opened))
    assert timing.samples_ms[-1] > 1.1 * timing.samples_ms[0]
    assert timing.conditions["stopped"] == "runs"


def test_a_board_that_became_slower_is_noticed_by_its_reference_and_corrected_for(world: World) -> None:
    opened = world.open("local", timing={**QUICK, "reference_s": 0.001})
    artifact = built(opened, MIXED)
    first = opened.board.time(artifact)
    assert "as at the start" in first.conditions["reference"]
    world.lab.faults.set(throttling=-1)
    try:
        later = opened.board.time(artifact)
    finally:
        world.lab.faults.set()
        opened.board.close()
    assert later.correction < 0.9
    assert "times multiplied by" in later.conditions["reference"]


def test_a_program_that_hangs_is_ended(world: World) -> None:
    opened = world.open("local", timeout_s=3)
    artifact = built(opened)
    world.lab.faults.set(hang=1)
    try:
        with pytest.raises(RemoteTimeout):
            outputs(opened, artifact)
    finally:
        world.lab.faults.set()


def test_tools_that_are_not_on_the_board_are_named_with_the_field_to_set(world: World) -> None:
    opened = world.open("local", snpe={"tools": "/nowhere"})
    with pytest.raises(SetupError, match=r"cannot be started on the board.*") as error:
        opened.board.time(built(opened))
    assert "snpe.tools" in error.value.hint


def test_native_files_alone_are_refused_by_the_lab_as_by_the_vendor(world: World, target: Target) -> None:
    """The seed's own command; ours has user buffers."""
    executor = target.executor
    assert isinstance(executor, SnpeExecutor)
    argv = [word for word in commands.net_run(executor.how, "dsp", "balanced") if word != "--userbuffer_auto"]
    with executor.device.work() as work:
        ran = work.run(argv)
    assert ran.code == 1
    assert "Cannot use native file I/O without specifying user buffer" in ran.stderr


def test_photographs_are_copied_once_for_all_candidates_of_one_input_type(world: World) -> None:
    base = world.lab.folder / "base-kept"
    opened = world.open("local", base=str(base))
    for candidate in (A8W8, MIXED):
        outputs(opened, built(opened, candidate))
    assert len(list(base.glob("kept-*/*.raw"))) == len(world.photos)
    outputs(opened, built(opened, Candidate("a16w8")))
    assert len(list(base.glob("kept-*/*.raw"))) == 2 * len(world.photos)
    opened.board.close()
    assert list(base.iterdir()) == []


def test_small_groups_give_the_same_outputs(world: World, target: Target) -> None:
    artifact = built(target)
    small = world.open("local", snpe={"tools": str(world.lab.tools), "group": 2})
    want, got = outputs(target, artifact), outputs(small, artifact)
    assert all(np.array_equal(want[name], got[name]) for name in want)
    small.board.close()


def test_the_doctor_looks_at_tools_and_board(world: World) -> None:
    found = {check.name: check for check in checks.check(spec.load(world.lab.board_file("local")), cache=world.cache)}
    assert all(check.ok for check in found.values())
    assert {"SNPE tools", "snpe-net-run", "snpe-throughput-net-run", "work folder"} <= set(found)
    assert {"snpe-onnx-to-dlc", "snpe-dlc-quant", "snpe-dlc-info", "snpe-diagview"} <= set(found)
    broken = spec.load(world.lab.board_file("local", snpe={"tools": "/nowhere"}))
    wrong = [check for check in checks.check(broken, cache=world.cache) if check.needed and not check.ok]
    assert {check.name for check in wrong} == {"snpe-net-run", "snpe-throughput-net-run"}


def test_a_folder_with_a_space_is_refused_before_anything_is_done(world: World) -> None:
    with pytest.raises(ConfigError, match="input lists separate files by spaces"):
        world.open("local", base="/tmp/two words")


def test_outputs_alone_decide_whether_the_offline_cache_is_used(world: World, target: Target) -> None:
    """Prepared for these outputs: creation is short; prepared for others it is done again on the device."""
    artifact = built(target)
    assert isinstance(target.board, SnpeBoard)
    create = target.board.profile(artifact, runs=1).totals["CREATE"].value
    other = replace(artifact, dlc=artifact.folder / "quantized.dlc")
    assert target.board.profile(other, runs=1).totals["CREATE"].value > 5 * create
