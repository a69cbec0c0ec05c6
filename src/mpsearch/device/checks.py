"""What a board's file needs to work, looked at one after the other: for ``mpsearch doctor``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mpsearch.device.opening import connect
from mpsearch.device.runtime import synap
from mpsearch.device.snpe import replies
from mpsearch.device.snpe.commands import NET_RUN, TIMERS
from mpsearch.device.spec import BoardSpec
from mpsearch.device.work import Device
from mpsearch.errors import MpsearchError, SetupError
from mpsearch.toolchain.snpe.builds import ask_version as snpe_version
from mpsearch.toolchain.synap.conversions import ask_version


@dataclass(frozen=True, slots=True)
class Check:
    """Attributes:
    ok: usable.
    found: a version, an address ... or what is wrong.
    hint: the next step where it is not.
    """

    name: str
    ok: bool
    found: str
    hint: str = ""


def check(spec: BoardSpec, *, cache: Path) -> Iterator[Check]:
    """Toolkit, connection, programs, work folder, Python, temperature. The last two may be absent."""
    yield _toolkit(spec, cache)
    device = connect(spec)
    try:
        reached = _look("connection", lambda: _reach(device))
        yield reached
        if not reached.ok:
            return
        for name, program in _programs(spec).items():
            yield _look(name, partial(_tool, device, name, program))
        yield _look("work folder", lambda: _folder(device))
        if spec.runtime == "synap" and spec.python is not None:
            ran = device.transport.run([spec.python, "-c", "import numpy, synap"])
            one_by_one = "none: photographs are run one process each"
            yield Check("synap-python", True, "there: one load for many photographs" if ran.code == 0 else one_by_one)
        hottest = synap.parse_temperature(device.transport.run(synap.temperature_argv()).stdout)
        yield Check("temperature", True, "not offered" if hottest is None else f"{hottest:.1f} C")
    finally:
        device.close()


def _look(name: str, ask: Callable[[], str]) -> Check:
    try:
        return Check(name, True, ask())
    except MpsearchError as error:
        return Check(name, False, error.message, error.hint)


def _reach(device: Device) -> str:
    device.transport.run(["true"])
    return device.transport.name


def _toolkit(spec: BoardSpec, cache: Path) -> Check:
    folder = spec.toolkit.work or cache / spec.runtime
    if spec.runtime == "snpe":
        return _look("SNPE tools", lambda: snpe_version(spec.toolkit.make_snpe(), _made(folder)))
    return _look("SyNAP toolkit", lambda: ask_version(spec.toolkit.make(), _made(folder)))


def _programs(spec: BoardSpec) -> dict[str, tuple[str, ...]]:
    """What must be on the board."""
    if spec.runtime == "synap":
        return {"synap_cli": spec.program}
    how = spec.snpe.make()
    return {name: how.program(name) for name in (NET_RUN, TIMERS[how.measure])}


def _tool(device: Device, name: str, program: tuple[str, ...]) -> str:
    ran = device.transport.run([*program, "--version"])
    if ran.code != 0:
        if name in (NET_RUN, *TIMERS.values()):
            raise replies.failure(name, ran.code, ran.stdout, ran.stderr, stage="time")
        raise synap.failure(ran.code, ran.stdout, ran.stderr, stage="time")
    return ran.text.splitlines()[-1] if ran.text else "there"


def _folder(device: Device) -> str:
    with device.work() as work:
        ran = work.run(["sh", "-c", "df -k . | tail -n 1"])
    words = ran.stdout.split()
    if len(words) < 4 or not words[3].isdigit():
        return device.base
    free_mb = int(words[3]) // 1024
    if free_mb < _LEAST_MB:
        raise SetupError(f"{device.base}: {free_mb} MB free, {_LEAST_MB} needed", hint="Free space, or set `base`.")
    return f"{device.base}, {free_mb} MB free"


_LEAST_MB = 100
"""Room for a model, photographs and their outputs."""


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
