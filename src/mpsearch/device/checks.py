"""What a board's file needs to work, looked at one after the other: for ``mpsearch doctor``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mpsearch.device.opening import connect
from mpsearch.device.runtime import synap
from mpsearch.device.snpe import replies, sensors
from mpsearch.device.snpe.commands import NET_RUN, TIMERS
from mpsearch.device.spec import BoardSpec
from mpsearch.device.work import Device
from mpsearch.errors import MpsearchError, SetupError
from mpsearch.toolchain.snpe import builds
from mpsearch.toolchain.snpe.tools import DIAGVIEW
from mpsearch.toolchain.synap.conversions import ask_version


@dataclass(frozen=True, slots=True)
class Check:
    """Attributes:
    ok: usable.
    found: a version, an address ... or what is wrong.
    hint: the next step where it is not.
    purpose: what it is for, where that is not plain.
    needed: a study cannot do without.
    """

    name: str
    ok: bool
    found: str
    hint: str = ""
    purpose: str = ""
    needed: bool = True


def check(spec: BoardSpec, *, cache: Path) -> Iterator[Check]:
    """Toolkit, connection, programs, work folder, Python, temperature; what is not ``needed`` may be absent."""
    yield from _toolkit(spec, cache)
    device = connect(spec)
    try:
        reached = _look("connection", lambda: _reach(device))
        yield reached
        if not reached.ok:
            return
        for name, (program, purpose) in _programs(spec).items():
            yield _look(name, partial(_tool, device, name, program), purpose)
        if spec.runtime == "snpe":
            ran = device.transport.run(sensors.clock_argv(spec.snpe.sysmon))
            found = spec.snpe.sysmon if ran.code == 0 else f"no {spec.snpe.sysmon}"
            yield Check("sysMonApp", ran.code == 0, found, "", "the DSP's clock in records", needed=False)
        yield _look("work folder", lambda: _folder(device))
        if spec.runtime == "synap" and spec.python is not None:
            ran = device.transport.run([spec.python, "-c", "import numpy, synap"])
            one_by_one = "none: photographs are run one process each"
            yield Check("synap-python", True, "there: one load for many photographs" if ran.code == 0 else one_by_one)
        hottest = synap.parse_temperature(device.transport.run(synap.temperature_argv()).stdout)
        yield Check("temperature", True, "not offered" if hottest is None else f"{hottest:.1f} C")
    finally:
        device.close()


def _look(name: str, ask: Callable[[], str], purpose: str = "", *, needed: bool = True) -> Check:
    try:
        return Check(name, True, ask(), "", purpose, needed)
    except MpsearchError as error:
        return Check(name, False, error.message, error.hint, purpose, needed)


def _reach(device: Device) -> str:
    device.transport.run(["true"])
    return device.transport.name


def _toolkit(spec: BoardSpec, cache: Path) -> Iterator[Check]:
    """Whether the vendor's tools answer; of SNPE's, which are programs of their own, where each one is."""
    folder = _made(spec.toolkit.work or cache / spec.runtime)
    if spec.runtime == "synap":
        yield _look("SyNAP toolkit", lambda: ask_version(spec.toolkit.make(), folder))
        return
    tools = spec.toolkit.make_snpe()
    yield _look("SNPE tools", lambda: builds.ask_version(tools, folder))
    for name, purpose in tools.needed.items():
        yield _look(name, partial(builds.find, tools, name, folder), purpose)
    layers = "times of single layers (mpsearch profile --time)"
    yield _look(DIAGVIEW, partial(builds.find, tools, DIAGVIEW, folder), layers, needed=False)


def _programs(spec: BoardSpec) -> dict[str, tuple[tuple[str, ...], str]]:
    """What must be on the board, and what for."""
    if spec.runtime == "synap":
        return {"synap_cli": (spec.program, "running and timing models on the board")}
    how = spec.snpe.make()
    return {
        NET_RUN: (how.program(NET_RUN), "running photographs on the board"),
        TIMERS[how.measure]: (how.program(TIMERS[how.measure]), "timing on the board"),
    }


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
