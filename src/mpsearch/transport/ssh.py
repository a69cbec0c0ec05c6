"""Devices reached over ssh (paramiko). Files travel through ``cat``, which every device has; many have no sftp."""

from __future__ import annotations

import getpass
import os
import shlex
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import paramiko

from mpsearch.errors import MpsearchError
from mpsearch.transport import shell
from mpsearch.transport.base import ConnectionLost, Ran, RemoteTimeout, Unreachable
from mpsearch.transport.verify import compare, digest_line, refused

PASSWORD = "MPSEARCH_SSH_PASSWORD"
"""The environment variable with a password; there is no other way to give one but the prompt."""
_CHUNK = 1 << 16
_BROKEN = (paramiko.SSHException, OSError, EOFError)


@dataclass(frozen=True, slots=True)
class SshAddress:
    """Where and as whom.

    Attributes:
        key: a private key's file; without it the agent's keys and those in ``~/.ssh`` are tried.
        known_hosts: files of known hosts; without any ``~/.ssh/known_hosts``.
    """

    host: str
    user: str = "root"
    port: int = 22
    key: Path | None = None
    known_hosts: tuple[Path, ...] = ()
    connect_s: float = 10.0

    def __str__(self) -> str:
        return f"{self.user}@{self.host}" + (f":{self.port}" if self.port != 22 else "")


def ask_password(address: SshAddress) -> str | None:
    """From the environment, else from whoever sits at the terminal, else None."""
    if (given := os.environ.get(PASSWORD)) is not None:
        return given
    if not sys.stdin.isatty():
        return None
    return getpass.getpass(f"Password of {address}: ", sys.stderr)


