"""A published file is whole, whoever writes at the same time."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest

from mpsearch.files import publish


def _write_often(path: Path, value: int) -> None:
    for _ in range(50):
        publish(path, lambda part: part.write_text(json.dumps([value] * 2000)))


def test_several_writers_never_leave_half_a_file_nor_a_scrap(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file.json"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_often, args=(path, value)) for value in (1, 2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert len(set(json.loads(path.read_text()))) == 1
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text("old")
    with pytest.raises(TypeError):
        publish(path, lambda part: part.write_bytes("not bytes"))  # type: ignore[arg-type]
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
