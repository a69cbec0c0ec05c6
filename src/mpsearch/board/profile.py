"""What the cost model knows about one NPU: engines, their rates, memory, fixed costs.

A profile is a YAML file with exactly the fields of :class:`Profile`. The ones shipped here describe VeriSilicon NPUs;
``benchmarks/cost_model.py`` fits the fields that their comments call fitted.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mpsearch.errors import ConfigError

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Factor = Annotated[float, Field(ge=1, allow_inf_nan=False)]
Count = Annotated[int, Field(gt=0)]


class Profile(BaseModel):
    """Parameters of the cost model (:mod:`mpsearch.board.cost`); hashable and immutable.

    Three engines work one after another: the NN cores (convolutions), the tensor processor (TP: lookup-table
    activations, data movement, type conversions) and the shader (SH: everything in float16 that multiplies).
    TP costs per element are those of the vendor's own performance model, in its cycles; the rate at which silicon
    gets through them is ``tp_gcycles_per_s``.

    Attributes:
        name: what tables call this board.
        aliases: other names that :func:`load` accepts.
        nn_cores: output channels worked on at a time.
        nn_pixels_per_core: output pixels a core works on at a time.
        nn_channels_per_cycle: input channels that a core consumes in a cycle for each of its pixels.
        nn_clock_ghz: effective clock of the NN cores, stalls included.
        nn_int16_slowdown: cycles of an int16 convolution over those of an 8-bit one.
        tp_gcycles_per_s: effective rate of the tensor processor as a whole, in vendor-model cycles.
        tp_activation_cycles_per_element: SiLU, Sigmoid and the like, 8-bit.
        tp_reorder_cycles_per_element: row-wise rearrangement, 8-bit: input of a strided convolution, pooling,
            resize, slice.
        tp_transpose_cycles_per_element: a Transpose that changes the innermost axis, 8-bit.
        tp_cycles_per_weight: fully connected layers, which read each weight once, 8-bit.
        tp_narrowing_cycles_per_element: a type conversion that copies the tensor: 16 to 8 bit, from or to float16.
        tp_16bit_slowdown: the same work on 16-bit elements.
        shader_gmac_per_s: multiply-accumulates of float16 convolutions.
        shader_gelement_per_s: elements of Softmax, Mul, Div, Exp and the like.
        ddr_gbyte_per_s: effective bandwidth between the NPU and memory.
        sram_bytes: tensors up to this size stay on chip.
        dispatch_us: each operation that an engine is started for.
        fixed_ms: each inference.
        preprocess_ns_per_pixel: camera frame to network input on the NPU, per pixel of the network's input.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Annotated[str, Field(min_length=1)]
    aliases: tuple[str, ...]
    nn_cores: Count
    nn_pixels_per_core: Count
    nn_channels_per_cycle: Count
    nn_clock_ghz: Positive
    nn_int16_slowdown: Factor
    tp_gcycles_per_s: Positive
    tp_activation_cycles_per_element: Positive
    tp_reorder_cycles_per_element: Positive
    tp_transpose_cycles_per_element: Positive
    tp_cycles_per_weight: Positive
    tp_narrowing_cycles_per_element: Positive
    tp_16bit_slowdown: Factor
    shader_gmac_per_s: Positive
    shader_gelement_per_s: Positive
    ddr_gbyte_per_s: Positive
    sram_bytes: Count
    dispatch_us: Positive
    fixed_ms: Positive
    preprocess_ns_per_pixel: Positive


def names() -> tuple[str, ...]:
    """The profiles that come with mpsearch, aliases left out."""
    return tuple(sorted(_shipped()))


def load(name_or_path: str | Path) -> Profile:
    """A shipped profile by name or alias, or a YAML file (anything with a suffix or a folder in it is a path).

    Raises:
        ConfigError: no such profile or file, not YAML, a key missing, unknown or out of range.
    """
    path = Path(name_or_path)
    if path.suffix or len(path.parts) > 1:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: cannot be read as a board profile: {error}") from error
        return parse(text, str(path))
    shipped = _shipped()
    known = {alias: profile for profile in shipped.values() for alias in (profile.name, *profile.aliases)}
    name = str(name_or_path)
    if name.lower() not in known:
        near = difflib.get_close_matches(name.lower(), known, n=3)
        hint = f"Nearest: {', '.join(near)}." if near else f"Known: {', '.join(sorted(known))}."
        raise ConfigError(f"no board profile {name!r}", hint=f"{hint} Or give the path of a profile's YAML file.")
    return known[name.lower()]


def parse(text: str, source: str) -> Profile:
    """A profile from YAML text; ``source`` is the file's name for messages.

    Raises:
        ConfigError: not YAML, a key missing, unknown or out of range.
    """
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{source}: not YAML: {error}") from error
    if not isinstance(data, Mapping):
        raise ConfigError(f"{source}: a board profile is a map of parameters, not {type(data).__name__}")
    values: dict[Any, Any] = dict(data)
    if isinstance(values.get("aliases"), list):
        values["aliases"] = tuple(values["aliases"])
    try:
        return Profile.model_validate(values)
    except ValidationError as error:
        raise ConfigError(
            f"{source}: " + "; ".join(_explain(item) for item in error.errors()), hint="See: docs/boards.md"
        ) from error


def _explain(item: Any) -> str:
    key = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, Profile.model_fields, n=1)
        return f"unknown key {key!r}" + (f" (nearest: {near[0]!r})" if near else "")
    if item["type"] == "missing":
        return f"key {key!r} is missing"
    return f"{key}: {item['msg']}, got {item['input']!r}"


def _shipped() -> dict[str, Profile]:
    folder = resources.files("mpsearch.board") / "profiles"
    files = (entry for entry in folder.iterdir() if entry.name.endswith(".yaml"))
    profiles = (parse(entry.read_text(encoding="utf-8"), entry.name) for entry in files)
    return {profile.name: profile for profile in profiles}