@dataclass
class SshTransport:
    """Implements :class:`~mpsearch.transport.base.Transport`.

    Args:
        password: asked only when keys did not open the door. An answer that worked is kept in memory for the next
            connection, so that a study at night needs nobody; it is never written or shown.
    """

    address: SshAddress
    password: Callable[[SshAddress], str | None] = field(default=ask_password, repr=False)
    _client: paramiko.SSHClient | None = field(default=None, init=False, repr=False)
    _worked: str | None = field(default=None, init=False, repr=False)
    _connecting: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    @property
    def name(self) -> str:
        return f"ssh {self.address}"

    def run(self, argv: Sequence[str], *, cwd: str = "", timeout_s: float = 60.0) -> Ran:
        out, err, _ = self._exchange(shell.script(argv, cwd), None, timeout_s)
        stdout, code = shell.ending(out.decode(errors="replace"))
        stderr, _ = shell.process_id(err.decode(errors="replace"))
        if code is None:
            self.close()
            raise ConnectionLost(f"{self.name}: the connection broke while {argv[0]} ran")
        return Ran(tuple(argv), code, stdout, stderr)

    def push(self, local: Path, remote: str) -> None:
        part = shlex.quote(f"{remote}.part")
        line = f"cat > {part} && echo mpsearch-whole && {{ {digest_line(f'{remote}.part')}; }}"
        out, err, code = self._exchange(line, local, max(60.0, local.stat().st_size / 100_000))
        whole, _, answer = out.decode(errors="replace").partition("\n")
        if whole != "mpsearch-whole":
            if code > 0:
                raise refused(self.name, f"writing {remote}", err.decode(errors="replace"))
            self.close()
            raise ConnectionLost(f"{self.name}: the connection broke while {remote} was copied")
        compare(self.name, answer, local, remote)
        self._line(f"mv -f {part} {shlex.quote(remote)}")

    def pull(self, remote: str, local: Path) -> None:
        quoted = shlex.quote(remote)
        size = self._line(f"wc -c < {quoted} || echo unreadable").strip()
        if not size.isdigit():
            raise refused(self.name, f"reading {remote}", "no such file, or not readable")
        out, _, _ = self._exchange(f"cat < {quoted}", None, max(60.0, int(size) / 100_000))
        if len(out) != int(size):
            self.close()
            raise ConnectionLost(f"{self.name}: {len(out)} of {size} bytes of {remote} arrived")
        local.write_bytes(out)

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _line(self, line: str) -> str:
        return self.run(["sh", "-c", line]).stdout

    def _exchange(self, line: str, source: Path | None, timeout_s: float) -> tuple[bytes, bytes, int]:
        """Run a line of shell, feeding it a file. Streams, and the exit code (-1: the connection broke)."""
        client = self._connected()
        out, err = bytearray(), bytearray()
        try:
            transport = client.get_transport()
            if transport is None:
                raise paramiko.SSHException("not connected")
            channel = transport.open_session(timeout=self.address.connect_s)
            with channel:
                channel.settimeout(timeout_s)
                channel.exec_command(line)
                end = time.monotonic() + timeout_s
                if source is not None:
                    self._feed(channel, source, err, end)
                channel.shutdown_write()
                while True:
                    ended = channel.eof_received or channel.closed  # asked first: data may come right after
                    if not self._drain(channel, out, err) and ended:
                        break
                    if time.monotonic() > end:
                        raise TimeoutError
                channel.status_event.wait(5.0)
                return bytes(out), bytes(err), channel.recv_exit_status() if channel.exit_status_ready() else -1
        except TimeoutError as error:
            self._kill(err)
            raise RemoteTimeout(f"{self.name}: no end within {timeout_s:g} s: {line[:200]}") from error
        except _BROKEN as error:
            self.close()
            raise ConnectionLost(f"{self.name}: {error or type(error).__name__}") from error

    def _feed(self, channel: paramiko.Channel, source: Path, err: bytearray, end: float) -> None:
        with source.open("rb") as file:
            while data := file.read(_CHUNK):
                if time.monotonic() > end:
                    raise TimeoutError
                try:
                    channel.sendall(data)
                except OSError:
                    if channel.closed or channel.exit_status_ready():
                        return  # the other side stopped reading; its exit code says why
                    raise

    def _drain(self, channel: paramiko.Channel, out: bytearray, err: bytearray) -> bool:
        """Take what has come; a short wait when there is nothing."""
        got = False
        if channel.recv_ready():
            out += channel.recv(_CHUNK)
            got = True
        if channel.recv_stderr_ready():
            err += channel.recv_stderr(_CHUNK)
            got = True
        if not got and not channel.eof_received:
            time.sleep(0.002)
        return got

    def _kill(self, err: bytearray) -> None:
        _, number = shell.process_id(err.decode(errors="replace"))
        if number is not None:
            try:
                self._exchange(f"kill -9 {number}", None, 10.0)
            except MpsearchError:
                self.close()

    def _connected(self) -> paramiko.SSHClient:
        with self._connecting:  # a lease is renewed from another thread, over the same connection
            client = self._client
            if client is not None and (link := client.get_transport()) is not None and link.is_active():
                return client
            self.close()
            self._client = client = self._connect()
            return client

    def _connect(self) -> paramiko.SSHClient:
        try:
            return self._login(None)
        except paramiko.AuthenticationException as error:
            password = self._worked if self._worked is not None else self.password(self.address)
            if password is None:
                raise self._not_let_in(error, f"no password in {PASSWORD}, and no terminal to ask for one") from error
        try:
            client = self._login(password)
            self._worked = password
            return client
        except paramiko.AuthenticationException as error:
            raise self._not_let_in(error, "the password is wrong or not allowed") from error

    def _not_let_in(self, error: Exception, why: str) -> Unreachable:
        tried = f"key {self.address.key}" if self.address.key else "keys of the agent and in ~/.ssh"
        return Unreachable(
            f"{self.name}: not let in: {tried} refused ({error}); {why}",
            hint="Copy your key to the board: "
            f"ssh-copy-id -p {self.address.port} {self.address.user}@{self.address.host}",
        )

    def _login(self, password: str | None) -> paramiko.SSHClient:
        a = self.address
        if a.key is not None and not a.key.is_file():
            raise Unreachable(f"{self.name}: no key {a.key}", hint="Set transport.key to a private key's file.")
        client = paramiko.SSHClient()
        try:
            for path in a.known_hosts or (Path("/etc/ssh/ssh_known_hosts"), Path("~/.ssh/known_hosts").expanduser()):
                if path.is_file():
                    client.load_host_keys(str(path))
            client.set_missing_host_key_policy(_Refuse(a))
            client.connect(
                a.host, a.port, a.user,
                password=password, key_filename=str(a.key) if a.key else None,
                allow_agent=a.key is None, look_for_keys=a.key is None,
                timeout=a.connect_s, banner_timeout=a.connect_s, auth_timeout=a.connect_s,
            )  # fmt: skip
            link = client.get_transport()
            if link is not None:
                link.set_keepalive(15)
                if isinstance(link.sock, socket.socket):  # short lines, one after the other
                    link.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return client
        except paramiko.AuthenticationException:
            client.close()
            raise
        except paramiko.BadHostKeyException as error:
            client.close()
            raise Unreachable(
                f"{self.name}: its host key is not the one in known_hosts: another device, or somebody between",
                hint=f"Only if the board was reinstalled: ssh-keygen -R {shlex.quote(_entry(a))}, then add it again.",
            ) from error
        except (*_BROKEN, socket.gaierror) as error:
            client.close()
            if "No authentication methods available" in str(error):  # no key anywhere: paramiko does not call it that
                raise paramiko.AuthenticationException("there are none") from error
            raise Unreachable(
                f"{self.name}: no connection: {error or type(error).__name__}",
                hint="Check address, port, cable and that sshd runs on the board.",
            ) from error
        except MpsearchError:
            client.close()
            raise


class _Refuse(paramiko.MissingHostKeyPolicy):
    """Nobody is trusted at first sight."""

    def __init__(self, address: SshAddress) -> None:
        self._address = address

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        a = self._address
        file = a.known_hosts[0] if a.known_hosts else "~/.ssh/known_hosts"
        raise Unreachable(
            f"ssh {a}: unknown host; its key is {key.get_name()} {key.fingerprint}",
            hint=f"Compare the fingerprint on the board, then: ssh-keyscan -p {a.port} {a.host} >> {file}",
        )


def _entry(address: SshAddress) -> str:
    return address.host if address.port == 22 else f"[{address.host}]:{address.port}"
