"""A study file, checked: what to search, on which photographs, for which target and budget.

Paths are relative to the study file. ``${NAME}`` and ``${NAME:-default}`` are replaced from the environment.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from mpsearch.candidate import BASES, Candidate
from mpsearch.errors import ConfigError
from mpsearch.toolchain.synap.settings import MetafileConfig
from mpsearch.validation import explain

SAMPLERS = ("guided", "tpe", "nsga2", "random", "gp")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Budget(_Strict):
    """``33`` (ms) or ``{times: 1.1, of: uint8}``: a multiple of what a uniform, uncut candidate takes on the target.

    ``at`` says what is held against it: the median, or a percentile such as ``p95``.
    """

    ms: float | None = None
    times: float | None = None
    of: str = "uint8"
    at: str = Field(default="median", pattern=r"^(median|p\d{1,2}(\.\d+)?)$")

    @model_validator(mode="before")
    @classmethod
    def _from_number(cls, value: Any) -> Any:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return {"ms": value}
        if not isinstance(value, dict | Budget):
            raise ValueError(f"must be milliseconds, such as 33, or {{times: 1.1, of: uint8}}, got {value!r}")
        return value

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.ms is None) == (self.times is None):
            raise ValueError("give milliseconds, or `times:` and `of:`")
        if self.of not in BASES:
            raise ValueError(f"`of: {self.of}` is no uniform type; one of {', '.join(BASES)}")
        number = self.ms if self.ms is not None else self.times
        if number is None or not math.isfinite(number) or number <= 0:
            raise ValueError(f"must be a positive, finite number, got {number}")
        return self


class InputConfig(_Strict):
    """How a photograph becomes the network's input: ``(pixel - means) / scale``, letterboxed with grey 114."""

    shape: tuple[int, int, int, int] | None = None
    means: tuple[float, ...] = (0.0, 0.0, 0.0)
    scale: float | tuple[float, ...] = 1.0
    order: Literal["rgb", "bgr"] = "rgb"

    @field_validator("means", mode="before")
    @classmethod
    def _one_for_all(cls, value: Any) -> Any:
        return (value,) * 3 if isinstance(value, int | float) else value

    @model_validator(mode="after")
    def _check(self) -> Self:
        scales = self.scale if isinstance(self.scale, tuple) else (self.scale,)
        if any(not math.isfinite(value) or value == 0 for value in scales):
            raise ValueError(f"scale must be finite and not zero, got {self.scale}")
        if self.shape is not None and (min(self.shape) < 1 or self.shape[0] != 1):
            raise ValueError(f"shape must be [1, channels, height, width], got {list(self.shape)}")
        return self


class DataConfig(_Strict):
    """Folders, globs or list files of photographs; the two sets must be disjoint."""

    calibration: str
    evaluation: str
    calibration_limit: int | None = Field(default=None, ge=1)
    evaluation_limit: int | None = Field(default=None, ge=1)


class Limits(_Strict):
    """Shares of the reference faces that a feasible candidate may miss, and may find in addition."""

    missed: float = Field(default=0.05, ge=0, le=1)
    extra: float = Field(default=0.05, ge=0, le=10)


class MeasuringConfig(_Strict):
    """How real latencies are measured: repeats until the 95 % interval of the median is ``width`` of it, or a limit."""

    warm_up: int = Field(default=5, ge=0)
    width: float = Field(default=0.02, gt=0, lt=1)
    least: int = Field(default=15, ge=1)
    most: int = Field(default=300, ge=1)
    limit_s: float = Field(default=20.0, gt=0)
    threads: int = Field(default=1, ge=1)
    pin: tuple[int, ...] | None = None


class CameraConfig(_Strict):
    """What the CPU takes to turn a camera frame into the network's input, and whether the NPU works meanwhile."""

    cpu_ms: float = Field(gt=0)
    overlaps: bool = True


