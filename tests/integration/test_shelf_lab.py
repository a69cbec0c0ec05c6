"""Two boards of one kind, one of them slower, and a worker on each: one study, at the slower one's scale."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import workers
from lab_world import IO, World

from mpsearch.device import opening
from mpsearch.record import Measured
from mpsearch.study.ledger import RECORD, Ledger
from mpsearch.study.storage import default_url
from mpsearch.testing.lab.bench import Lab
from mpsearch.testing.studies import small_study

SLOWER = 1.5
"""What the lab's ``slow-npu`` does."""


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("slow")) as started:
        started.faults.set(slow_npu=-1)
        yield started


def boards(folder: Path, lab: Lab, slow: Lab, **more: object) -> tuple[str, str]:
    """Files ``0.yaml`` and ``1.yaml``."""
    found = []
    for number, each in enumerate((lab, slow)):
        path = folder / f"{number}.yaml"
        path.write_text(each.board_file("local", name=f"board{number}", **more).read_text())
        found.append(str(path))
    return found[0], found[1]


def test_boards_of_a_shelf_have_the_digest_of_the_first(lab: Lab, slow: Lab, world: World, tmp_path: Path) -> None:
    a, b = boards(tmp_path, lab, slow)

    def digest(path: str, *shelf: str) -> str:
        photos = world.photos
        return opening.open(Path(path), world.graph, photos, photos, IO, cache=world.cache, shelf=shelf).digest

    assert digest(a) == digest(a, a, b) == digest(b, a, b) != digest(b)


def test_workers_on_two_boards_share_one_study_at_the_slower_ones_scale(lab: Lab, slow: Lab, tmp_path: Path) -> None:
    path = small_study(tmp_path)
    boards(tmp_path, lab, slow, accuracy="simulator")
    path.write_text(path.read_text() + "target: [0.yaml, 1.yaml]\n")
    ended = workers.at_once(tmp_path, "--target", "{n}")
    assert [code for code, _ in ended] == [0, 0], ended
    assert all("shelf: board0, board1" in said for _, said in ended)
    ledger = Ledger.open(default_url(tmp_path / "mpsearch-runs" / "mpsearch"), "mpsearch")
    workers.check(ledger)
    timings = [trial.record.outcome.timing for trial in ledger.trials if isinstance(trial.record.outcome, Measured)]
    scales = {timing.board: timing.scale for timing in timings}
    assert scales == {"board0": pytest.approx(SLOWER, rel=0.04), "board1": 1.0}  # times have two decimals of 0.3 ms
    raw = [trial.user_attrs[RECORD] for trial in ledger.study.get_trials(deepcopy=False) if RECORD in trial.user_attrs]
    assert not any('"scale"' in json.dumps(record) for record in raw)  # as measured
    within = [timing.median_ms <= (ledger.limits.budget_ms or 0.0) for timing in timings]
    assert [ledger.limits.violations(trial.record)["latency"] <= 0 for trial in ledger.trials] == within

    words = [sys.executable, "-c", workers.MAIN, "explain", "--target", "1", "--format", "json"]
    said = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    rows = {row["board"]: row for row in json.loads(said) if row["part"] == "boards"}
    assert rows["board1"]["times_the_slowest"] == 1.0
    fast = rows["board0"]
    assert abs(fast["times_the_slowest"] - 1 / SLOWER) < 3 * fast["sd"]
    assert fast["by_trials"] == pytest.approx(1 / SLOWER, rel=0.04)
