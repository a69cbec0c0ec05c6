"""This computer as a board, and targets by name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mpsearch.board import targets
from mpsearch.board.host import HostBoard, time_model
from mpsearch.board.measure import Plan
from mpsearch.board.parameters import Htp, VeriSilicon
from mpsearch.candidate import Candidate, DataType
from mpsearch.errors import CandidateError, ConfigError, SetupError
from mpsearch.evaluate import Artifact
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.read import read
from mpsearch.testing.models import Builder, save, small_detector
from mpsearch.toolchain.host.build import HostToolchain
from mpsearch.toolchain.host.runtime import Runtime

BRIEF = Plan(warm_up=1, width=0.5, least=7, most=9, limit_s=5)


class Photos:
    digest = "photos"

    def __len__(self) -> int:
        return 3

    def batches(self, size: int) -> Iterator[NDArray[np.float32]]:
        for _ in range(3):
            yield np.random.default_rng(0).normal(0, 1, (1, 3, 32, 32)).astype(np.float32)


@pytest.fixture
def graph(tmp_path: Path) -> ModelGraph:
    return read(save(small_detector(), tmp_path / "model.onnx"))


@pytest.fixture
def toolchain(graph: ModelGraph, tmp_path: Path) -> HostToolchain:
    return HostToolchain(graph, Photos(), tmp_path / "host")


def test_a_timing_says_how_it_was_measured(toolchain: HostToolchain) -> None:
    artifact, reference = toolchain.build(Candidate()), toolchain.build(Candidate("float16"))
    board = HostBoard(plan=BRIEF, reference=reference.path)
    timing = board.time(artifact)
    board.close()
    assert (timing.source, timing.board) == ("host", "host")
    assert 7 <= len(timing.samples_ms) <= 9
    assert timing.interval_ms is not None
    assert timing.interval_ms[0] <= timing.median_ms / timing.correction <= timing.interval_ms[1]
    assert timing.conditions["threads"] == "1"
    assert timing.conditions["runtime"].startswith("onnxruntime ")
    assert timing.conditions["reference"].startswith("reference ")
    assert (
        timing.conditions["kernels"]
        == f"{len(artifact.kernels)} of {len(artifact.kernels)} 8-bit units in integer kernels"
    )
    assert board.watch is not None
    assert len(board.watch.checks) == 1


def test_the_injected_clock_is_the_one_that_is_read(toolchain: HostToolchain) -> None:
    ticks = iter(range(10**6))
    timing = HostBoard(plan=BRIEF, clock=lambda: next(ticks) / 1e3).time(toolchain.build(Candidate()))
    assert timing.samples_ms == pytest.approx([1.0] * len(timing.samples_ms))
    assert timing.conditions["reference"] == "not watched"


def test_the_larger_of_two_models_is_found_slower(tmp_path: Path) -> None:
    b = Builder()
    graph = read(save(b.model([b.conv(b.conv("input", 3, 16), 16, 4)], shape=(1, 3, 64, 64)), tmp_path / "m.onnx"))
    toolchain = HostToolchain(graph, Photos(), tmp_path / "host")
    whole = toolchain.build(Candidate("float16"))
    b = Builder()
    x = "input"
    for inputs in (3, 64, 64, 64, 64):
        x = b.conv(x, inputs, 64)
    wide = read(save(b.model([x], shape=(1, 3, 64, 64)), tmp_path / "wide.onnx"))
    heavy = HostToolchain(wide, Photos(), tmp_path / "host").build(Candidate("float16"))
    verdict = HostBoard(plan=Plan(warm_up=1, width=0.5, least=9, most=15)).compare(whole, heavy)
    assert verdict.faster == "first"
    assert verdict.ratio > 2


def test_the_host_times_only_what_was_built_for_it(graph: ModelGraph) -> None:
    with pytest.raises(SetupError, match="holds no ONNX file"):
        HostBoard().time(Artifact(Candidate(), graph.assign(Candidate())))


def test_any_model_file_is_timed_as_it_is(toolchain: HostToolchain, tmp_path: Path) -> None:
    timing = time_model(toolchain.build(Candidate("int8-pc")).path, runtime=Runtime(), plan=BRIEF)
    assert "integer kernels of" in timing.conditions["kernels"]
    assert not timing.conditions["kernels"].startswith("0 ")
    with pytest.raises(ConfigError, match="no such file"):
        time_model(tmp_path / "gone.onnx")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"nonsense")
    with pytest.raises(CandidateError, match=r"cannot load broken\.onnx"):
        time_model(broken, plan=BRIEF)


def test_an_input_without_a_fixed_size_is_refused_by_name(tmp_path: Path) -> None:
    b = Builder()
    path = save(b.model([b.node("Relu", "input")], shape=(1, 3, "height", 32)), tmp_path / "dynamic.onnx")
    with pytest.raises(ConfigError, match="input 'input'"):
        time_model(path, plan=BRIEF)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot pin")
def test_pinning_holds_while_timing_and_is_undone() -> None:
    before = os.sched_getaffinity(0)
    runtime = Runtime.default()
    with runtime.pinned():
        assert os.sched_getaffinity(0) == set(runtime.pin or ())
    assert os.sched_getaffinity(0) == before
    with pytest.raises(ConfigError, match="may use CPUs"):
        Runtime(pin=(4096,))


def test_no_threads_are_refused() -> None:
    with pytest.raises(ConfigError, match="0 threads"):
        Runtime(threads=0)


def test_the_host_target_builds_runs_and_times(graph: ModelGraph, tmp_path: Path) -> None:
    said: list[str] = []
    target = targets.open("host", graph, Photos(), Photos(), cache=tmp_path, plan=BRIEF, say=said.append)
    assert target.profile is None
    assert target.latency_ms(Candidate()) > 0
    artifact = target.toolchain.build(Candidate())
    assert {name: len(v) for part in target.executor.batches(artifact) for name, v in part.items()} == dict.fromkeys(
        graph.outputs, 1
    )
    assert "threads 1" in said[0]


@pytest.mark.parametrize(
    ("name", "family", "narrow", "wide"), [("rvc4", Htp, "a8w8", "a16w8"), ("sl1680", VeriSilicon, "uint8", "int16")]
)
def test_a_simulated_target_has_its_profile_and_its_vendors_types(
    name: str, family: type, narrow: str, wide: str, graph: ModelGraph, tmp_path: Path
) -> None:
    target = targets.open(name, graph, Photos(), Photos(), cache=tmp_path)
    assert isinstance(target.profile, family)
    assert target.latency_ms(Candidate(wide)) > target.latency_ms(Candidate(narrow))


def test_each_simulated_target_refuses_what_its_vendor_refuses(graph: ModelGraph, tmp_path: Path) -> None:
    convolution = next(unit.name for unit in graph.compute_units if unit.kind == "conv")
    refused = {
        "vs680": Candidate("int8-pc", overrides=((convolution, DataType.INT16),)),
        "rvc4": Candidate("a8w8", overrides=((convolution, DataType.A16W16),), options=(("weights", "per_channel"),)),
    }
    for name, candidate in refused.items():
        with pytest.raises(CandidateError, match="per-channel"):
            targets.open(name, graph, Photos(), Photos(), cache=tmp_path).latency_ms(candidate)
    with pytest.raises(CandidateError, match="frames from the CPU"):
        targets.open("rvc4", graph, Photos(), Photos(), cache=tmp_path).latency_ms(
            Candidate("a8w8", preprocess="nv12:64x64")
        )


def test_an_unknown_target_is_refused(graph: ModelGraph, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no board profile 'vs860'"):
        targets.open("vs860", graph, Photos(), Photos(), cache=tmp_path)
