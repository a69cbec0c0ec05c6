"""A board's description file: where it is, how to reach it, which tools to use (``docs/boards-real.md``)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from mpsearch import canonical
from mpsearch.board.measure import Plan
from mpsearch.device.snpe import credentials
from mpsearch.device.snpe.spec import SnpeSpec
from mpsearch.errors import ConfigError
from mpsearch.toolchain.snpe.commands import Preparation
from mpsearch.toolchain.snpe.encodings import Schema
from mpsearch.toolchain.snpe.tools import VARIABLES, Family, Tools
from mpsearch.toolchain.synap import command as commands
from mpsearch.toolchain.synap.command import Command
from mpsearch.toolchain.synap.conversions import TIMEOUT_S
from mpsearch.toolchain.synap.metafile import TARGETS
from mpsearch.transport.adb import AdbTransport
from mpsearch.transport.base import Transport
from mpsearch.transport.local import LocalTransport
from mpsearch.transport.ssh import SshAddress, SshTransport
from mpsearch.validation import explain

_ONLY = {
    "ssh": {"host", "user", "port", "key", "known_hosts", "credentials"},
    "adb": {"serial", "adb", "server_port"},
    "local": set[str](),
}
_SNPE_BASE = "/data/mpsearch"
"""Where an RVC4 lets one write."""
_BASES = {"ssh": "/home/root/mpsearch", "adb": "/data/local/tmp/mpsearch", "local": "/tmp/mpsearch-board"}

HTP_TARGETS = ("rvc4", "qcs8550", "sm8550")
"""Boards with a Hexagon NPU that a cost model knows, by their names there."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TransportSpec(_Strict):
    """``{kind: ssh, host: 10.0.0.5}`` or ``{kind: adb, serial: 10.0.0.5:5555}``."""

    kind: Literal["ssh", "adb", "local"]
    host: str = ""
    user: str = "root"
    port: int = Field(default=22, ge=1, le=65535)
    key: Path | None = None
    known_hosts: Path | None = None
    credentials: Path | None = None
    serial: str = ""
    adb: str = "adb"
    server_port: int = Field(default=0, ge=0, le=65535)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        allowed = _ONLY[self.kind]
        if wrong := sorted(self.model_fields_set - allowed - {"kind"}):
            raise ValueError(f"{', '.join(wrong)}: not for {self.kind}; it has {', '.join(sorted(allowed)) or 'none'}")
        if self.kind == "ssh" and not self.host and self.credentials is None:
            raise ValueError("needs `host:`, or `credentials:` with a HOSTNAME")
        return self

    def make(self) -> Transport:
        """The transport, not yet connected.

        Raises:
            ConfigError: from the file of credentials.
        """
        if self.kind == "local":
            return LocalTransport()
        if self.kind == "adb":
            return AdbTransport(self.serial, self.adb, self.server_port)
        hosts = (self.known_hosts,) if self.known_hosts else ()
        if self.credentials is None:
            return SshTransport(SshAddress(self.host, self.user, self.port, self.key, hosts))
        found = credentials.read(self.credentials)
        host = self.host or found.host
        if not host:
            raise ConfigError(f"{self.credentials}: no HOSTNAME", hint="Add it, or give `transport.host`.")
        user = self.user if "user" in self.model_fields_set else found.user or self.user
        return SshTransport(SshAddress(host, user, self.port, self.key, hosts), found.password)


_SNPE_ONLY = {"sdk", "tools", "soc", "optimization_level", "encodings"}


class ToolkitSpec(_Strict):
    """How to compile models: SyNAP's toolkit, or Qualcomm's tools, which have fields of their own.

    ``command`` is SyNAP's converter, or what stands before the name of each of Qualcomm's tools.
    """

    command: str | tuple[str, ...] | None = None
    docker: str | None = None
    docker_options: tuple[str, ...] = ()
    timeout_s: float = Field(default=TIMEOUT_S, gt=0)
    work: Path | None = None
    sdk: Path | None = None
    tools: Family = "snpe"
    soc: Literal["sm8350", "sm8450", "sm8550", "sm8650", "qcs6490", "qcs8550"] = "sm8550"
    optimization_level: Literal[1, 2, 3] = 2
    encodings: Schema = "0.5.0"

    def make(self) -> Command:
        """Raises:
        ConfigError: see :func:`mpsearch.toolchain.synap.command.parse`.
        """
        return commands.parse(self.command, self.docker, self.docker_options)

    def make_snpe(self) -> Tools:
        """Qualcomm's tools: where the file says, else where the SDK's environment says, else on the PATH.

        Raises:
            ConfigError: fields that exclude each other.
        """
        prefix = commands.parse(self.command, None).words if self.command else ()
        outside = next((Path(os.environ[name]) for name in VARIABLES if os.environ.get(name)), None)
        sdk = self.sdk or (None if self.docker or self.command else outside)
        return Tools(self.tools, sdk, prefix, self.docker or "", self.docker_options)

    @property
    def preparation(self) -> Preparation:
        """For which chip the SNPE tools prepare a DLC."""
        return Preparation(self.soc, self.optimization_level)


