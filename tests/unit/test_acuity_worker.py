"""The worker protocol, with real processes: jobs, failures, crashes, hangs, garbage, versions."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mpsearch.errors import SetupError, TransientError
from mpsearch.toolchain.acuity.client import JobFailed, Worker, WorkerCrashed, WorkerGarbled, WorkerHung
from mpsearch.toolchain.acuity.worker.channel import PROTOCOL, Garbage, decode, encode

PROGRAM = """
import os, sys, time
from mpsearch.toolchain.acuity.worker.channel import Channel, DIED

def do(request, say):
    verb = request["do"]
    if verb == "add":
        say("Adding...")
        os.system("echo noise of a compiler")
        print("noise of python")
        return {"sum": request["a"] + request["b"], "folder": os.getcwd(), "pid": os.getpid()}
    if verb == "refuse":
        raise ValueError("no such layer")
    if verb == "leave":
        sys.exit(3)
    if verb == "crash":
        os._exit(7)
    if verb == "kill":
        os.kill(os.getpid(), 9)
    if verb == "hang":
        time.sleep(3600)
    if verb == "garbage":
        channel._replies.write(b"no JSON at all\\n")
        channel._replies.flush()
        return {}
    if verb == "wrong-number":
        channel.fail({"id": 99}, "X", "", "")
        return {}

channel = Channel.of_process()
channel.hello(engine="fake")
for request in channel.requests():
    if request["do"] == "died":
        channel.fail(request, DIED, "was killed by signal 9", "")
    else:
        channel.answer(request, do, lambda: "last line of the log")
"""


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    found = Worker((sys.executable, "-c", PROGRAM), tmp_path / "work")
    yield found
    found.close()


def add(worker: Worker, a: int = 2, b: int = 3) -> int:
    return int(worker.call("add", timeout_s=20, a=a, b=b)["sum"])


def test_a_job_is_done_and_noise_stays_off_the_channel(worker: Worker) -> None:
    said: list[str] = []
    assert worker.call("add", timeout_s=20, progress=said.append, a=2, b=3)["sum"] == 5
    assert said == ["Adding..."]
    assert worker.about["engine"] == "fake"


def test_one_process_does_many_jobs_in_a_start_folder_of_its_own(worker: Worker, tmp_path: Path) -> None:
    first, second = (worker.call("add", timeout_s=20, a=1, b=1) for _ in range(2))
    assert first["pid"] == second["pid"]
    other = Worker((sys.executable, "-c", PROGRAM), tmp_path / "work")
    try:
        third = other.call("add", timeout_s=20, a=1, b=1)
    finally:
        other.close()
    assert third["folder"] != first["folder"]
    assert Path(first["folder"]).parent == tmp_path / "work"


@pytest.mark.parametrize(("verb", "kind"), [("refuse", "ValueError"), ("leave", "SystemExit")])
def test_what_the_engine_raises_fails_the_job_and_not_the_worker(worker: Worker, verb: str, kind: str) -> None:
    add(worker)
    with pytest.raises(JobFailed) as failed:
        worker.call(verb, timeout_s=20)
    assert (failed.value.kind, failed.value.log) == (kind, "last line of the log")
    assert worker.alive


@pytest.mark.parametrize(
    ("verb", "error", "says"),
    [
        ("crash", WorkerCrashed, "ended with code 7"),
        ("kill", WorkerCrashed, "killed by signal 9"),
        ("died", WorkerCrashed, "killed by signal 9"),
        ("garbage", WorkerGarbled, "no JSON"),
        ("wrong-number", WorkerGarbled, "99"),
    ],
)
def test_a_lost_worker_is_a_typed_error_and_the_next_job_gets_another(
    worker: Worker, verb: str, error: type[TransientError], says: str
) -> None:
    with pytest.raises(error, match=says):
        worker.call(verb, timeout_s=20)
    assert add(worker) == 5


def test_a_hung_worker_is_killed_after_its_time(worker: Worker) -> None:
    pid = worker.call("add", timeout_s=20, a=1, b=1)["pid"]
    start = time.monotonic()
    with pytest.raises(WorkerHung, match=r"within 0.3 s"):
        worker.call("hang", timeout_s=0.3)
    assert time.monotonic() - start < 10
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert add(worker) == 5


def test_an_interrupt_takes_the_worker_along(worker: Worker) -> None:
    def stop(text: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        worker.call("add", timeout_s=20, progress=stop, a=1, b=1)
    assert not worker.alive


def test_closing_leaves_nothing_behind(worker: Worker, tmp_path: Path) -> None:
    add(worker)
    worker.close()
    worker.close()
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.parametrize(
    ("program", "says"),
    [
        (
            "from mpsearch.toolchain.acuity.worker import channel; channel.PROTOCOL = 99; "
            "channel.Channel.of_process().hello(); input()",
            f"version 99 of the protocol, mpsearch {PROTOCOL}",
        ),
        ("print('{}')", "in place of a hello"),
        ("print('Segmentation fault')", "Segmentation fault"),
        ("import sys; sys.exit('ModuleNotFoundError: No module named acuitylib')", "No module named acuitylib"),
        ("import time; time.sleep(60)", "no word within 0.5 s"),
    ],
)
def test_a_worker_that_does_not_start_properly_is_the_installations_fault(
    tmp_path: Path, program: str, says: str
) -> None:
    start_s = 0.5 if "sleep" in program else 20.0
    worker = Worker((sys.executable, "-c", program), tmp_path, start_s=start_s)
    with pytest.raises(SetupError, match=says):
        worker.call("add", timeout_s=20, a=1, b=1)
    assert not worker.alive
    assert list(tmp_path.iterdir()) == []


def test_a_missing_program_is_the_installations_fault(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="cannot be started"):
        Worker((str(tmp_path / "python"),), tmp_path).call("add", timeout_s=1)


@pytest.mark.parametrize("line", [b"", b"\n", b"[1]\n", b'{"id": 1\n', b"\xff\xfe\n", b"3\n"])
def test_only_objects_are_messages(line: bytes) -> None:
    with pytest.raises(Garbage):
        decode(line)


def test_a_message_is_one_line() -> None:
    message = {"id": 1, "text": "two\nlines", "n": [1.5, None]}
    assert encode(message).count(b"\n") == 1
    assert decode(encode(message)) == message