class Study(_Strict):
    """A study file. ``path`` is where it was read from."""

    path: Path
    name: str
    model: Path
    target: str = "vs680"
    search_space: str = "synap_int8_int16"
    budget: Budget
    input: InputConfig = InputConfig()
    data: DataConfig
    decoder: Mapping[str, Any]
    limits: Limits = Limits()
    objective: Literal["landmarks", "boxes", "segmentation", "tensors"] | None = None
    face_sizes: tuple[float, float] | None = None
    sampler: str = "guided"
    trials: int = Field(default=100, ge=1)
    seed: int = Field(default=0, ge=0)
    metafile: MetafileConfig = MetafileConfig()
    measuring: MeasuringConfig = MeasuringConfig()
    camera: CameraConfig | None = None
    seeds: tuple[Candidate, ...] = ()

    @field_validator("seeds", mode="before")
    @classmethod
    def _candidates(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise ValueError("must be a list of candidates (the form of an exported candidate.json)")
        return tuple(v if isinstance(v, Candidate) else Candidate.from_json(v) for v in value)

    @field_validator("sampler")
    @classmethod
    def _sampler(cls, value: str) -> str:
        if value not in SAMPLERS:
            raise ValueError(f"unknown sampler {value!r}; one of {', '.join(SAMPLERS)}")
        return value

    @field_validator("decoder")
    @classmethod
    def _decoder(cls, value: Mapping[str, Any]) -> Mapping[str, Any]:
        if not isinstance(value.get("name"), str):
            raise ValueError("needs a `name:`, e.g. {name: yolov5-face}")
        return value

    @field_validator("face_sizes")
    @classmethod
    def _sizes(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not 0 <= value[0] < value[1]:
            raise ValueError(f"must be [smallest, largest] in pixels of the network's input, got {list(value)}")
        return value

    def space_name(self) -> str:
        """A search space's name, or its path; a path is relative to the study file, as all others are."""
        beside = self.path.parent / self.search_space
        return str(beside) if beside.suffix in (".yaml", ".yml") else self.search_space

    def data_spec(self, which: Literal["calibration", "evaluation"]) -> Path:
        """The photographs' folder, glob or list, relative to nothing."""
        spec = self.data.calibration if which == "calibration" else self.data.evaluation
        return self.path.parent / spec


def find(name: str | None, folder: Path | None = None) -> Path:
    """The study file for a command's STUDY argument.

    A path; or a name under ``studies/``; or, without one, ``mpsearch.yaml`` here, else ``studies/quickstart.yaml``.

    Raises:
        ConfigError: no such file, with the nearest names.
    """
    folder = folder or Path.cwd()
    if name is None:
        for path in (folder / "mpsearch.yaml", folder / "studies" / "quickstart.yaml"):
            if path.is_file():
                return path
        raise ConfigError(
            f"{folder}: no study given, and there is neither mpsearch.yaml nor studies/quickstart.yaml here",
            hint="Name a study file: mpsearch run path/to/study.yaml",
        )
    options = (Path(name), folder / name, folder / "studies" / f"{name}.yaml")
    for path in options:
        if path.is_file():
            return path
    known = [path.stem for path in sorted((folder / "studies").glob("*.yaml"))]
    near = get_close_matches(name, known, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"Studies here: {', '.join(known) or 'none'}"
    raise ConfigError(f"no study {name!r}: neither a file nor studies/{name}.yaml", hint=hint)


def load(path: Path) -> Study:
    """Read and check a study file.

    Raises:
        ConfigError: unreadable, not YAML, unknown or wrong fields; names the file and the field.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error
    try:
        data = yaml.safe_load(_expand(text, path))
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: a study is a mapping with `model:`, `data:`, `decoder:`, `budget:` ...")
    data = {"name": path.stem, **data, "path": path.resolve()}
    if isinstance(data.get("model"), str):
        data["model"] = path.resolve().parent / data["model"]
    try:
        return Study.model_validate(data)
    except ValidationError as error:
        raise ConfigError(f"{path}: " + explain(error, Study), hint="See docs/studies.md for every field.") from error


def _expand(text: str, path: Path) -> str:
    def value(match: re.Match[str]) -> str:
        name: str = match.group(1)
        default: str | None = match.group(2)
        found = os.environ.get(name, default)
        if found is None:
            line = text[: match.start()].count("\n") + 1
            raise ConfigError(f"{path}: line {line}: environment variable {name} is not set", hint=f"export {name}=...")
        return found

    return re.sub(r"\$\{(\w+)(?::-([^}]*))?\}", value, text)
