"""Jobs, their cache and their failures, and the toolchain over them, with a worker that speaks the real protocol."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from mpsearch.board import profile as profiles
from mpsearch.board.simulated import SimulatedBoard
from mpsearch.candidate import Candidate, DataType
from mpsearch.errors import CandidateError, ConfigError, SetupError, TransientError
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.onnxio import FloatModel
from mpsearch.graph.read import read
from mpsearch.images import PhotoSet, Preprocess
from mpsearch.testing.models import save, small_detector
from mpsearch.toolchain.acuity import environment
from mpsearch.toolchain.acuity.client import Worker, WorkerCrashed
from mpsearch.toolchain.acuity.engine import Engine
from mpsearch.toolchain.acuity.environment import Environment
from mpsearch.toolchain.acuity.toolchain import CYCLES, AcuityBoard, AcuityExecutor, AcuityToolchain
from mpsearch.toolchain.synap.metafile import MetafileIO

PROGRAM = """
import json, os, sys
from pathlib import Path
import numpy as np
import yaml
from mpsearch.toolchain.acuity.worker.channel import Channel
from mpsearch.toolchain.acuity.worker.datatypes import Layers, Refused, base_of, exceptions

folder = Path(sys.argv[1])
network = json.loads((folder / "network.json").read_text())

def orders():
    path = folder / "orders"
    first, *rest = [*(path.read_text().split() if path.is_file() else []), ""]
    path.write_text(" ".join(rest))
    return first

def do(request, say):
    with (folder / "jobs").open("a") as jobs:
        jobs.write(request["do"] + "\\n")
    order = orders() if request["do"] == "evaluate" else ""
    if request["do"] == "layers":
        return {"parents": network["parents"], "inputs": ["input_9"], "outputs": network["outputs"]}
    if order == "crash":
        os._exit(9)
    if order == "refuse":
        raise Refused("Layer name 'x' not in: []")
    if order == "fatal":
        raise RuntimeError("('Fatal model generation error: 65280', 'nbg_generate')")
    asked = yaml.safe_load(Path(request["metafile"]).read_text())["quantization"]
    names = request["names"]
    layers = Layers(network["parents"], ["input_9"], network["outputs"], names)
    base, mixed = base_of(asked["data_type"])
    moved = exceptions(asked["data_type"], base, layers) if mixed else {}
    code = {"uint8": "u8", "int8": "i8", "int16": "i16"}[base]
    words = {"dynamic_fixed_point-i16": "i16", "float32": "float32"}
    if order == "forget":
        moved = {}
    out = Path(request["out"])
    table = {f"@{lid}:out0": {"qtype": words.get(moved.get(lid), code)} for lid in network["parents"]}
    for lid in moved:  # as the engine does where types meet
        table[f"@{lid}_next_dynamic_fixed_pointi16_to_asymmetric_affineu8_99:out0"] = {"qtype": code}
    found = {"version": 2, "quantize_parameters": table, "customized_quantize_layers": moved}
    text = yaml.safe_dump(found, sort_keys=False)
    (out / "quantization_info.yaml").write_text(text)
    photos = np.load(request["photos"])
    values = np.load(folder / "outputs.npz")
    np.savez(out / "outputs.npz", **{str(i): values[t] for i, t in enumerate(network["tensors"])})
    answer = {"requantized": len(moved), "outputs": network["outputs"], "seconds": {"quantize": 1.0}}
    if request["target"]:
        answer["compiled"] = {"ok": True, "operations": [["a", "NN:CONVOLUTION", 70], ["b", "TP:RESHUFFLE", 30]]}
    if order == "compiler":
        answer["compiled"] = {"ok": False, "said": "AcuityError: ('Fatal model generation error: 65280', 'nbg')",
                              "log": "E [op_check:189]Inputs/Outputs data type not support: DFP INT16, ASYM UINT8"}
    return answer

channel = Channel.of_process()
channel.hello(engine="fake")
for request in channel.requests():
    channel.answer(request, do, lambda: "")