class TimingSpec(_Strict):
    """How to measure; see :class:`mpsearch.board.measure.Plan`.

    ``input`` is what is inferred meanwhile. Every ``reference_s`` seconds an all-uint8 model is timed as well, which
    tells whether the board became slower or faster; ``null`` never does.
    """

    warm_up: int = 5
    width: float = 0.02
    least: int = 15
    most: int = 300
    limit_s: float = 60.0
    input: Literal["random", "photograph", "both"] = "random"
    reference_s: float | None = Field(default=60.0, gt=0)

    def make(self) -> Plan:
        """Raises:
        ConfigError: values that cannot be.
        """
        return Plan(**self.model_dump(exclude={"input", "reference_s"}))


class BoardSpec(_Strict):
    """A board. ``path`` is where it was read from."""

    path: Path
    name: str
    target: str
    transport: TransportSpec
    runtime: Literal["synap", "snpe"] = "synap"
    base: str = ""
    cli: str | tuple[str, ...] = "synap_cli"
    python: str | None = "python3"
    accuracy: Literal["board", "simulator"] = "board"
    toolkit: ToolkitSpec = ToolkitSpec()
    snpe: SnpeSpec = SnpeSpec()
    timing: TimingSpec = TimingSpec()
    timeout_s: float = Field(default=300.0, gt=0)
    wait_s: float = Field(default=3600.0, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _runtime(cls, data: Any) -> Any:
        """A target of one vendor needs no word on the runtime."""
        if isinstance(data, dict) and str(data.get("target", "")).lower() in HTP_TARGETS:
            return {"runtime": "snpe", **data}
        return data

    @model_validator(mode="after")
    def _fits(self) -> Self:
        known = HTP_TARGETS if self.runtime == "snpe" else TARGETS
        if self.target not in known:
            raise ValueError(f"unknown target {self.target!r} for {self.runtime}; one of {', '.join(known)}")
        if self.runtime == "synap" and (wrong := sorted(self.toolkit.model_fields_set & _SNPE_ONLY)):
            raise ValueError(f"toolkit: {', '.join(wrong)}: not for SyNAP's toolkit")
        others = {"snpe"} if self.runtime == "synap" else {"cli", "python"}
        if foreign := sorted(self.model_fields_set & others):
            raise ValueError(f"{', '.join(foreign)}: not for runtime {self.runtime}")
        return self

    @field_validator("target")
    @classmethod
    def _target(cls, value: str) -> str:
        return value.lower() if value.lower() in HTP_TARGETS else value.upper()

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("must not be empty")
        return value

    @property
    def folder(self) -> str:
        """On the device; by default where its system lets one write."""
        usual = _BASES[self.transport.kind]
        return self.base or (_SNPE_BASE if (self.runtime, self.transport.kind) == ("snpe", "ssh") else usual)

    @property
    def program(self) -> tuple[str, ...]:
        return (self.cli,) if isinstance(self.cli, str) else self.cli

    @property
    def digest(self) -> str:
        """Of what decides a board's answers; its address does not."""
        chosen: dict[str, Any] = dict.fromkeys(("name", "target", "runtime", "accuracy", "timing"), True)
        if self.runtime == "snpe":
            chosen["snpe"] = {"measure", "duration_s", "threads"}
        return canonical.digest(self.model_dump(mode="json", include=chosen))


def is_spec(target: str) -> bool:
    """Whether ``--target`` names a board's file and not a cost model's profile: only the former has a transport."""
    path = Path(target)
    if path.suffix not in (".yaml", ".yml") or not path.is_file():
        return False
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return False
    return isinstance(data, dict) and "transport" in data


def load(path: Path) -> BoardSpec:
    """Read and check a board's file; paths in it are relative to it, ``~`` is the home folder.

    Raises:
        ConfigError: unreadable, not YAML, unknown or wrong fields; names the file and the field.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as a board's file: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: a board's file is a mapping with `name:`, `target:`, `transport:` ...")
    try:
        spec = BoardSpec.model_validate({"name": path.stem, **data, "path": path.resolve()})
    except ValidationError as error:
        raise ConfigError(
            f"{path}: {explain(error, BoardSpec)}", hint="See docs/boards-real.md for every field."
        ) from error
    here = path.resolve().parent
    places = {
        name: here / place.expanduser()
        for name in ("key", "known_hosts", "credentials")
        if (place := getattr(spec.transport, name)) is not None
    }
    spec = spec.model_copy(update={"transport": spec.transport.model_copy(update=places)})
    folders = {
        name: here / place.expanduser()
        for name in ("work", "sdk")
        if (place := getattr(spec.toolkit, name)) is not None
    }
    spec = spec.model_copy(update={"toolkit": spec.toolkit.model_copy(update=folders)})
    if spec.runtime == "snpe":
        spec.toolkit.make_snpe()
    else:
        spec.toolkit.make()
    spec.timing.make()
    return spec
