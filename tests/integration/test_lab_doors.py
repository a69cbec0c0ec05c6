"""Doors that do not open, and connections that break: each says what to do."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mpsearch.testing.lab.bench import Lab, free_port, missing
from mpsearch.transport import ssh
from mpsearch.transport.adb import AdbTransport
from mpsearch.transport.base import ConnectionLost, DiskFull, Transport, Unreachable
from mpsearch.transport.ssh import SshTransport

needs_sshd = pytest.mark.skipif(bool(missing("sshd")), reason=missing("sshd"))
needs_adb = pytest.mark.skipif(bool(missing("adb")), reason=missing("adb"))


pytestmark = pytest.mark.usefixtures("faults")


@pytest.fixture
def payload(tmp_path: Path) -> Path:
    path = tmp_path / "model.synap"
    path.write_bytes(os.urandom(700_000))
    return path


@needs_sshd
def test_an_unknown_host_is_refused_with_the_command_that_adds_it(lab: Lab, tmp_path: Path) -> None:
    address = replace(lab.ssh(), known_hosts=(tmp_path / "known",))
    with pytest.raises(Unreachable, match="unknown host") as error:
        SshTransport(address).run(["true"])
    assert f"ssh-keyscan -p {address.port} 127.0.0.1 >> {tmp_path / 'known'}" in error.value.hint
    assert "SHA256:" in error.value.message


@needs_sshd
def test_a_host_with_another_key_is_refused(lab: Lab, tmp_path: Path) -> None:
    known = tmp_path / "known"
    user_key = (lab.folder / "ssh" / "user.pub").read_text().split()[1]
    known.write_text(f"[127.0.0.1]:{lab.ssh().port} ssh-ed25519 {user_key}\n")
    with pytest.raises(Unreachable, match="host key is not the one") as error:
        SshTransport(replace(lab.ssh(), known_hosts=(known,))).run(["true"])
    assert f"ssh-keygen -R '[127.0.0.1]:{lab.ssh().port}'" in error.value.hint


@needs_sshd
def test_a_key_that_is_not_accepted_names_the_key_and_never_shows_a_password(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ssh.PASSWORD, "geheim")
    transport = SshTransport(replace(lab.ssh(), key=lab.folder / "ssh" / "host"))
    with pytest.raises(Unreachable, match="not let in") as error:
        transport.run(["true"])
    assert "ssh/host" in error.value.message
    assert "ssh-copy-id" in error.value.hint
    assert "geheim" not in f"{error.value} {transport!r} {error.value.__cause__!r}"


@needs_sshd
def test_without_password_and_terminal_nobody_is_asked(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ssh.PASSWORD, raising=False)
    with pytest.raises(Unreachable, match="no password in MPSEARCH_SSH_PASSWORD"):
        SshTransport(replace(lab.ssh(), key=lab.folder / "ssh" / "host")).run(["true"])


@needs_sshd
def test_an_address_where_nobody_answers_is_a_setup_fault(lab: Lab) -> None:
    with pytest.raises(Unreachable, match="no connection"):
        SshTransport(replace(lab.ssh(), port=free_port())).run(["true"])


@needs_sshd
def test_a_session_that_breaks_is_transient_and_the_next_call_connects_anew(lab: Lab) -> None:
    transport = SshTransport(lab.ssh())
    transport.run(["true"])
    threading.Timer(0.5, lab.break_ssh_sessions).start()
    start = time.monotonic()
    with pytest.raises(ConnectionLost):
        transport.run(["sleep", "30"])
    assert time.monotonic() - start < 10
    assert transport.run(["echo", "back"]).stdout == "back\n"
    transport.close()


@pytest.fixture(params=[pytest.param("ssh", marks=needs_sshd), pytest.param("adb", marks=needs_adb)])
def door(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Transport]:
    made = SshTransport(lab.ssh()) if request.param == "ssh" else AdbTransport(**lab.adb())
    made.run(["true"])
    yield made
    made.close()


def test_a_push_that_is_cut_is_transient_and_leaves_no_file(
    lab: Lab, door: Transport, payload: Path, tmp_path: Path
) -> None:
    lab.faults.set(cut_push=1)
    with pytest.raises(ConnectionLost):
        door.push(payload, str(tmp_path / "there"))
    assert not (tmp_path / "there").exists()
    door.push(payload, str(tmp_path / "there"))
    assert (tmp_path / "there").read_bytes() == payload.read_bytes()


def test_a_full_device_is_a_setup_fault(lab: Lab, door: Transport, payload: Path, tmp_path: Path) -> None:
    lab.faults.set(disk_full=1)
    with pytest.raises(DiskFull, match="full") as error:
        door.push(payload, str(tmp_path / "there"))
    assert "Free space" in error.value.hint
    assert not (tmp_path / "there").exists()


@needs_sshd
def test_a_device_that_is_really_full_says_so_over_ssh(lab: Lab, payload: Path, tmp_path: Path) -> None:
    (tmp_path / "there.part").symlink_to("/dev/full")
    with pytest.raises(DiskFull, match="No space left on device"):
        SshTransport(lab.ssh()).push(payload, str(tmp_path / "there"))


@needs_adb
def test_a_device_that_does_not_answer_is_offline(lab: Lab) -> None:
    own = {**lab.adb(), "server_port": free_port()}
    lab.faults.set(offline=-1)
    try:
        with pytest.raises(Unreachable, match=r"offline|no device") as error:
            AdbTransport(**own).run(["true"])
        assert error.value.hint
    finally:
        lab.end_adb_server(own["server_port"])


@needs_adb
def test_a_device_that_does_not_know_this_computer_says_so(lab: Lab) -> None:
    own = {**lab.adb(), "server_port": free_port()}  # a server that does not know the device yet
    lab.faults.set(unauthorized=-1)
    try:
        with pytest.raises(Unreachable, match="unauthorized") as error:
            AdbTransport(**own).run(["true"])
        assert "accept this computer's key" in error.value.hint
    finally:
        lab.end_adb_server(own["server_port"])


@pytest.mark.parametrize(
    ("listing", "words", "hint"),
    [
        ("", "no device", "cable"),
        ("ab12\toffline", "ab12 is offline", "Replug"),
        ("ab12\tunauthorized", "ab12 is unauthorized", "accept"),
        ("ab12\tno permissions (user in plugdev?); see [http://...]", "ab12 is no permissions", "udev"),
        ("ab12\tdevice\ncd34\toffline", "2 devices: ab12 .device., cd34 .offline.", "serial"),
        ("ab12\tsideload", "ab12 is sideload", "adb devices"),
    ],
)
def test_what_adb_lists_decides_what_is_said(tmp_path: Path, listing: str, words: str, hint: str) -> None:
    client = tmp_path / "adb"
    text = "* daemon started successfully\nList of devices attached\n" + listing
    client.write_text(f"#!/bin/sh\n[ $1 = devices ] && printf '%s\\n' '{text}'\nexit 0\n")
    client.chmod(0o755)
    with pytest.raises(Unreachable, match=words) as error:
        AdbTransport(adb=str(client)).run(["true"])
    assert hint in error.value.hint


@needs_adb
def test_none_and_several_devices_are_told_apart(lab: Lab) -> None:
    door = {**lab.adb(), "server_port": free_port()}
    try:
        with pytest.raises(Unreachable, match="no device"):
            AdbTransport(**{**door, "serial": ""}).run(["true"])
        AdbTransport(**door).run(["true"])
        only = AdbTransport(**{**door, "serial": ""})
        assert only.run(["echo", "here"]).stdout == "here\n"
        AdbTransport(**{**door, "serial": door["serial"].replace("127.0.0.1", "localhost")}).run(["true"])
        with pytest.raises(Unreachable, match="2 devices") as error:
            AdbTransport(**{**door, "serial": ""}).run(["true"])
        assert door["serial"] in error.value.message
        with pytest.raises(Unreachable, match="no device 'other'"):
            AdbTransport(**{**door, "serial": "other"}).run(["true"])
    finally:
        lab.end_adb_server(door["server_port"])


def test_a_missing_adb_client_names_the_package() -> None:
    with pytest.raises(Unreachable, match="no such program") as error:
        AdbTransport(adb="no-adb-here").run(["true"])
    assert "apt-get install adb" in error.value.hint
