"""The parts of a study file that are mappings themselves, checked (:mod:`mpsearch.config`)."""

from __future__ import annotations

import math
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from mpsearch.candidate import BASES


class Strict(BaseModel):
    """Unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Budget(Strict):
    """``33`` (ms) or ``{times: 1.1, of: uint8}``: a multiple of what a uniform, uncut candidate takes on the target.

    ``at`` says what is held against it: the median, or a percentile such as ``p95``. ``model`` says whose uniform
    candidate, where the study has several models.
    """

    ms: float | None = None
    times: float | None = None
    of: str = "uint8"
    model: str | None = None
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


class InputConfig(Strict):
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


class DataConfig(Strict):
    """Folders, globs or list files of photographs; the two sets must be disjoint."""

    calibration: str
    evaluation: str
    calibration_limit: int | None = Field(default=None, ge=1)
    evaluation_limit: int | None = Field(default=None, ge=1)


class Limits(Strict):
    """Shares of the reference faces that a feasible candidate may miss, and may find in addition."""

    missed: float = Field(default=0.05, ge=0, le=1)
    extra: float = Field(default=0.05, ge=0, le=10)


class MeasuringConfig(Strict):
    """How real latencies are measured: repeats until the 95 % interval of the median is ``width`` of it, or a limit."""

    warm_up: int = Field(default=5, ge=0)
    width: float = Field(default=0.02, gt=0, lt=1)
    least: int = Field(default=15, ge=1)
    most: int = Field(default=300, ge=1)
    limit_s: float = Field(default=20.0, gt=0)
    threads: int = Field(default=1, ge=1)
    pin: tuple[int, ...] | None = None


class LadderConfig(Strict):
    """How much of a board's time may go to cheaper looks at candidates, and whether the vendor's engine has them."""

    share: float = Field(default=0.25, ge=0, le=1)
    acuity: bool = False


class CameraConfig(Strict):
    """What the CPU takes to turn a camera frame into the network's input, and whether the NPU works meanwhile."""

    cpu_ms: float = Field(gt=0)
    overlaps: bool = True
