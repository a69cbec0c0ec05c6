"""A lab: its folder, its programs, its NPU, and the two doors to its device.

    with Lab(folder) as lab:
        transport = SshTransport(lab.ssh())      # a real sshd
        transport = AdbTransport(**lab.adb())    # a real adb client

Everything listens on the loopback only, and ends with the lab.
"""

from __future__ import annotations

import getpass
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from mpsearch import process
from mpsearch.testing.lab.faults import VARIABLE, Faults
from mpsearch.transport.ssh import SshAddress

_START_S = 30.0
_HERE = Path(__file__).parent


def missing(program: str) -> str:
    """Why a door cannot be opened: empty, or what to install."""
    packages = {"sshd": "openssh-server", "adb": "adb"}
    found = _find(program)
    return "" if found else f"needs {program}: apt-get install {packages[program]}"


def _find(program: str) -> str | None:
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")


class Lab:
    """Args:
    folder: for everything that is written; made if needed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.faults = Faults(self.folder / "faults.json")
        self.base = self.folder / "board"
        self.bin = self.folder / "bin"
        self._short = Path()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._closers: list[Callable[[], None]] = []
        self._address: SshAddress | None = None
        self._adb: dict[str, Any] | None = None

    @property
    def convert(self) -> str:
        """The ``synap_convert`` program."""
        return str(self.bin / "synap_convert")

    @property
    def calls(self) -> Counter[str]:
        """How often each of the vendor's programs was started, on the host and on the device, ever in this folder."""
        listed = self.folder / "calls"
        return Counter(listed.read_text().split() if listed.exists() else ())

    def __enter__(self) -> Lab:
        for folder in (self.base, self.bin, self.folder / "home"):
            folder.mkdir(parents=True, exist_ok=True)
        # Sockets have short paths; the state lives behind a short link to the folder.
        self._short = Path(tempfile.mkdtemp(prefix="mpsearch-lab-")) / "lab"
        self._short.symlink_to(self.folder)
        for stale in ("npu.sock", "npu.part", "convert.sock", "convert.part", "adbd.port"):
            (self.folder / stale).unlink(missing_ok=True)
        self._program("synap_convert", "-S", "-E", str(_HERE / "caller.py"))
        self._cat()
        self._program("synap_cli", "-S", "-E", str(_HERE / "cli.py"))
        self._program("synap_cli_od", "-S", "-E", str(_HERE / "od.py"))
        self.has_python(False)
        one = {VARIABLE: str(self._short), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # threads and forks
        for module in ("npu", "workshop"):
            self._start([sys.executable, "-m", f"mpsearch.testing.lab.{module}", str(self._short)], env=one)
        self._until(lambda: (self.folder / "npu.sock").exists(), "the lab's NPU")
        self._until(lambda: (self.folder / "convert.sock").exists(), "the lab's converters")
        return self

    def __exit__(self, *_: object) -> None:
        for close in self._closers:
            close()
        for started in reversed(self._processes):
            started.terminate()
        for started in self._processes:
            try:
                started.wait(5)
            except subprocess.TimeoutExpired:
                started.kill()
                started.wait()
        self._processes.clear()
        shutil.rmtree(self._short.parent, ignore_errors=True)

    def _program(self, name: str, *words: str) -> None:
        path = self.bin / name
        line = shlex.join([sys.executable, *words])
        path.write_text(
            f'#!/bin/sh\n{self._counted(name)}export {VARIABLE}={shlex.quote(str(self._short))}\nexec {line} "$@"\n'
        )
        path.chmod(0o755)

    def _counted(self, name: str) -> str:
        """Shell: a line in the list of calls."""
        return f"echo {name} >> {shlex.quote(str(self.folder / 'calls'))}\n"

    def _cat(self) -> None:
        """The device's ``cat``: the real one, but for copies that shall fail and temperatures that it shall have."""
        state, cat = shlex.quote(str(self._short)), shlex.quote(shutil.which("cat") or "/bin/cat")
        faulty = shlex.join([sys.executable, "-S", "-E", str(_HERE / "pipe.py")])
        faults = f"{state}/faults.json"
        path = self.bin / "cat"
        path.write_text(
            "#!/bin/sh\n"
            f'case "$1" in /sys/class/thermal/*) [ -e {state}/heat ] && exec {cat} {state}/heat ;; esac\n'
            f"[ $# = 0 ] && grep -qE '(cut-push|disk-full)\": -?[1-9]' {faults} 2>/dev/null && exec {faulty}\n"
            f'exec {cat} "$@"\n'
        )
        path.chmod(0o755)

    def has_temperature(self, celsius: float | None) -> None:
        """Give the device a sensor that says so, or none of the lab's."""
        path = self.folder / "heat"
        path.unlink(missing_ok=True)
        if celsius is not None:
            path.write_text(f"{round(celsius * 1000)}\n")

    def has_python(self, bindings: bool) -> None:
        """Give the device a ``python3`` with SyNAP's bindings, or one that has none."""
        path = self.bin / "python3"
        line = "echo 'no module named synap' >&2; exit 1"
        if bindings:
            words = f"MPSEARCH_LAB={shlex.quote(str(self._short))} PYTHONPATH={shlex.quote(str(_HERE / 'site'))}"
            line = f'{words} exec {shlex.quote(sys.executable)} "$@"'
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)

    def environment(self) -> dict[str, str]:
        """For programs on the device; a home of its own keeps the user's shell settings out of it."""
        path = f"{self.bin}:{os.environ.get('PATH', '/usr/bin:/bin')}"
        return {"PATH": path, "HOME": str(self._short / "home"), VARIABLE: str(self._short)}

    def ssh(self) -> SshAddress:
        """Start sshd, once."""
        if self._address is None:
            self._address = self._start_sshd()
        return self._address

    def adb(self) -> dict[str, Any]:
        """Start the device's side of adb, once; arguments for ``AdbTransport``."""
        if self._adb is None:
            self._adb = self._start_adb()
        return self._adb

    def board_file(self, kind: str, **more: Any) -> Path:
        """Write a board's description for one of the doors (``ssh``, ``adb`` or ``local``); more fields replace."""
        transport: dict[str, Any] = {"kind": kind}
        if kind == "ssh":
            a = self.ssh()
            transport |= {"host": a.host, "user": a.user, "port": a.port, "key": str(a.key)}
            transport["known_hosts"] = str(a.known_hosts[0])
        elif kind == "adb":
            transport |= self.adb()
        path = self.folder / f"board-{kind}.yaml"
        fields = {
            "name": f"lab-{kind}",
            "target": "VS680",
            "transport": transport,
            "base": str(self.base),
            "cli": str(self.bin / "synap_cli"),
            "python": str(self.bin / "python3"),
            "toolkit": {"command": [self.convert]},
            "timing": {"warm_up": 2, "least": 7, "most": 21},
            **more,
        }
        path.write_text(yaml.safe_dump(fields, sort_keys=False))
        return path

    def end_adb_server(self, port: int) -> None:
        """End a server that a client has started."""
        process.run([str(self.bin / "adb-client"), "-P", str(port), "kill-server"], timeout_s=10)

    def break_ssh_sessions(self) -> None:
        """Break every open ssh session."""
        for started in self._processes:
            if "sshd" in str(started.args):
                children = Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text().split()
                for child in children:
                    os.kill(int(child), 9)

    def _start_sshd(self) -> SshAddress:
        program = _find("sshd")
        if program is None:
            raise RuntimeError(missing("sshd"))
        home = self.folder / "ssh"
        home.mkdir(exist_ok=True, mode=0o700)
        for name in ("host", "user"):
            if not (home / name).exists():
                process.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(home / name)])
        shutil.copy(home / "user.pub", home / "authorized")
        port = free_port()
        lines = [
            "ListenAddress 127.0.0.1",
            f"Port {port}",
            f"HostKey {home / 'host'}",
            f"AuthorizedKeysFile {home / 'authorized'}",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "UsePAM no",
            "StrictModes no",
            "PermitRootLogin prohibit-password",
            "PidFile none",
            "MaxStartups 100",
            "SetEnv " + " ".join(f"{name}={value}" for name, value in self.environment().items()),
        ]
        (home / "config").write_text("\n".join(lines) + "\n")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # where sshd, as root, goes before it knows who calls
        started = self._start([program, "-D", "-e", "-f", str(home / "config")], log=home / "log")
        self._until(lambda: _listens(port), "sshd", started, home / "log")
        kind, key, *_ = (home / "host.pub").read_text().split()
        (home / "known").write_text(f"[127.0.0.1]:{port} {kind} {key}\n")
        return SshAddress("127.0.0.1", getpass.getuser(), port, home / "user", (home / "known",))

    def _start_adb(self) -> dict[str, Any]:
        adb = _find("adb")
        if adb is None:
            raise RuntimeError(missing("adb"))
        port_file = self.folder / "adbd.port"
        started = self._start(
            [sys.executable, "-m", "mpsearch.testing.lab.adbd", str(port_file)], env=self.environment()
        )
        self._until(port_file.exists, "adbd", started)
        server = free_port()
        wrapper = self.bin / "adb-client"  # with a home of its own, so that the user's keys stay out of it
        home = self.folder / "home"
        wrapper.write_text(f'#!/bin/sh\nHOME={shlex.quote(str(home))} exec {shlex.quote(adb)} "$@"\n')
        wrapper.chmod(0o755)
        self._closers.append(lambda: self.end_adb_server(server))
        return {"serial": f"127.0.0.1:{port_file.read_text()}", "adb": str(wrapper), "server_port": server}

    def _start(
        self, argv: list[str], *, env: dict[str, str] | None = None, log: Path | None = None
    ) -> subprocess.Popen[bytes]:
        with open(log or self.folder / "programs.log", "ab") as output:
            started = subprocess.Popen(
                argv,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self._processes.append(started)
        return started

    def _until(
        self,
        ready: Callable[[], bool],
        what: str,
        started: subprocess.Popen[bytes] | None = None,
        log: Path | None = None,
    ) -> None:
        end = time.monotonic() + _START_S
        while not ready():
            dead = started is not None and started.poll() is not None
            if dead or time.monotonic() > end:
                said = (log or self.folder / "programs.log").read_text(errors="replace")[-500:]
                raise RuntimeError(f"{what} did not start: {said}")
            time.sleep(0.02)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """A port of the loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
