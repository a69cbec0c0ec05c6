"""Command lines of the converter, programs on this computer, and what is said to a device's shell."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpsearch import process
from mpsearch.errors import ConfigError, SetupError
from mpsearch.toolchain.synap.command import Command, parse
from mpsearch.toolchain.synap.messages import Fault, judge
from mpsearch.transport import shell

ARGUMENTS = ("--model", "m.onnx", "--out-dir", "out")


def test_a_wheels_converter_takes_the_arguments_as_they_are() -> None:
    made = parse("/opt/synap/bin/python -m 'my module'", None)
    assert made.convert(ARGUMENTS, cwd=Path("/w"), mount=Path("/c"), user="1:2") == (
        "/opt/synap/bin/python", "-m", "my module", *ARGUMENTS,
    )  # fmt: skip
    assert Command().version(mount=Path("/c"), user="1:2") == ("synap_convert", "--version")


def test_a_container_sees_the_cache_under_its_own_name_and_writes_as_the_user() -> None:
    image = "ghcr.io/synaptics-synap/toolkit:3.2.0"
    made = parse(None, image, ["--platform", "linux/amd64"])
    line = made.convert(ARGUMENTS, cwd=Path("/cache dir/work/a"), mount=Path("/cache dir"), user="1000:1000")
    assert line == (
        "docker", "run", "-i", "--rm", "--init", "-u", "1000:1000", "-v", "/cache dir:/cache dir",
        "-w", "/cache dir/work/a", "--platform", "linux/amd64", image, "convert", *ARGUMENTS,
    )  # fmt: skip
    assert made.version(mount=Path("/c"), user="1:1")[-2:] == (image, "version")


@pytest.mark.parametrize(
    ("command", "docker", "words"),
    [
        ("a", "b", "exclude"),
        ("it's", None, "No closing quotation"),
        ("", "", "empty"),
        (None, "has space", "no image name"),
        (None, "--privileged x", "no image name"),
    ],
)
def test_a_command_that_cannot_be_is_refused(command: str | None, docker: str | None, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse(command, docker)


@pytest.mark.parametrize(
    ("code", "stderr", "fault"),
    [
        (125, "docker: Cannot connect to the Docker daemon at unix:///var/run/docker.sock.", Fault.SETUP),
        (125, "docker: permission denied while trying to connect to the docker.sock", Fault.SETUP),
        (125, "docker: invalid reference format.", Fault.SETUP),
        (1, "OSError: [Errno 28] No space left on device", Fault.SETUP),
        (1, "Error: Layer name 'x' not in: ['a', 'b']", Fault.CANDIDATE),
        (1, "Error: Layer ID 'x' not in: ['a']", Fault.CANDIDATE),
        (1, "Error: something new", Fault.UNSURE),
        (-9, "", Fault.TRANSIENT),
        (137, "", Fault.TRANSIENT),
        (139, "Segmentation fault", Fault.TRANSIENT),
        (1, "", Fault.UNSURE),
    ],
)
def test_every_end_of_a_conversion_is_somebodys_fault(code: int, stderr: str, fault: Fault) -> None:
    assert judge(code, "", stderr).fault is fault


def test_a_long_list_of_names_is_shortened() -> None:
    names = ", ".join(f"'layer_{i}'" for i in range(5000))
    assert len(judge(1, "", f"Error: Quantization dataset is empty {names}").said) < 400


def test_progress_lines_come_one_by_one_and_the_log_has_everything(tmp_path: Path) -> None:
    seen: list[str] = []
    line = r"printf 'a 1%%\ra 2%%\r\nend'; echo bad >&2; exit 3"
    done = process.run(["sh", "-c", line], log=tmp_path / "deep" / "log", on_line=seen.append)
    assert seen == ["a 1%", "a 2%", "end"]
    assert (done.code, done.stderr) == (3, "bad\n")
    written = (tmp_path / "deep" / "log").read_text()
    assert written.startswith("$ sh -c")
    assert "bad\n" in written


def test_a_program_that_does_not_end_is_stopped_with_its_children(tmp_path: Path) -> None:
    line = f"sleep 300 & echo $! > {tmp_path}/child; trap '' TERM; wait; sleep 300"
    start = time.monotonic()
    before = process.GRACE_S
    process.GRACE_S = 0.3
    try:
        with pytest.raises(process.ProgramTimeout, match=r"within 0\.5 s"):
            process.run(["sh", "-c", line], timeout_s=0.5)
    finally:
        process.GRACE_S = before
    assert time.monotonic() - start < 5
    child = int((tmp_path / "child").read_text())
    stat = Path(f"/proc/{child}/stat")
    assert not stat.exists() or stat.read_text().split()[2] == "Z"


def test_a_program_that_is_missing_or_has_no_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(process.ProgramMissing, match="no such program"):
        process.run(["no-such-program-here"])
    with pytest.raises(SetupError, match="no such folder"):
        process.run(["true"], cwd=tmp_path / "nowhere")
    plain = tmp_path / "plain"
    plain.write_text("x")
    with pytest.raises(process.ProgramMissing, match="cannot be started"):
        process.run([str(plain)])


def test_the_environment_is_added_to() -> None:
    done = process.run(["sh", "-c", 'echo $EXTRA; test -n "$PATH"'], env={"EXTRA": "yes"})
    assert (done.code, done.stdout) == (0, "yes\n")


word = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=12)


@settings(max_examples=60, deadline=None)
@given(st.lists(word, max_size=4), st.integers(0, 255))
def test_any_arguments_reach_a_program_through_a_shell(words: list[str], code: int) -> None:
    argv = ["sh", "-c", 'for a; do printf "%s\\0" "$a"; done; exit ' + str(code), "x", *words]
    done = subprocess.run(["sh", "-c", shell.script(argv)], capture_output=True, check=True)
    stdout, found = shell.ending(done.stdout.decode())
    assert found == code
    assert stdout.split("\0")[:-1] == words
    stderr, number = shell.process_id(done.stderr.decode())
    assert stderr == ""
    assert number is not None
    assert number != os.getpid()


def test_output_that_was_cut_has_no_exit_code() -> None:
    assert shell.ending("some output\nmpsearch-ex") == ("some output\nmpsearch-ex", None)


def test_a_nul_byte_is_refused() -> None:
    with pytest.raises(ValueError, match="NUL"):
        shell.script(["a\0b"])
