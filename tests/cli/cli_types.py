"""Types of the fixtures in this folder's conftest."""

from __future__ import annotations

from typing import Protocol


class Result(Protocol):
    @property
    def code(self) -> int: ...
    @property
    def out(self) -> str: ...
    @property
    def err(self) -> str: ...


class Run(Protocol):
    def __call__(self, *arguments: str) -> Result: ...
