"""How long the engines of an NPU work for one unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Work:
    """Milliseconds of one unit by engine; the engines take turns, so they add up.

    Attributes:
        parts_ms: engine -> ms; ``dispatch`` is the starting of operations.
    """

    parts_ms: Mapping[str, float] = field(default_factory=dict)
    total_ms: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "total_ms", sum(self.parts_ms.values()))

    def __add__(self, other: Work) -> Work:
        return Work({key: self[key] + other[key] for key in dict.fromkeys((*self.parts_ms, *other.parts_ms))})

    def __getitem__(self, engine: str) -> float:
        return self.parts_ms.get(engine, 0.0)