"""
HEAD = "Conv_9"


def network_of(graph: ModelGraph) -> dict[str, object]:
    """Layers as acuitylite names them, with a layer that it inserts in front of each output."""
    lid = {node.name: f"{node.outputs[0]}_{index}" for index, node in enumerate(graph.nodes)}
    parents: dict[str, list[str]] = {"input_9": []}
    for node in graph.nodes:
        parents[lid[node.name]] = [lid[graph.producer[t]] if t in graph.producer else "input_9" for t in node.inputs]
    outputs = []
    for index, output in enumerate(graph.outputs):
        end = f"attach_{output}/out0_{index}"
        parents[f"{end}_acuity_mark_perm_{50 + index}"] = [lid[graph.producer[output]]]
        parents[end] = [f"{end}_acuity_mark_perm_{50 + index}"]
        outputs.append(end)
    return {"parents": parents, "outputs": outputs, "tensors": list(graph.outputs)}


class Bench:
    def __init__(self, folder: Path) -> None:
        self.seeds: list[int] = []
        save(small_detector(), folder / "model.onnx")
        self.graph = read(folder / "model.onnx")
        rng = np.random.default_rng(3)
        images = [rng.integers(0, 256, (32, 32, 3), dtype=np.uint8) for _ in range(3)]
        self.photos = PhotoSet.from_arrays(["a", "b", "c"], images, Preprocess(32, 32))
        self.outputs = FloatModel(self.graph).run(next(iter(self.photos.batches(3))))
        self.folder = folder
        (folder / "network.json").write_text(json.dumps(network_of(self.graph)))
        np.savez(folder / "outputs.npz", **self.outputs)
        self.engine = self.open_engine()
        self.toolchain = self.open_toolchain(self.engine)

    def open_engine(self) -> Engine:
        return Engine(Environment(self.folder), self.folder / "cache", timeout_s=30, make=self.make_worker)

    def make_worker(self, seed: int) -> Worker:
        self.seeds.append(seed)
        return Worker((sys.executable, "-c", PROGRAM, str(self.folder)), self.folder / "work")

    def open_toolchain(self, engine: Engine) -> AcuityToolchain:
        io = MetafileIO(means=(0, 0, 0), scale=255)
        return AcuityToolchain(self.graph, self.photos, self.photos, io, "vs680", engine)

    def order(self, *words: str) -> None:
        (self.folder / "orders").write_text(" ".join(words))

    @property
    def jobs(self) -> list[str]:
        return (self.folder / "jobs").read_text().split()


@pytest.fixture
def bench(tmp_path: Path) -> object:
    found = Bench(tmp_path)
    yield found
    found.engine.close()


MIXED = Candidate("uint8", overrides=((HEAD, DataType.INT16), ("output:t18", DataType.INT16)))


def test_a_candidate_is_built_scored_and_timed(bench: Bench) -> None:
    built = bench.toolchain.build(MIXED)
    assert built.types[HEAD] is DataType.INT16
    assert built.types["output:t18"] is DataType.INT16
    assert not built.differs
    batches = list(AcuityExecutor(bench.graph).batches(built))
    for name in bench.graph.outputs:
        np.testing.assert_array_equal(np.concatenate([batch[name] for batch in batches]), bench.outputs[name])


def test_cycles_stand_beside_the_cost_models_latency_and_are_none_of_it(bench: Bench) -> None:
    plain = SimulatedBoard(profiles.load("vs680"), bench.graph)
    built = bench.toolchain.build(Candidate("uint8"))
    timing = AcuityBoard(plain, bench.engine).time(built)
    assert timing.samples_ms == plain.time(built).samples_ms
    assert timing.source == "simulated"
    assert timing.conditions == {CYCLES: "100", f"{CYCLES}_NN": "70", f"{CYCLES}_TP": "30"}


def test_a_layer_that_the_importer_inserted_takes_the_type_of_what_it_carries(bench: Bench) -> None:
    head = bench.graph.producer["t18"]
    unit = bench.graph.unit_of[head]
    built = bench.toolchain.build(
        Candidate("uint8", overrides=((unit, DataType.INT16), ("output:t18", DataType.INT16)))
    )  # fmt: skip
    table = (built.result.folder / "quantization_info.yaml").read_text()
    assert "attach_t18/out0_1_acuity_mark_perm_51: dynamic_fixed_point-i16" in table


def test_the_same_candidate_is_computed_once_also_by_another_process(bench: Bench) -> None:
    first = bench.toolchain.build(MIXED)
    again = bench.open_engine()
    assert bench.open_toolchain(again).build(MIXED).result == first.result
    assert bench.jobs == ["layers", "evaluate"]
    assert bench.seeds == [0]  # the other one started none


def test_what_decides_a_result_decides_its_place(bench: Bench) -> None:
    bench.toolchain.build(Candidate("uint8"))
    bench.toolchain.build(Candidate("int16"))
    bench.toolchain.compiles = False
    assert bench.toolchain.build(Candidate("uint8")).result.compiled is None
    assert bench.jobs.count("evaluate") == 3


def test_a_refused_candidate_is_the_candidates_fault(bench: Bench) -> None:
    bench.order("refuse")
    with pytest.raises(CandidateError, match="Layer name 'x' not in"):
        bench.toolchain.build(MIXED)
    assert bench.toolchain.build(MIXED).types[HEAD] is DataType.INT16  # a refusal is not kept, the study's record is


def test_the_compilers_refusal_is_the_candidates_fault_and_kept(bench: Bench) -> None:
    bench.order("compiler")
    for _ in range(2):
        with pytest.raises(CandidateError, match="DFP INT16, ASYM UINT8"):
            bench.toolchain.build(MIXED)
    assert bench.jobs.count("evaluate") == 1


def test_a_fatal_error_that_was_seen_to_pass_is_tried_again(bench: Bench) -> None:
    bench.order("fatal", "fatal")
    assert bench.toolchain.build(MIXED).result.compiled
    assert bench.seeds == [0, 1, 2]  # each time with other ranges
    bench.order("fatal", "fatal", "fatal")
    with pytest.raises(CandidateError, match="65280"):
        bench.toolchain.build(Candidate("int16"))


def test_a_crash_is_transient_and_names_the_log(bench: Bench) -> None:
    bench.order("crash")
    with pytest.raises(WorkerCrashed, match=r"engine\.log") as lost:
        bench.toolchain.build(MIXED)
    assert isinstance(lost.value, TransientError)
    assert bench.toolchain.build(MIXED).result.compiled


def test_a_type_that_was_forgotten_on_the_way_is_found(bench: Bench) -> None:
    bench.order("forget")
    with pytest.raises(CandidateError, match=f"other types than asked: .*{HEAD}: uint8 instead of int16"):
        bench.toolchain.build(MIXED)


def test_the_rules_are_checked_before_the_engine_is_asked(bench: Bench) -> None:
    with pytest.raises(CandidateError, match="DFP INT16, SYMM PC INT8"):
        bench.toolchain.build(Candidate("int8-pc", overrides=((HEAD, DataType.INT16),)))
    assert bench.jobs == ["layers"]


def test_a_cut_is_completed_on_the_host(bench: Bench) -> None:
    cut = bench.graph.cut_points["t16"][0]
    text = json.dumps(network_of(bench.graph)).replace("attach_t16/", f"attach_{cut[0]}/")
    (bench.folder / "network.json").write_text(text.replace('["t16", "t18"]', f'["{cut[0]}", "t18"]'))
    tensors = FloatModel(bench.graph, tensors=[*cut, "t18"]).run(next(iter(bench.photos.batches(3))))
    np.savez(bench.folder / "outputs.npz", **tensors)
    built = bench.toolchain.build(Candidate("uint8", cuts=(("t16", cut),)))
    batch = next(iter(AcuityExecutor(bench.graph).batches(built)))
    np.testing.assert_allclose(batch["t16"], bench.outputs["t16"], rtol=1e-5, atol=1e-6)


def test_without_the_engine_the_next_step_is_said(tmp_path: Path) -> None:
    engine = Engine(environment.find({environment.PLACE: str(tmp_path / "none")}), tmp_path / "cache")
    with pytest.raises(SetupError, match="mpsearch toolchain install acuity"):
        engine.network(tmp_path / "model.onnx", "inputs: []\n")


def test_a_cache_with_a_space_in_its_name_is_refused(bench: Bench) -> None:
    with pytest.raises(ConfigError, match="space"):
        bench.open_toolchain(Engine(Environment(bench.folder), bench.folder / "a b"))


def test_nothing_of_a_finished_job_stays_in_the_work_folder(bench: Bench) -> None:
    bench.toolchain.build(Candidate("uint8"))
    assert os.listdir(bench.folder / "cache" / "work") == []


def test_what_does_not_run_on_the_npu_is_not_for_this_engine(bench: Bench) -> None:
    with pytest.raises(CandidateError, match="NPU alone"):
        bench.toolchain.build(Candidate("uint8", options=(("delegate", "gpu"),)))
