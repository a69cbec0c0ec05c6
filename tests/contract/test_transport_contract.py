"""Every transport keeps the contract: on this computer, through a real sshd, through a real adb client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mpsearch.testing.lab.bench import Lab, missing
from mpsearch.testing.transports import TransportCases
from mpsearch.transport.adb import AdbTransport
from mpsearch.transport.base import Transport
from mpsearch.transport.local import LocalTransport
from mpsearch.transport.ssh import SshTransport

needs_sshd = pytest.mark.skipif(bool(missing("sshd")), reason=missing("sshd"))
needs_adb = pytest.mark.skipif(bool(missing("adb")), reason=missing("adb"))


@pytest.fixture
def folder(tmp_path: Path) -> str:
    (tmp_path / "device").mkdir()
    return str(tmp_path / "device")


class TestLocal(TransportCases):
    @pytest.fixture
    def transport(self) -> Transport:
        return LocalTransport()


@needs_sshd
class TestSsh(TransportCases):
    @pytest.fixture(scope="class")
    @classmethod
    def transport(cls, lab: Lab) -> Iterator[Transport]:
        made = SshTransport(lab.ssh())
        yield made
        made.close()


@needs_adb
class TestAdb(TransportCases):
    @pytest.fixture(scope="class")
    @classmethod
    def transport(cls, lab: Lab) -> Iterator[Transport]:
        made = AdbTransport(**lab.adb())
        yield made
        made.close()
