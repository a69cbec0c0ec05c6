"""Devices reached over the adb client: a serial number, or ``host:port`` for adb over TCP."""

from __future__ import annotations

import re
import shlex
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mpsearch import process
from mpsearch.transport import shell
from mpsearch.transport.base import ConnectionLost, Ran, RemoteTimeout, Unreachable
from mpsearch.transport.verify import compare, digest_line, refused

_AUTHORIZING_S = 5.0
"""How long a device may think about this computer's key."""
_STATES = {
    "unauthorized": "Unlock the board's screen and accept this computer's key, or copy ~/.android/adbkey.pub to it.",
    "authorizing": "Wait a moment, and accept this computer's key on the board.",
    "offline": "Replug it or restart the board; for TCP: adb disconnect, then adb connect.",
    "no permissions": "Add a udev rule for the board, or run adb start-server as root.",
    "recovery": "Boot the board into its normal system.",
    "bootloader": "Boot the board into its normal system.",
}
_LOST = re.compile(
    r"error: (?:device (?:'.*' )?(?:not found|offline|unauthorized)|closed|no devices|protocol fault|"
    r"device still)|^adb: error: (?:failed to (?:read|write|copy).*(?:EOF|reset|closed|Broken pipe)|connect failed)|"
    r"Connection reset|Broken pipe|unexpected EOF|failed to read copy response|couldn't read from device",
    re.MULTILINE | re.IGNORECASE,
)


def devices(listing: str) -> dict[str, str]:
    """Serial -> state, from ``adb devices``."""
    found = {}
    for line in listing.splitlines():
        serial, tab, state = line.partition("\t")
        if tab and serial.strip():
            found[serial.strip()] = state.partition(";")[0].partition("(")[0].strip()
    return found


@dataclass
class AdbTransport:
    """Implements :class:`~mpsearch.transport.base.Transport`.

    Args:
        serial: empty takes the only device there is; ``host:port`` is connected to first.
        adb: the client program.
        server_port: of the adb server; 0 is adb's own choice.
    """

    serial: str = ""
    adb: str = "adb"
    server_port: int = 0
    _chosen: str = field(default="", init=False, repr=False)
    _choosing: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    @property
    def name(self) -> str:
        return f"adb {self._chosen or self.serial or '(the only device)'}"

    def run(self, argv: Sequence[str], *, cwd: str = "", timeout_s: float = 60.0) -> Ran:
        return self._shell(shell.script(argv, cwd), tuple(argv), timeout_s)

    def push(self, local: Path, remote: str) -> None:
        done = self._adb("push", str(local.resolve()), f"{remote}.part", timeout_s=max(60.0, _seconds(local)))
        if done.code:
            raise self._failed(f"writing {remote}", done)
        compare(self.name, self._line(digest_line(f"{remote}.part")), local, remote)
        self._line(f"mv -f {shlex.quote(remote)}.part {shlex.quote(remote)}")

    def pull(self, remote: str, local: Path) -> None:
        size = self._line(f"wc -c < {shlex.quote(remote)} || echo unreadable").strip()
        if not size.isdigit():
            raise refused(self.name, f"reading {remote}", "no such file, or not readable")
        done = self._adb("pull", remote, str(local.resolve()), timeout_s=max(60.0, int(size) / 100_000))
        if done.code:
            raise self._failed(f"reading {remote}", done)
        if local.stat().st_size != int(size):
            raise ConnectionLost(f"{self.name}: {local.stat().st_size} of {size} bytes of {remote} arrived")

    def close(self) -> None:
        self._chosen = ""

    def _line(self, line: str) -> str:
        return self.run(["sh", "-c", line]).stdout

    def _shell(self, line: str, argv: tuple[str, ...], timeout_s: float) -> Ran:
        seen: list[str] = []
        try:
            done = self._adb("shell", line, timeout_s=timeout_s, seen=seen)
        except RemoteTimeout:
            self._kill("\n".join(seen))
            raise
        stdout, code = shell.ending(done.stdout)
        stderr, number = shell.process_id(done.stderr)
        if number is None:  # an old device sends both streams as one
            stdout, _ = shell.process_id(stdout)
        if code is None:
            raise self._lost(f"while {argv[0]} ran: {' '.join(done.stderr.split())[-200:]}")
        return Ran(argv, code, stdout, stderr)

    def _kill(self, seen: str) -> None:
        _, number = shell.process_id(seen + "\n")
        if number is not None:
            self._adb("shell", f"kill -9 {number}", timeout_s=10.0)

    def _adb(self, *words: str, timeout_s: float, seen: list[str] | None = None) -> process.Finished:
        with self._choosing:  # a lease is renewed from another thread
            chosen = self._chosen = self._chosen or self._choose()
        try:
            return process.run(
                [*self._client(), "-s", chosen, *words],
                timeout_s=timeout_s,
                on_error=seen.append if seen is not None else None,
            )
        except process.ProgramTimeout as error:
            raise RemoteTimeout(f"{self.name}: no end within {timeout_s:g} s: {words[-1][:200]}") from error

    def _client(self) -> list[str]:
        return [self.adb, *(["-P", str(self.server_port)] if self.server_port else [])]

    def _failed(self, action: str, done: process.Finished) -> Exception:
        said = f"{done.stdout}\n{done.stderr}"
        if _LOST.search(said):
            return self._lost(f"while {action}: {' '.join(said.split())[-200:]}")
        return refused(self.name, action, said)

    def _lost(self, why: str) -> ConnectionLost:
        name = self.name
        self.close()
        return ConnectionLost(f"{name}: the connection broke {why}")

    def _choose(self) -> str:
        """The device to use, ready.

        Raises:
            Unreachable: none, several, or not in a state to be used.
        """
        self._ask("start-server")
        found = devices(self._ask("devices"))
        if ":" in self.serial and found.get(self.serial) != "device":
            if self.serial in found:
                self._ask("disconnect", self.serial)
            self._ask("connect", self.serial)
            found = devices(self._ask("devices"))
        listed = ", ".join(f"{serial} ({state})" for serial, state in found.items()) or "none"
        if not found:
            raise Unreachable(
                "adb: no device", hint="Check the cable and that debugging is on; for TCP give host:port."
            )
        if not self.serial and len(found) > 1:
            raise Unreachable(f"adb: {len(found)} devices: {listed}", hint="Set transport.serial in the board's file.")
        serial = self.serial or next(iter(found))
        state = found.get(serial)
        end = time.monotonic() + _AUTHORIZING_S
        while state is not None and state.startswith(("authorizing", "connecting")) and time.monotonic() < end:
            time.sleep(0.2)
            state = devices(self._ask("devices")).get(serial, state)
        if state is None:
            raise Unreachable(f"adb: no device {serial!r}; there: {listed}", hint="See: adb devices")
        if state != "device":
            hint = next((hint for key, hint in _STATES.items() if state.startswith(key)), "See: adb devices")
            raise Unreachable(f"adb: device {serial} is {state}", hint=hint)
        return serial

    def _ask(self, *words: str) -> str:
        try:
            done = process.run([*self._client(), *words], timeout_s=30)
        except process.ProgramMissing as error:
            raise Unreachable(f"{error.message}", hint="Debian: apt-get install adb") from error
        except process.ProgramTimeout as error:
            raise Unreachable(f"adb {' '.join(words)}: {error.message}", hint="Try: adb kill-server") from error
        return done.stdout


def _seconds(local: Path) -> float:
    return local.stat().st_size / 100_000
