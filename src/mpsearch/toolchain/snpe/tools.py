"""Where Qualcomm's tools are and how they are started: an SDK's folder, a command in front, or a container. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mpsearch.errors import ConfigError

Family = Literal["snpe", "qairt"]
PREPARE, INFO, DIAGVIEW = "snpe-dlc-graph-prepare", "snpe-dlc-info", "snpe-diagview"
VARIABLES = ("SNPE_ROOT", "QAIRT_SDK_ROOT", "QNN_SDK_ROOT")
"""Environment variables in which the SDK's own ``envsetup.sh`` puts its folder."""
_HOST = "x86_64-linux-clang"
_IMAGE = re.compile(r"[\w.-]+(?::\d+)?(?:/[\w.-]+)*(?::[\w.-]+)?(?:@sha256:[0-9a-f]{64})?")
_NUMBER = re.compile(r"\d+\.\d+\.\d+(?:\.\d+)*(?:_\w+)?")


@dataclass(frozen=True, slots=True)
class Tools:
    """Attributes:
    family: which converter and quantizer: ``snpe-onnx-to-dlc`` and ``snpe-dlc-quant``, or ``qairt-converter`` and
        ``qairt-quantizer``. Preparation and listing are SNPE's in both.
    sdk: the SDK's folder; None: the tools are on the PATH.
    prefix: words before each tool's name.
    docker: image of a container that has the tools on its PATH, e.g. Luxonis' ``modelconverter-rvc4``.
    """

    family: Family = "snpe"
    sdk: Path | None = None
    prefix: tuple[str, ...] = ()
    docker: str = ""
    docker_options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.docker and not _IMAGE.fullmatch(self.docker):
            raise ConfigError(
                f"toolkit.docker: {self.docker!r} is no image name",
                hint="e.g. ghcr.io/luxonis/modelconverter-rvc4:2.41.0-latest",
            )
        if self.docker and (self.sdk or self.prefix):
            raise ConfigError("toolkit: `docker` excludes `sdk` and `command`")

    @property
    def converter(self) -> str:
        return "snpe-onnx-to-dlc" if self.family == "snpe" else "qairt-converter"

    @property
    def quantizer(self) -> str:
        return "snpe-dlc-quant" if self.family == "snpe" else "qairt-quantizer"

    @property
    def needed(self) -> Mapping[str, str]:
        """The programs that a build starts -> what each is for."""
        return {
            self.converter: "ONNX to a DLC",
            self.quantizer: "a DLC in fixed point",
            PREPARE: "compiling for the chip's HTP",
            INFO: "reading back what was built",
        }

    def command(self, argv: tuple[str, ...], *, cwd: Path, mount: Path, user: str) -> tuple[str, ...]:
        """A tool's words as they are started here.

        Args:
            mount: the folder that holds everything the tools read and write.
            user: ``uid:gid``, so that a container's files are not root's.
        """
        if self.docker:
            if ":" in str(mount):
                raise ConfigError(f"{mount}: docker cannot mount a folder with a colon in its name")
            # --init passes signals on, so that a timeout ends the tool and not only the client.
            head = ("docker", "run", "-i", "--rm", "--init", "-u", user, "-v", f"{mount}:{mount}", "-w", str(cwd))
            return (*head, "--entrypoint", argv[0], *self.docker_options, self.docker, *argv[1:])
        program = str(self.sdk / "bin" / _HOST / argv[0]) if self.sdk else argv[0]
        return (*self.prefix, program, *argv[1:])

    def whereabouts(self, name: str, *, cwd: Path, mount: Path, user: str) -> tuple[str, ...]:
        """The words that print where one of the programs is, in a container or behind the words in front."""
        if self.docker:
            return self.command(("sh", "-c", f"command -v {name}"), cwd=cwd, mount=mount, user=user)
        return (*self.prefix, "which", self.command((name,), cwd=cwd, mount=mount, user=user)[-1])

    def environment(self, outside: Mapping[str, str]) -> dict[str, str]:
        """What the SDK's ``envsetup.sh`` would set, on top of ``outside``."""
        if self.sdk is None:
            return {}
        places = {
            "PATH": self.sdk / "bin" / _HOST,
            "LD_LIBRARY_PATH": self.sdk / "lib" / _HOST,
            "PYTHONPATH": self.sdk / "lib" / "python",
        }
        joined = {name: ":".join(filter(None, (str(place), outside.get(name, "")))) for name, place in places.items()}
        return {**joined, "SNPE_ROOT": str(self.sdk), "QNN_SDK_ROOT": str(self.sdk)}


def version(text: str) -> str:
    """``2.32.0.250228`` out of what a tool prints for ``--version``; "" when there is none."""
    found = _NUMBER.search(text)
    return found[0] if found else ""


def release(text: str) -> tuple[int, ...]:
    """``(2, 32, 0)``, for comparisons."""
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])
