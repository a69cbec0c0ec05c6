"""Optuna's samplers by name, with the settings that fit spaces of many categorical dimensions."""

from __future__ import annotations

import importlib.util
import warnings

import optuna

from mpsearch.errors import ConfigError, SetupError
from mpsearch.search.guided import Context, GuidedSampler
from mpsearch.space.yamlfile import nearest

NAMES = ("guided", "tpe", "nsga2", "random", "gp")
"""``guided`` is ours (:mod:`mpsearch.search.guided`); the others are Optuna's."""
_POPULATION = 20
"""NSGA-II's default of 50 would leave a study of 100 trials with two generations."""


def check(name: str) -> None:
    """Raises:
    ConfigError: unknown name.
    SetupError: ``gp`` without PyTorch.
    """
    if name not in NAMES:
        raise ConfigError(f"unknown sampler {name!r}{nearest(name, NAMES)}", hint=f"One of: {', '.join(NAMES)}")
    if name == "gp" and importlib.util.find_spec("torch") is None:
        raise SetupError(
            "the sampler 'gp' needs PyTorch, which is not installed",
            hint="pip install 'mpsearch[gp]', or take another --sampler",
        )


def create(name: str, seed: int, trials: int = 0, *, context: Context | None = None) -> optuna.samplers.BaseSampler:
    """A sampler that respects constraints set on the trials (all but ``random`` do).

    Args:
        trials: how many trials the study has already: a resumed study must not draw the same numbers again. The same
            seed and number give the same proposals. (``guided`` needs no such help: it draws by the trial's number.)
        context: what ``guided`` searches in; the others know no more than Optuna tells them.

    Raises:
        ConfigError: unknown name, or ``guided`` without a context.
        SetupError: ``gp`` without PyTorch.
    """
    check(name)
    own_seed = (seed * 1_000_003 + trials) % 2**32
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        match name:
            case "guided" if context is not None:
                return GuidedSampler(context, seed)
            case "tpe":
                return optuna.samplers.TPESampler(seed=own_seed)
            case "nsga2":
                return optuna.samplers.NSGAIISampler(seed=own_seed, population_size=_POPULATION)
            case "random":
                return optuna.samplers.RandomSampler(seed=own_seed)
            case "gp":
                return optuna.samplers.GPSampler(seed=own_seed)
    raise ConfigError(f"sampler {name!r} needs a study's context", hint="See mpsearch.search.opening.open_sampler.")
