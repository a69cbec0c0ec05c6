"""One at a time on a board: whoever works keeps it, whoever dies loses it, across processes and computers."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from lab_world import World, needs

from mpsearch.device.lease import Lease, LeaseLost
from mpsearch.device.work import Device
from mpsearch.errors import TransientError
from mpsearch.testing.lab.bench import Lab
from mpsearch.transport.adb import AdbTransport
from mpsearch.transport.base import Transport
from mpsearch.transport.local import LocalTransport
from mpsearch.transport.ssh import SshTransport

HOLD = """
import sys, time
from mpsearch.device.lease import Lease
from mpsearch.transport.local import LocalTransport
lease = Lease(LocalTransport(), sys.argv[1], span_s=2.0, **({"holder": sys.argv[3]} if len(sys.argv) > 3 else {}))
with lease.held():
    print(time.monotonic(), flush=True)
    time.sleep(float(sys.argv[2]))
    print(time.monotonic(), flush=True)
"""


def hold(folder: Path, seconds: float, *holder: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", HOLD, str(folder), str(seconds), *holder]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)


def lease(
    folder: Path, holder: str, *, wait_s: float = 0.0, span_s: float = 2.0, over: Transport | None = None
) -> Lease:
    return Lease(over or LocalTransport(), str(folder), wait_s=wait_s, holder=holder, span_s=span_s)


def test_two_processes_on_one_board_take_turns(tmp_path: Path) -> None:
    started = [hold(tmp_path, 0.3) for _ in range(2)]
    spans = sorted(tuple(map(float, process.communicate(timeout=30)[0].split())) for process in started)
    assert spans[0][1] <= spans[1][0]


def test_work_that_lasts_longer_than_a_lease_keeps_it(tmp_path: Path) -> None:
    wanted = lease(tmp_path, "here:2:b", wait_s=4.0)
    with lease(tmp_path, "elsewhere:1:a").held(), pytest.raises(TransientError, match="in use by elsewhere:1:a"):
        wanted.acquire()
    assert not (tmp_path / "lease").exists()


def test_the_lease_of_a_holder_that_was_killed_on_another_computer_runs_out(tmp_path: Path) -> None:
    process = hold(tmp_path, 60, "elsewhere:1:a")  # a name of another computer: nobody here can ask whether it lives
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    process.wait()
    process.stdout.close()
    start = time.monotonic()
    lease(tmp_path, "here:2:b", wait_s=10).acquire()
    assert 0.5 < time.monotonic() - start < 6
    assert (tmp_path / "lease").read_text().startswith("here:2:b ")


def test_a_killed_process_of_this_computer_is_not_waited_for(tmp_path: Path) -> None:
    process = hold(tmp_path, 60)
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    process.wait()
    process.stdout.close()
    lease(tmp_path, "here:2:b", span_s=60).acquire()


def test_a_lease_that_ran_out_is_anothers_and_stays_it(tmp_path: Path) -> None:
    asleep, awake = lease(tmp_path, "elsewhere:1:a", span_s=1), lease(tmp_path, "here:2:b", wait_s=5, span_s=60)
    asleep.acquire()
    awake.acquire()
    with pytest.raises(LeaseLost, match="lost to here:2:b"):
        asleep.renew()
    asleep.release()
    assert (tmp_path / "lease").read_text().startswith("here:2:b ")
    awake.release()
    assert not (tmp_path / "lease").exists()


def test_what_was_measured_while_another_took_the_board_is_not_believed(tmp_path: Path) -> None:
    transport = LocalTransport()
    device = Device("d", transport, str(tmp_path), Lease(transport, str(tmp_path), holder="elsewhere:1:a"))
    thief = f"echo 'here:2:b 99999999999 x' > {tmp_path}/lease"
    with device.work() as work, pytest.raises(LeaseLost):
        work.run(["sh", "-c", thief])


def test_a_lease_from_before_a_restart_is_nobodys(tmp_path: Path) -> None:
    (tmp_path / "lease").write_text("elsewhere:1:a 99999999999 another-boot\n")
    lease(tmp_path, "here:2:b", wait_s=5).acquire()


@pytest.mark.parametrize("kind", ["ssh", "adb"])
def test_a_lease_is_renewed_over_the_connection_that_a_long_command_uses(lab: Lab, kind: str, tmp_path: Path) -> None:
    needs(kind)
    transport: Transport = SshTransport(lab.ssh()) if kind == "ssh" else AdbTransport(**lab.adb())
    with lease(tmp_path, "elsewhere:1:a", span_s=1.5, over=transport).held():
        first = (tmp_path / "lease").read_text()
        assert transport.run(["sh", "-c", "sleep 2.2; echo done"]).stdout == "done\n"
        assert (tmp_path / "lease").read_text() != first
    assert not (tmp_path / "lease").exists()
    transport.close()


def test_what_dead_holders_left_is_removed(world: World) -> None:
    left = world.lab.base / "trial-0123"
    left.mkdir(exist_ok=True)
    board = world.board()
    with board.device.work():
        assert not left.exists()
    board.close()
