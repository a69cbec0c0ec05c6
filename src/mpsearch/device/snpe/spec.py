"""The part of a board's file that says how SNPE is used on the device (``snpe:``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mpsearch.device.snpe.commands import How, Measure


class SnpeSpec(BaseModel):
    """See :class:`~mpsearch.device.snpe.commands.How`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tools: str = ""
    env: Mapping[str, str] = Field(default_factory=dict)
    measure: Measure = "throughput"
    duration_s: float = Field(default=2.0, gt=0)
    threads: int = Field(default=1, ge=1, le=16)
    group: int = Field(default=20, ge=1)
    sys: str = "/sys"
    sysmon: str = "/usr/bin/sysMonApp"

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.tools and not self.tools.startswith("/"):
            raise ValueError(f"tools: {self.tools!r} must be an absolute folder on the board")
        if wrong := [name for name in self.env if not name.isidentifier()]:
            raise ValueError(f"env: {wrong[0]!r} is no name of a variable")
        return self

    def make(self) -> How:
        """How to use SNPE."""
        return How(**self.model_dump())
