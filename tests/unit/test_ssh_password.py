"""A board that lets people in by password only."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from mpsearch.transport.base import Unreachable
from mpsearch.transport.ssh import PASSWORD, SshAddress, SshTransport

SECRET = "open sesame"


class Door(paramiko.ServerInterface):
    """Takes one password, and runs commands."""

    def check_auth_password(self, username: str, password: str) -> int:
        return paramiko.AUTH_SUCCESSFUL if password == SECRET else paramiko.AUTH_FAILED

    def get_allowed_auths(self, username: str) -> str:
        return "password"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        threading.Thread(target=self._run, args=(channel, command.decode()), daemon=True).start()
        return True

    def _run(self, channel: paramiko.Channel, line: str) -> None:
        done = subprocess.run(["sh", "-c", line], capture_output=True, stdin=subprocess.DEVNULL)
        try:
            channel.sendall(done.stdout)
            channel.sendall_stderr(done.stderr)
            channel.send_exit_status(done.returncode)
            channel.close()
        except OSError:
            return  # the client has hung up already


@pytest.fixture
def address(tmp_path: Path) -> Iterator[SshAddress]:
    key = paramiko.ECDSAKey.generate()
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]
    open_doors: list[paramiko.Transport] = []

    def serve() -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            door = paramiko.Transport(client)
            door.add_server_key(key)
            open_doors.append(door)
            try:
                door.start_server(server=Door())
            except (OSError, EOFError, paramiko.SSHException):
                continue  # the client has hung up already

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    known = tmp_path / "known"
    known.write_text(f"[127.0.0.1]:{port} {key.get_name()} {key.get_base64()}\n")
    yield SshAddress("127.0.0.1", "root", port, known_hosts=(known,))
    server.close()
    for door in open_doors:
        door.close()


def test_a_password_from_the_environment_opens_the_door_and_serves_a_new_connection(
    address: SshAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORD, SECRET)
    transport = SshTransport(address)
    assert transport.run(["echo", "in"]).stdout == "in\n"
    transport.close()
    monkeypatch.delenv(PASSWORD)
    assert transport.run(["echo", "again"]).stdout == "again\n"
    assert SECRET not in repr(transport)
    transport.close()


def test_a_wrong_password_is_refused_and_not_repeated(address: SshAddress, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD, "sesame open")
    with pytest.raises(Unreachable, match="the password is wrong") as error:
        SshTransport(address).run(["true"])
    assert "sesame open" not in f"{error.value} {error.value.__cause__!r}"


def test_without_key_and_password_it_says_what_was_tried(address: SshAddress, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PASSWORD, raising=False)
    with pytest.raises(Unreachable, match=r"agent and in ~/\.ssh refused .* no password in MPSEARCH_SSH_PASSWORD"):
        SshTransport(address).run(["true"])


def test_a_key_that_is_not_there_is_named(address: SshAddress, tmp_path: Path) -> None:
    from dataclasses import replace

    with pytest.raises(Unreachable, match="no key"):
        SshTransport(replace(address, key=tmp_path / "none")).run(["true"])
