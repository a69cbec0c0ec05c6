"""A small network, three photographs, and the ways to build and run it in the lab."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from mpsearch.board.targets import Target
from mpsearch.candidate import Candidate, DataType
from mpsearch.device import opening
from mpsearch.device.board import DeviceBoard
from mpsearch.graph.model import ModelGraph
from mpsearch.images import PhotoSet
from mpsearch.testing.lab.bench import Lab, missing
from mpsearch.toolchain.synap.command import Command
from mpsearch.toolchain.synap.driver import SynapToolchain
from mpsearch.toolchain.synap.metafile import MetafileIO

DOORS = ("local", "ssh", "adb")
MIXED = Candidate("uint8", overrides=(("Conv_9", DataType.INT16), ("Add_7", DataType.FLOAT16)))
IO = MetafileIO((0.0, 0.0, 0.0), 255.0)


@dataclass(frozen=True)
class World:
    lab: Lab
    graph: ModelGraph
    photos: PhotoSet
    cache: Path

    def open(self, kind: str, **more: object) -> Target:
        path = self.lab.board_file(kind, **more)
        return opening.open(path, self.graph, self.photos, self.photos, IO, cache=self.cache)

    def board(self, kind: str = "local", **more: object) -> DeviceBoard:
        found = self.open(kind, **more).board
        assert isinstance(found, DeviceBoard)
        return found

    def toolchain(self, cache: Path | None = None, **more: object) -> SynapToolchain:
        folder = cache or self.cache / "synap"
        made = SynapToolchain(self.graph, self.photos, IO, "VS680", folder, Command((self.lab.convert,)))
        return replace(made, **more)  # type: ignore[arg-type]


def needs(kind: str) -> None:
    """Skip where the program behind a door is not installed."""
    if reason := missing({"ssh": "sshd", "adb": "adb"}[kind]) if kind != "local" else "":
        pytest.skip(reason)
