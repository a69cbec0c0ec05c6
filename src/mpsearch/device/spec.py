"""A board's description file: where it is, how to reach it, which tools to use (``docs/boards-real.md``)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from mpsearch import canonical
from mpsearch.board.measure import Plan
from mpsearch.errors import ConfigError
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
    "ssh": {"host", "user", "port", "key", "known_hosts"},
    "adb": {"serial", "adb", "server_port"},
    "local": set[str](),
}
_BASES = {"ssh": "/home/root/mpsearch", "adb": "/data/local/tmp/mpsearch", "local": "/tmp/mpsearch-board"}


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
    serial: str = ""
    adb: str = "adb"
    server_port: int = Field(default=0, ge=0, le=65535)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        allowed = _ONLY[self.kind]
        if wrong := sorted(self.model_fields_set - allowed - {"kind"}):
            raise ValueError(f"{', '.join(wrong)}: not for {self.kind}; it has {', '.join(sorted(allowed)) or 'none'}")
        if self.kind == "ssh" and not self.host:
            raise ValueError("needs `host:`")
        return self

    def make(self) -> Transport:
        """The transport, not yet connected."""
        if self.kind == "local":
            return LocalTransport()
        if self.kind == "adb":
            return AdbTransport(self.serial, self.adb, self.server_port)
        hosts = (self.known_hosts,) if self.known_hosts else ()
        return SshTransport(SshAddress(self.host, self.user, self.port, self.key, hosts))


class ToolkitSpec(_Strict):
    """How to convert."""

    command: str | tuple[str, ...] | None = None
    docker: str | None = None
    docker_options: tuple[str, ...] = ()
    timeout_s: float = Field(default=TIMEOUT_S, gt=0)
    work: Path | None = None

    def make(self) -> Command:
        """Raises:
        ConfigError: see :func:`mpsearch.toolchain.synap.command.parse`.
        """
        return commands.parse(self.command, self.docker, self.docker_options)


class TimingSpec(_Strict):
    """How to measure; see :class:`mpsearch.board.measure.Plan`."""

    warm_up: int = 5
    width: float = 0.02
    least: int = 15
    most: int = 300
    limit_s: float = 60.0

    def make(self) -> Plan:
        """Raises:
        ConfigError: values that cannot be.
        """
        return Plan(**self.model_dump())


class BoardSpec(_Strict):
    """A board. ``path`` is where it was read from."""

    path: Path
    name: str
    target: str
    transport: TransportSpec
    runtime: Literal["synap"] = "synap"
    base: str = ""
    cli: str | tuple[str, ...] = "synap_cli"
    python: str | None = "python3"
    accuracy: Literal["board", "simulator"] = "board"
    toolkit: ToolkitSpec = ToolkitSpec()
    timing: TimingSpec = TimingSpec()
    timeout_s: float = Field(default=300.0, gt=0)
    wait_s: float = Field(default=3600.0, ge=0)

    @field_validator("target")
    @classmethod
    def _target(cls, value: str) -> str:
        if value.upper() not in TARGETS:
            raise ValueError(f"unknown target {value!r}; one of {', '.join(TARGETS)}")
        return value.upper()

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("must not be empty")
        return value

    @property
    def folder(self) -> str:
        """On the device; by default where its system lets one write."""
        return self.base or _BASES[self.transport.kind]

    @property
    def program(self) -> tuple[str, ...]:
        return (self.cli,) if isinstance(self.cli, str) else self.cli

    @property
    def digest(self) -> str:
        """Of what decides a board's answers; its address does not."""
        chosen = {"name", "target", "runtime", "accuracy", "timing"}
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
        for name in ("key", "known_hosts")
        if (place := getattr(spec.transport, name)) is not None
    }
    spec = spec.model_copy(update={"transport": spec.transport.model_copy(update=places)})
    if spec.toolkit.work is not None:
        work = here / spec.toolkit.work.expanduser()
        spec = spec.model_copy(update={"toolkit": spec.toolkit.model_copy(update={"work": work})})
    spec.toolkit.make()
    spec.timing.make()
    return spec
