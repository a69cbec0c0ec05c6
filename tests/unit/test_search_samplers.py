"""Samplers by name."""

from __future__ import annotations

import importlib.util

import optuna
import pytest

from mpsearch.errors import ConfigError, SetupError
from mpsearch.search.samplers import create
from mpsearch.space.load import load
from mpsearch.testing.toy import toy_graph

SPACE = load("synap_int8_int16", toy_graph())


def proposals(name: str, seed: int, trials: int = 0) -> list[str]:
    study = optuna.create_study(directions=["minimize"] * 2, sampler=create(name, seed, trials))
    found = []
    for _ in range(5):
        trial = study.ask()
        found.append(SPACE.sample(trial).digest)
        study.tell(trial, [1.0, 2.0])
    return found


@pytest.mark.parametrize("name", ["tpe", "nsga2", "random"])
def test_a_seed_decides_the_proposals_and_a_resumed_study_draws_others(name: str) -> None:
    assert proposals(name, 3) == proposals(name, 3)
    assert proposals(name, 3) != proposals(name, 4)
    assert proposals(name, 3) != proposals(name, 3, trials=5)


def test_an_unknown_sampler_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="nearest: 'nsga2'"):
        create("nsga3", 0)


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="PyTorch is installed here")
def test_gp_without_pytorch_says_what_to_install() -> None:
    with pytest.raises(SetupError, match=r"mpsearch\[gp\]"):
        create("gp", 0)
