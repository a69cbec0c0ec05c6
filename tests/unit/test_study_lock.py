"""One at a time in a storage, as long as the one lives."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mpsearch.errors import ConfigError
from mpsearch.study.lock import alone

HOLD = """
import sys, time
from mpsearch.study.lock import alone
with alone(sys.argv[1]):
    print("in", flush=True)
    time.sleep(60)
"""


def test_two_are_never_in_the_same_file_s_lock_together(tmp_path: Path) -> None:
    url, inside, most = f"sqlite:///{tmp_path / 'study.db'}", set[int](), list[int]()

    def enter(number: int) -> None:
        for _ in range(5):
            with alone(url):
                inside.add(number)
                most.append(len(inside))
                time.sleep(0.002)
                inside.discard(number)

    threads = [threading.Thread(target=enter, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 15


def test_a_process_that_dies_lets_go(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, url], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "in\n"
    holder.kill()
    with alone(url):
        pass
    holder.communicate()


@pytest.mark.parametrize("where", ["InMemoryStorage", "sqlite://", "sqlite:///:memory:", "mysql://nowhere/x"])
def test_what_has_no_lock_is_entered_at_once(where: str) -> None:
    with alone(where), alone(where):
        pass


def test_a_lock_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "study.db.lock").mkdir()
    with (
        pytest.raises(ConfigError, match=r"study\.db\.lock: cannot be locked"),
        alone(f"sqlite:///{tmp_path / 'study.db'}"),
    ):
        pass
