"""What every transport must do: a pytest suite to inherit from.

class TestMine(TransportCases):
    @pytest.fixture
    def transport(self): ...
    @pytest.fixture
    def folder(self): ...      # an empty, writable folder on the device
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mpsearch.transport.base import RemoteFileError, RemoteTimeout, Transport

NAMES = (
    "plain.bin",
    "two words",
    "it's",
    'say "x"',
    "$HOME `id` \\",
    "-rf",
    "*",
    "ünï🙂",
    "a;b|c&d",
    "line\nbreak",
    "%s #",
)
"""File names that a shell would misread."""


class TransportCases:
    """The contract of :mod:`mpsearch.transport.base`."""

    def test_a_program_gives_its_exit_code_and_both_streams(self, transport: Transport) -> None:
        ran = transport.run(["sh", "-c", "echo out; echo err >&2; exit 7"])
        assert (ran.code, ran.stdout, ran.stderr) == (7, "out\n", "err\n")

    def test_output_without_a_last_newline_and_no_output_come_as_they_are(self, transport: Transport) -> None:
        assert transport.run(["printf", "a\nb"]).stdout == "a\nb"
        assert transport.run(["true"]).stdout == ""

    @pytest.mark.parametrize("name", NAMES)
    def test_any_text_is_an_argument(self, transport: Transport, name: str) -> None:
        assert transport.run(["printf", "%s|", name, "", name]).stdout == f"{name}||{name}|"

    def test_a_program_that_is_not_there_is_exit_code_127(self, transport: Transport) -> None:
        assert transport.run(["no-such-program-here"]).code == 127

    def test_a_program_reads_nothing(self, transport: Transport) -> None:
        assert transport.run(["cat"]).stdout == ""

    def test_a_program_starts_in_the_folder_asked_for(self, transport: Transport, folder: str) -> None:
        transport.run(["mkdir", "deep 'er"], cwd=folder)
        assert transport.run(["pwd"], cwd=f"{folder}/deep 'er").stdout.endswith("deep 'er\n")

    def test_much_output_comes_whole(self, transport: Transport) -> None:
        ran = transport.run(["sh", "-c", "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i + 1)); done"])
        assert ran.stdout.splitlines()[-1] == "line 19999"
        assert len(ran.stdout.splitlines()) == 20000

    def test_a_program_that_does_not_end_is_killed_on_the_device(self, transport: Transport, folder: str) -> None:
        line = "echo $$ > pid; exec sleep 600"
        with pytest.raises(RemoteTimeout):
            transport.run(["sh", "-c", line], cwd=folder, timeout_s=0.5)
        for _ in range(50):
            alive = transport.run(["sh", "-c", "kill -0 $(cat pid) 2>/dev/null && echo alive"], cwd=folder).stdout
            if not alive:
                break
            time.sleep(0.1)
        assert alive == ""

    @pytest.mark.parametrize("name", NAMES)
    def test_files_of_any_name_go_there_and_back(
        self, transport: Transport, folder: str, tmp_path: Path, name: str
    ) -> None:
        source = tmp_path / "source"
        source.write_bytes(bytes(range(256)) * 300 + b"\r\n\0mpsearch-exit 0\n")
        transport.push(source, f"{folder}/{name}")
        transport.pull(f"{folder}/{name}", tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == source.read_bytes()
        assert transport.run(["sh", "-c", "ls -A | grep -c part"], cwd=folder).stdout.strip() == "0"

    def test_an_empty_file_is_a_file(self, transport: Transport, folder: str, tmp_path: Path) -> None:
        (tmp_path / "empty").touch()
        transport.push(tmp_path / "empty", f"{folder}/empty")
        transport.pull(f"{folder}/empty", tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == b""

    def test_a_push_replaces_what_was_there(self, transport: Transport, folder: str, tmp_path: Path) -> None:
        for text in ("long before", "after"):
            (tmp_path / "file").write_text(text)
            transport.push(tmp_path / "file", f"{folder}/file")
        assert transport.run(["cat", f"{folder}/file"]).stdout == "after"

    def test_a_folder_that_is_not_there_is_named(self, transport: Transport, folder: str, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        with pytest.raises(RemoteFileError, match="nowhere"):
            transport.push(tmp_path / "file", f"{folder}/nowhere/file")
        with pytest.raises(RemoteFileError, match="nothing"):
            transport.pull(f"{folder}/nothing", tmp_path / "back")

    def test_it_goes_on_after_close_and_closes_twice(self, transport: Transport) -> None:
        assert transport.run(["echo", "1"]).stdout == "1\n"
        transport.close()
        transport.close()
        assert transport.run(["echo", "2"]).stdout == "2\n"
