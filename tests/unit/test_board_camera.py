"""Frames converted by the CPU or by the NPU, weighed."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpsearch.board import profile
from mpsearch.board.camera import WithCamera
from mpsearch.board.simulated import SimulatedBoard
from mpsearch.candidate import Candidate
from mpsearch.errors import ConfigError
from mpsearch.evaluate import Artifact
from mpsearch.graph.model import ModelGraph
from mpsearch.graph.read import read
from mpsearch.testing.models import save, small_detector


@pytest.fixture
def graph(tmp_path: Path) -> ModelGraph:
    return read(save(small_detector(), tmp_path / "model.onnx"))


def times(graph: ModelGraph, cpu_ms: float, *, overlaps: bool) -> dict[str, float]:
    board = WithCamera(SimulatedBoard(profile.load("vs680"), graph), cpu_ms=cpu_ms, overlaps=overlaps)
    candidates = [Candidate(preprocess=who) for who in ("cpu", "nv12:64x64")]
    found = {c.preprocess: board.time(Artifact(c, graph.assign(c))) for c in candidates}
    for timing in found.values():
        assert sum(timing.parts_ms.values()) == pytest.approx(timing.median_ms)
    board.close()
    return {who: timing.median_ms for who, timing in found.items()}


def test_the_cpus_work_is_added_to_candidates_that_leave_the_frames_to_it(graph: ModelGraph) -> None:
    candidate = Candidate()
    plain = SimulatedBoard(profile.load("vs680"), graph).time(Artifact(candidate, graph.assign(candidate))).median_ms
    assert times(graph, 7.0, overlaps=False)["cpu"] == pytest.approx(plain + 7)
    assert times(graph, 7.0, overlaps=True)["cpu"] == pytest.approx(7)
    assert times(graph, plain / 2, overlaps=True)["cpu"] == pytest.approx(plain)


def test_which_of_the_two_is_better_depends_on_what_the_cpu_takes(graph: ModelGraph) -> None:
    slow, quick = times(graph, 5.0, overlaps=False), times(graph, 0.001, overlaps=False)
    assert slow["nv12:64x64"] < slow["cpu"]
    assert quick["nv12:64x64"] > quick["cpu"]
    assert slow["nv12:64x64"] == quick["nv12:64x64"]


def test_a_time_that_is_none_is_refused(graph: ModelGraph) -> None:
    with pytest.raises(ConfigError, match="cpu_ms 0"):
        WithCamera(SimulatedBoard(profile.load("vs680"), graph), cpu_ms=0, overlaps=False)
