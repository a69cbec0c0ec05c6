"""The search space and the studies of the host target."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpsearch import config
from mpsearch.board import targets
from mpsearch.candidate import Candidate
from mpsearch.graph.read import read
from mpsearch.space import load as spaces
from mpsearch.testing.models import save, small_detector
from mpsearch.toolchain.host.rules import illegal
from mpsearch.toolchain.synap import rules as synap


@pytest.mark.parametrize("name", ["yolov5n_face_host", "retinaface_host"])
def test_a_study_for_this_computer_takes_the_hosts_space(name: str, root: Path) -> None:
    study = config.load(root / "studies" / f"{name}.yaml")
    assert targets.is_host(study.target)
    assert study.search_space == "host_int8_float"


def test_all_that_the_hosts_space_proposes_can_be_built(root: Path, tmp_path: Path) -> None:
    graph = read(save(small_detector(), tmp_path / "model.onnx"))
    space = spaces.load(root / "search_spaces" / "host_int8_float.yaml", graph)
    assert {"uint8", "int8-pc", "float16"} <= {candidate.base for candidate in space.uniforms()}
    assert not [reasons for candidate in space.seeds() if (reasons := illegal(graph, candidate))]


@pytest.mark.parametrize("base", ["a8w8", "a16w16", "fp16"])
def test_bases_of_snpe_are_refused_by_the_others(base: str, tmp_path: Path) -> None:
    graph = read(save(small_detector(), tmp_path / "small.onnx"))
    for rules in (illegal, synap.illegal):
        assert len(rules(graph, Candidate(base))) == 1
