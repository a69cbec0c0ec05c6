"""Optuna's samplers by name, with the settings that fit spaces of many categorical dimensions."""

from __future__ import annotations

import importlib.util
import warnings

import optuna

from mpsearch.errors import ConfigError, SetupError
from mpsearch.space.yamlfile import nearest

NAMES = ("tpe", "nsga2", "random", "gp")
_POPULATION = 20
"""NSGA-II's default of 50 would leave a study of 100 trials with two generations."""


def create(name: str, seed: int, trials: int = 0) -> optuna.samplers.BaseSampler:
    """A sampler that respects constraints set on the trials (all but ``random`` do).

    Args:
        trials: how many trials the study has already: a resumed study must not draw the same numbers again. The same
            seed and number give the same proposals.

    Raises:
        ConfigError: unknown name.
        SetupError: ``gp`` without PyTorch.
    """
    own_seed = (seed * 1_000_003 + trials) % 2**32
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        match name:
            case "tpe":
                return optuna.samplers.TPESampler(seed=own_seed)
            case "nsga2":
                return optuna.samplers.NSGAIISampler(seed=own_seed, population_size=_POPULATION)
            case "random":
                return optuna.samplers.RandomSampler(seed=own_seed)
            case "gp":
                if importlib.util.find_spec("torch") is None:
                    raise SetupError(
                        "the sampler 'gp' needs PyTorch, which is not installed",
                        hint="pip install 'mpsearch[gp]', or take --sampler tpe",
                    )
                return optuna.samplers.GPSampler(seed=own_seed)
    raise ConfigError(f"unknown sampler {name!r}{nearest(name, NAMES)}", hint=f"One of: {', '.join(NAMES)}")
